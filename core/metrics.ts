import { AggregatorRegistry, Counter, collectDefaultMetrics, Gauge, type Histogram, Registry } from 'prom-client'
import { CellTable, CounterCell, GaugeCell, HistogramCell } from './metric-cells.ts'

export type { CounterCell, GaugeCell, HistogramCell } from './metric-cells.ts'

type Labels = Readonly<Record<string, string>>

/** Each kind of metric hands out cells for code that runs per request. A call without labels is as cheap as one on a cell. */
export interface CounterMetric {
  add(labels?: Labels, amount?: number): void
  cell(labels?: Labels): CounterCell
}
export interface GaugeMetric {
  set(value: number, labels?: Labels): void
  cell(labels?: Labels): GaugeCell
}
export interface HistogramMetric {
  observe(value: number, labels?: Labels): void
  cell(labels?: Labels): HistogramCell
}

/** One metric with its values at one moment, as plain data that can go to another process. */
export interface MetricSnapshot {
  name: string
  help: string
  type: string
  /** How the values of several processes become one: `sum` unless the runtime's own metrics say otherwise. */
  aggregator: string
  values: { labels: Record<string, string | number>; value: number; metricName?: string }[]
}

/** All metrics of one process at one moment. */
export type MetricsSnapshot = readonly MetricSnapshot[]

/**
 * Where a process counts what it does. Names follow Prometheus: base unit last (`_seconds`, `_bytes`, `_total`).
 * A label value must come from a small fixed set; never an address, host name, path or hash.
 */
export interface Metrics {
  counter(name: string, help: string, labels?: readonly string[]): CounterMetric
  gauge(name: string, help: string, labels?: readonly string[]): GaugeMetric
  histogram(name: string, help: string, buckets: readonly number[], labels?: readonly string[]): HistogramMetric
  /** The Prometheus text exposition format 0.0.4; with the values of other processes added, if there are any. */
  text(others?: readonly MetricsSnapshot[]): Promise<string>
  /** The values now, for a process that shows them together with its own. */
  snapshot(): Promise<MetricsSnapshot>
  readonly contentType: string
}

/** Metrics of one process. `defaults` adds the runtime's own (memory, event loop, garbage collection). */
export function createMetrics(options: { defaults?: boolean } = {}): Metrics {
  const registry = new Registry()
  if (options.defaults) collectDefaultMetrics({ register: registry })
  const snapshot = async (): Promise<MetricsSnapshot> => (await registry.getMetricsAsJSON()) as never
  return {
    contentType: registry.contentType,
    snapshot,
    text: async (others = []) =>
      others.length === 0 ? registry.metrics() : aggregate([await ownSnapshot(snapshot), ...others]).metrics(),
    counter: (name, help, labels = []) => counterMetric(registry, { name, help, labelNames: [...labels] }),
    gauge: (name, help, labels = []) => gaugeMetric(registry, { name, help, labelNames: [...labels] }),
    histogram: (name, help, buckets, labels = []) =>
      histogramMetric(registry, { name, help, labelNames: [...labels] }, buckets),
  }
}

/**
 * What stays of processes that have ended: the sums of counters and histograms, so that totals never go back. Gauges end with their process.
 */
export function keepTotals(kept: MetricsSnapshot, ended: MetricsSnapshot): MetricsSnapshot {
  const totals = ended.filter(({ type }) => type === 'counter' || type === 'histogram')
  const sums = aggregate([kept, totals]).getMetricsAsArray() as unknown as MetricSnapshot[]
  return sums.map(({ name, help, type, aggregator, values }) => ({ name, help, type, aggregator, values }))
}

function aggregate(snapshots: readonly MetricsSnapshot[]): Registry {
  return AggregatorRegistry.aggregate(snapshots as object[])
}

/** Of the metrics that make no sense as a sum (when the process started, say), the ones of this process are shown. */
async function ownSnapshot(snapshot: () => Promise<MetricsSnapshot>): Promise<MetricsSnapshot> {
  return (await snapshot()).map((metric) =>
    metric.aggregator === 'omit' ? { ...metric, aggregator: 'first' } : metric,
  )
}

interface Definition {
  name: string
  help: string
  labelNames: string[]
}

function counterMetric(registry: Registry, definition: Definition): CounterMetric {
  const cells = new CellTable(definition.labelNames, () => new CounterCell())
  const metric = new Counter({
    ...definition,
    registers: [registry],
    collect() {
      for (const { labels, cell } of cells.entries()) {
        if (cell.value > 0) this.inc(labels, cell.value)
        cell.value = 0
      }
    },
  })
  const plain = cells.of({})
  return {
    add: (labels, amount = 1) => (labels === undefined ? plain.add(amount) : metric.inc(labels, amount)),
    cell: (labels = {}) => cells.of(labels),
  }
}

function gaugeMetric(registry: Registry, definition: Definition): GaugeMetric {
  const cells = new CellTable(definition.labelNames, () => new GaugeCell())
  new Gauge({
    ...definition,
    registers: [registry],
    collect() {
      for (const { labels, cell } of cells.entries()) this.set(labels, cell.value)
    },
  })
  const plain = definition.labelNames.length === 0 ? cells.of({}) : undefined
  return {
    set: (value, labels) => (labels === undefined && plain ? plain : cells.of(labels ?? {})).set(value),
    cell: (labels = {}) => cells.of(labels),
  }
}

function histogramMetric(registry: Registry, definition: Definition, buckets: readonly number[]): HistogramMetric {
  const cells = new CellTable(definition.labelNames, () => new HistogramCell(buckets))
  const { name, help } = definition
  // The package has no way to add to its buckets, so the registry gets a metric of our own, with values in the package's order.
  const metric = {
    name,
    help,
    type: 'histogram',
    aggregator: 'sum',
    get: () => ({ name, help, type: 'histogram', aggregator: 'sum', values: histogramValues(name, buckets, cells) }),
    reset() {},
  }
  registry.registerMetric(metric as unknown as Histogram)
  const plain = definition.labelNames.length === 0 ? cells.of({}) : undefined
  return {
    observe: (value, labels) => (labels === undefined && plain ? plain : cells.of(labels ?? {})).observe(value),
    cell: (labels = {}) => cells.of(labels),
  }
}

function histogramValues(
  name: string,
  buckets: readonly number[],
  cells: CellTable<HistogramCell>,
): MetricSnapshot['values'] {
  const values: MetricSnapshot['values'] = []
  for (const { labels, cell } of cells.entries()) {
    let count = 0
    for (const [index, bound] of [...buckets, '+Inf'].entries()) {
      count += cell.counts[index] as number
      values.push({ labels: { le: bound, ...labels }, value: count, metricName: `${name}_bucket` })
    }
    values.push({ labels: { ...labels }, value: cell.sum, metricName: `${name}_sum` })
    values.push({ labels: { ...labels }, value: count, metricName: `${name}_count` })
  }
  return values
}
