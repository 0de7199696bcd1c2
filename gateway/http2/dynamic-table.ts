import { copyBytes } from './copy-bytes.ts'

/** Numbers per entry in `meta`: where its line starts in `bytes`, length of the name, length of the value, and its `Kind`. */
export const metaStride = 4

/** RFC 7541 §4.1: what an entry counts beyond its name and value. */
export const entryOverhead = 32

/**
 * Entries of HPACK, each kept as the HTTP/1.1 line it stands for (`name: value` and CRLF) with its kind: using one costs one look and one
 * copy. Entries are addressed by slot.
 */
export interface FieldTable {
  readonly bytes: Buffer
  readonly meta: Int32Array
  /** Values of pseudo-header fields as text, by slot; '' for all other entries and for `:path`, which is needed as bytes. */
  readonly texts: string[]
}

/**
 * The dynamic table of one direction of a connection (RFC 7541 §2.3.2, §4). Decoder and encoder use the same.
 *
 * Lines stand one after another in a ring of twice the table's size: since an entry counts 32 more than its name and value, live lines never
 * take more than half, so each finds room in one piece. Memory is taken with the first entry: 2 KiB and twice the size, about 10 KiB.
 */
export class DynamicTable implements FieldTable {
  bytes: Buffer = none
  meta: Int32Array = noMeta
  texts: string[] = []
  /** Entries ever inserted; the newest has this number less one. */
  inserted = 0
  count = 0
  /** RFC 7541 §4.1: names, values, and 32 for each entry. */
  size = 0
  /** Most that `size` may be now. */
  sizeMax: number
  readonly #capacity: number
  #mask = 0
  #head = 0

  /** @param capacity - largest `sizeMax` there will ever be */
  constructor(capacity: number, sizeMax = capacity) {
    this.#capacity = capacity
    this.sizeMax = sizeMax
  }

  /** Slot of the entry with this index, 0 being the newest; -1 when there is none. */
  slotAt(index: number): number {
    return index < this.count ? (this.inserted - 1 - index) & this.#mask : -1
  }

  /** Slot of the entry with this number; the caller knows that `isLive`. */
  slotOf(number: number): number {
    return number & this.#mask
  }

  /** Whether the entry with this number is still there. */
  isLive(number: number): boolean {
    return number >= this.inserted - this.count && number < this.inserted
  }

  /** RFC 7541 §4.3. The caller has checked that `size` is no more than the capacity. */
  resize(size: number): void {
    this.sizeMax = size
    this.#evict(size)
  }

  /**
   * Inserts the line at `line[start]`. An entry larger than the table empties it (RFC 7541 §4.4).
   * @param text - the value as text, for pseudo-header fields
   */
  insert(line: Buffer, start: number, nameBytes: number, valueBytes: number, kind: number, text: string): void {
    const size = nameBytes + valueBytes + entryOverhead
    this.#evict(this.sizeMax - size)
    if (size > this.sizeMax) return
    if (this.bytes.length === 0) this.#allocate()
    const length = nameBytes + valueBytes + 4
    if (this.#head + length > this.bytes.length) this.#head = 0
    const slot = this.inserted & this.#mask
    const at = this.#head
    this.#head = copyBytes(line, start, length, this.bytes, at)
    const base = slot * metaStride
    this.meta[base] = at
    this.meta[base + 1] = nameBytes
    this.meta[base + 2] = valueBytes
    this.meta[base + 3] = kind
    this.texts[slot] = text
    this.inserted++
    this.count++
    this.size += size
  }

  #evict(target: number): void {
    while (this.size > target && this.count > 0) {
      const slot = (this.inserted - this.count) & this.#mask
      const base = slot * metaStride
      this.size -= (this.meta[base + 1] as number) + (this.meta[base + 2] as number) + entryOverhead
      this.texts[slot] = ''
      this.count--
    }
  }

  #allocate(): void {
    const entriesMax = Math.floor(this.#capacity / entryOverhead) + 1
    const slots = 1 << Math.ceil(Math.log2(entriesMax))
    this.#mask = slots - 1
    this.meta = new Int32Array(slots * metaStride)
    this.texts = new Array(slots).fill('')
    this.bytes = Buffer.allocUnsafeSlow(this.#capacity * 2)
  }
}

const none = Buffer.alloc(0)
const noMeta = new Int32Array(0)
