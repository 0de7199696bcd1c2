import type { FieldBlock } from '../http1/field-block.ts'
import { aboutClientCode, fieldRules, hashStep, type KnownName, knownNames } from '../http1/known-fields.ts'
import { copyBytes } from './copy-bytes.ts'
import { DynamicTable, entryOverhead, metaStride } from './dynamic-table.ts'
import { huffmanEncode, huffmanLength } from './huffman.ts'
import { staticCount, staticSlotOf, staticTable } from './static-table.ts'

/** Static indexes of pseudo-header fields, for `pseudo`. */
export const PseudoIndex = { authority: 1, method: 2, path: 4, scheme: 6, status: 8 } as const

/** `fields` and `pseudo` write at most this much more per field than its HTTP/1.1 line has. */
export const encodedFieldOverhead = 6
/** `start`, `status` and `contentLength` together write at most this much. */
export const encodedStartMax = 40

const contentLengthIndex = 28

const plain = 0
const never = 1
const indexed = 2

/** How the field of each code is written. Secrets are never indexed (RFC 7541 §7.1.3); what differs each time would only push others out. */
const manners = new Uint8Array(aboutClientCode + 1).fill(indexed)
const neverIndexed: readonly KnownName[] = ['set-cookie', 'cookie', 'authorization', 'proxy-authorization']
const unlikeEachTime: readonly KnownName[] = ['content-length', 'content-range', 'etag', 'retry-after', 'range']
for (const name of neverIndexed) manners[knownNames.indexOf(name)] = never
for (const name of [
  ...unlikeEachTime,
  'if-none-match',
  'if-range',
  'x-request-id',
  'x-forwarded-for',
  'sec-websocket-key',
])
  manners[knownNames.indexOf(name as KnownName)] = plain

/** Static index of each known name, 0 for none. */
const indexOfCode = Uint8Array.from(knownNames, (name) => {
  const bytes = Buffer.from(name)
  return (
    staticSlotOf(
      bytes,
      0,
      bytes.length,
      bytes.reduce((hash, byte) => hashStep(hash, byte), 0),
    ) + 1
  )
})

const statusIndex = new Uint8Array(600)
for (const [index, status] of [200, 204, 206, 304, 400, 404, 500].entries()) statusIndex[status] = 8 + index

/** Places that remember what was sent last under a name: one for each known name, the rest share by hash. */
const places = 128
const placesMask = places / 2 - 1
/** Longest line that is given an entry, as a share of the table: one field must not push out all others. */
const entryShare = 4
/** Work space, free between two calls: a name in lower case, or a whole line. */
let line = Buffer.allocUnsafeSlow(16_384)

/**
 * Encodes header blocks of one direction of a connection (RFC 7541). A field enters the dynamic table when its value comes the second time in
 * a row under its name; from then on it costs one byte or two. Other values are written as they are: coding them would cost more than the
 * bytes are worth.
 *
 * The caller sees to room: for each field `encodedFieldOverhead` more than its line, and `encodedStartMax`.
 */
export class HpackEncoder {
  /** Offset just past what was written. */
  at = 0
  #out: Buffer = none
  readonly #tableMax: number
  readonly #table: DynamicTable
  /** Number of the entry that each place remembers, plus one. */
  #entries: Int32Array = nothing
  /** Hash of the line that came last and has no entry. */
  #seen: Int32Array = nothing
  #resized = false
  #resizedMin = 0

  /** @param tableBytes - most memory to spend on the table, whatever the peer allows; at most 4,096 are used before it says more */
  constructor(tableBytes: number) {
    this.#tableMax = tableBytes
    this.#table = new DynamicTable(tableBytes, Math.min(tableBytes, 4_096))
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE. Takes effect at once, and is told with the next block (RFC 7541 §4.2). */
  allowTable(bytes: number): void {
    const size = Math.min(bytes, this.#tableMax)
    if (size === this.#table.sizeMax) return
    this.#resizedMin = this.#resized ? Math.min(this.#resizedMin, size) : size
    this.#resized = true
    this.#table.resize(size)
  }

  /** Begins a block in `out` at `at`. */
  start(out: Buffer, at: number): void {
    this.#out = out
    this.at = at
    if (!this.#resized) return
    this.#resized = false
    if (this.#resizedMin < this.#table.sizeMax) this.#integer(0x20, 0x1f, this.#resizedMin)
    this.#integer(0x20, 0x1f, this.#table.sizeMax)
  }

  /** Writes `:status`. */
  status(status: number): void {
    const index = statusIndex[status] as number
    if (index > 0) {
      this.#out[this.at++] = 0x80 | index
      return
    }
    const out = this.#out
    const { at } = this
    out[at] = PseudoIndex.status
    out[at + 1] = 3
    out[at + 2] = 0x30 + Math.trunc(status / 100)
    out[at + 3] = 0x30 + (Math.trunc(status / 10) % 10)
    out[at + 4] = 0x30 + (status % 10)
    this.at = at + 5
  }

  /** Writes `content-length`. */
  contentLength(bytes: number): void {
    this.#integer(0, 0x0f, contentLengthIndex)
    const digits = String(bytes)
    this.#integer(0, 0x7f, digits.length)
    for (let i = 0; i < digits.length; i++) this.#out[this.at++] = digits.charCodeAt(i)
  }

  /**
   * Writes a pseudo-header field of a request (`PseudoIndex`), from `bytes[start, end)`. Method, scheme and authority enter the table when
   * they repeat; paths do not.
   */
  pseudo(index: number, bytes: Buffer, start: number, end: number): void {
    if (index !== PseudoIndex.authority && this.#staticValue(index, bytes, start, end)) return
    if (index === PseudoIndex.path) {
      this.#literal(0, 0x0f, index, 0, bytes, start, end)
      return
    }
    const base = (index - 1) * metaStride
    const nameBytes = staticTable.meta[base + 1] as number
    copyBytes(staticTable.bytes, staticTable.meta[base] as number, nameBytes, line, 0)
    this.#remember(index, index, index, nameBytes, bytes, start, end)
  }

  /** Writes all fields that are not dropped, and for which the rule of `known-fields.ts` has none of the `skip` bits. */
  fields(block: FieldBlock, skip: number): void {
    const { at, code, dropped, count, bytes } = block
    for (let i = 0; i < count; i++) {
      const fieldCode = code[i] as number
      if (dropped[i] !== 0 || ((fieldRules[fieldCode] as number) & skip) !== 0) continue
      const nameStart = at[i * 4] as number
      const nameBytes = (at[i * 4 + 1] as number) - nameStart
      this.#field(bytes, nameStart, nameBytes, at[i * 4 + 2] as number, at[i * 4 + 3] as number, fieldCode)
    }
  }

  #field(bytes: Buffer, nameStart: number, nameBytes: number, start: number, end: number, code: number): void {
    const hash = lowerName(bytes, nameStart, nameBytes)
    const known = code !== 0 && code !== aboutClientCode
    const index = known ? (indexOfCode[code] as number) : staticSlotOf(line, 0, nameBytes, hash) + 1
    const manner = manners[code] as number
    if (manner === indexed) {
      const place = known ? code & placesMask : placesMask + 1 + (hash & placesMask)
      this.#remember(place, hash, index, nameBytes, bytes, start, end)
    } else this.#literal(manner === never ? 0x10 : 0, 0x0f, index, nameBytes, bytes, start, end)
  }

  /** Writes a field whose name stands in `line`: as an index when it has an entry; it gets one when it comes the second time in a row. */
  #remember(
    place: number,
    seed: number,
    index: number,
    nameBytes: number,
    bytes: Buffer,
    start: number,
    end: number,
  ): void {
    if (this.#entries.length === 0) {
      this.#entries = new Int32Array(places)
      this.#seen = new Int32Array(places)
    }
    const table = this.#table
    const number = (this.#entries[place] as number) - 1
    if (number >= 0 && table.isLive(number) && this.#isEntry(number, nameBytes, bytes, start, end)) {
      this.#integer(0x80, 0x7f, staticCount + table.inserted - number)
      return
    }
    let hash = seed
    for (let i = start; i < end; i++) hash = hashStep(hash, bytes[i] as number)
    const size = nameBytes + end - start + entryOverhead
    if (this.#seen[place] !== hash || size * entryShare > table.sizeMax || size > line.length) {
      this.#seen[place] = hash
      this.#literal(0, 0x0f, index, nameBytes, bytes, start, end)
      return
    }
    this.#literal(0x40, 0x3f, index, nameBytes, bytes, start, end)
    line[nameBytes] = 0x3a
    line[nameBytes + 1] = 0x20
    copyBytes(bytes, start, end - start, line, nameBytes + 2)
    table.insert(line, 0, nameBytes, end - start, 0, '')
    this.#entries[place] = table.inserted
  }

  #isEntry(number: number, nameBytes: number, bytes: Buffer, start: number, end: number): boolean {
    const { meta, bytes: lines } = this.#table
    const base = this.#table.slotOf(number) * metaStride
    if (meta[base + 1] !== nameBytes || meta[base + 2] !== end - start) return false
    const at = meta[base] as number
    for (let i = 0; i < nameBytes; i++) if (lines[at + i] !== line[i]) return false
    const valueAt = at + nameBytes + 2 - start
    for (let i = start; i < end; i++) if (lines[valueAt + i] !== bytes[i]) return false
    return true
  }

  /** Whether one of the two entries of the static table from `index` on has this value; writes it then. */
  #staticValue(index: number, bytes: Buffer, start: number, end: number): boolean {
    const { meta, bytes: lines } = staticTable
    for (let slot = index - 1; slot < index + 1; slot++) {
      const valueAt = (meta[slot * metaStride] as number) + (meta[slot * metaStride + 1] as number) + 2
      const valueBytes = meta[slot * metaStride + 2] as number
      if (
        valueBytes === end - start &&
        valueBytes > 0 &&
        bytes.compare(lines, valueAt, valueAt + valueBytes, start, end) === 0
      ) {
        this.#out[this.at++] = 0x80 | (slot + 1)
        return true
      }
    }
    return false
  }

  /**
   * Writes a literal (RFC 7541 §6.2): its name as an index, or as it stands in `line` when `index` is 0. A value that gets an entry is
   * Huffman coded where that is shorter.
   */
  #literal(
    first: number,
    prefix: number,
    index: number,
    nameBytes: number,
    bytes: Buffer,
    start: number,
    end: number,
  ): void {
    this.#integer(first, prefix, index)
    if (index === 0) {
      this.#integer(0, 0x7f, nameBytes)
      this.at = copyBytes(line, 0, nameBytes, this.#out, this.at)
    }
    const coded = first === 0x40 ? huffmanLength(bytes, start, end) : end - start
    if (coded < end - start) {
      this.#integer(0x80, 0x7f, coded)
      this.at = huffmanEncode(bytes, start, end, this.#out, this.at)
    } else {
      this.#integer(0, 0x7f, end - start)
      this.at = copyBytes(bytes, start, end - start, this.#out, this.at)
    }
  }

  /** RFC 7541 §5.1. */
  #integer(first: number, prefix: number, value: number): void {
    const out = this.#out
    if (value < prefix) {
      out[this.at++] = first | value
      return
    }
    out[this.at++] = first | prefix
    let rest = value - prefix
    while (rest >= 0x80) {
      out[this.at++] = 0x80 | (rest & 0x7f)
      rest >>>= 7
    }
    out[this.at++] = rest
  }
}

const none = Buffer.alloc(0)
const nothing = new Int32Array(0)

/** Writes the name in lower case to the start of `line`. @returns its hash */
function lowerName(bytes: Buffer, start: number, length: number): number {
  if (length > line.length) line = Buffer.allocUnsafeSlow(length * 2)
  let hash = 0
  for (let i = 0; i < length; i++) {
    let byte = bytes[start + i] as number
    if (byte >= 0x41 && byte <= 0x5a) byte |= 0x20
    line[i] = byte
    hash = hashStep(hash, byte)
  }
  return hash
}
