/**
 * Counts without looking anything up: for code that runs per request. The metric that handed it out reads it when it is scraped.
 * One cell stands for one set of label values.
 */
export class CounterCell {
  /** Counted since the last scrape. */
  value = 0

  /** @param amount - not negative */
  add(amount = 1): void {
    this.value += amount
  }
}

/** A value that goes up and down; see `CounterCell`. */
export class GaugeCell {
  value = 0

  set(value: number): void {
    this.value = value
  }

  add(amount: number): void {
    this.value += amount
  }
}

/** Observations by bucket; see `CounterCell`. Values that are not finite are left out. */
export class HistogramCell {
  readonly #bounds: Float64Array
  /** Observations per bucket, not cumulative; the last one is for values above every bound. */
  readonly counts: Float64Array
  sum = 0

  /** @param bounds - upper bounds of the buckets, inclusive, ascending; at most a few dozen, since they are searched one by one */
  constructor(bounds: readonly number[]) {
    this.#bounds = Float64Array.from(bounds)
    this.counts = new Float64Array(bounds.length + 1)
  }

  observe(value: number): void {
    // Infinity and NaN alike: one of them would spoil the sum for good.
    if (value - value !== 0) return
    const bounds = this.#bounds
    let bucket = 0
    while (bucket < bounds.length && value > (bounds[bucket] as number)) bucket++
    this.counts[bucket] = (this.counts[bucket] as number) + 1
    this.sum += value
  }
}

/** The cells of one metric, one for each set of label values. */
export class CellTable<Cell> {
  readonly #names: readonly string[]
  readonly #make: () => Cell
  readonly #cells = new Map<string, { labels: Readonly<Record<string, string>>; cell: Cell }>()

  constructor(names: readonly string[], make: () => Cell) {
    this.#names = names
    this.#make = make
  }

  /** The cell for these label values; the same one each time. @throws Error for a label that the metric does not have */
  of(labels: Readonly<Record<string, string>>): Cell {
    const unknown = Object.keys(labels).find((name) => !this.#names.includes(name))
    if (unknown !== undefined) throw new Error(`the metric has no label "${unknown}"`)
    const key = this.#names.map((name) => labels[name] ?? '').join('\0')
    let entry = this.#cells.get(key)
    if (!entry) {
      entry = { labels: { ...labels }, cell: this.#make() }
      this.#cells.set(key, entry)
    }
    return entry.cell
  }

  entries(): Iterable<{ labels: Readonly<Record<string, string>>; cell: Cell }> {
    return this.#cells.values()
  }
}
