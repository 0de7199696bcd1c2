import { copyBytes } from './copy-bytes.ts'
import { DynamicTable, type FieldTable, metaStride } from './dynamic-table.ts'
import { ErrorCode } from './error-code.ts'
import { Kind, kindOfName, Pseudo, withValue } from './field-kind.ts'
import { huffmanDecode } from './huffman.ts'
import type { ReceivedHead } from './received-head.ts'
import { staticCount, staticTable } from './static-table.ts'

/** No integer of HPACK means anything beyond this: lengths, indexes and table sizes are all far smaller. */
const integerMax = 0xff_ffff

/**
 * Decodes header blocks of one direction of a connection (RFC 7541). Entries of the table carry their HTTP/1.1 line and all that is to be
 * known of them, so a repeated field is not judged again. Never throws: what is wrong comes back as an error code.
 */
export class HpackDecoder {
  readonly table: DynamicTable
  readonly #tableMax: number
  /** Where the decoder stands in the block; -1 after an integer or string that is wrong. */
  #pos = 0

  /** @param tableBytes - SETTINGS_HEADER_TABLE_SIZE as told to the peer, at least the 4,096 that it may use untold */
  constructor(tableBytes: number) {
    this.#tableMax = tableBytes
    this.table = new DynamicTable(tableBytes)
  }

  /**
   * Decodes one whole block, `src[start, end)`, into `head`, on which `start` was called.
   * @returns 0; `compression` when the block cannot be decoded; `enhanceYourCalm` when it unfolds beyond `headerListBytesMax`. Both end the
   * connection, since the table is no longer the peer's
   */
  decode(src: Buffer, start: number, end: number, head: ReceivedHead): number {
    this.#pos = start
    let mayResize = true
    while (this.#pos < end) {
      const byte = src[this.#pos] as number
      if (byte >= 0x80) {
        const error = this.#indexed(src, end, head)
        if (error !== ErrorCode.none) return error
        mayResize = false
      } else if (byte >= 0x40 || byte < 0x20) {
        const error = this.#literal(src, end, head, byte >= 0x40)
        if (error !== ErrorCode.none) return error
        mayResize = false
      } else {
        // Sizes change only at the start of a block (RFC 7541 §4.2).
        const size = this.#integer(src, end, 0x1f)
        if (!mayResize || this.#pos < 0 || size > this.#tableMax) return ErrorCode.compression
        this.table.resize(size)
      }
    }
    return ErrorCode.none
  }

  #indexed(src: Buffer, end: number, head: ReceivedHead): number {
    const index = this.#integer(src, end, 0x7f)
    if (this.#pos < 0 || index === 0) return ErrorCode.compression
    if (index <= staticCount) return head.takeEntry(staticTable, index - 1) ? ErrorCode.none : ErrorCode.enhanceYourCalm
    const slot = this.table.slotAt(index - staticCount - 1)
    if (slot < 0) return ErrorCode.compression
    return head.takeEntry(this.table, slot) ? ErrorCode.none : ErrorCode.enhanceYourCalm
  }

  #literal(src: Buffer, end: number, head: ReceivedHead, keep: boolean): number {
    const out = head.bytes
    const at = head.end
    const index = this.#integer(src, end, keep ? 0x3f : 0x0f)
    if (this.#pos < 0) return ErrorCode.compression
    let kind = 0
    let nameEnd = at
    if (index === 0) {
      nameEnd = this.#string(src, end, out, at)
      if (nameEnd < 0) return ErrorCode.compression
      kind = kindOfName(out, at, nameEnd)
    } else {
      const table: FieldTable = index <= staticCount ? staticTable : this.table
      const slot = index <= staticCount ? index - 1 : this.table.slotAt(index - staticCount - 1)
      if (slot < 0) return ErrorCode.compression
      const base = slot * metaStride
      nameEnd = copyBytes(table.bytes, table.meta[base] as number, table.meta[base + 1] as number, out, at)
      kind = table.meta[base + 3] as number
    }
    out[nameEnd] = 0x3a
    out[nameEnd + 1] = 0x20
    const valueAt = nameEnd + 2
    const valueEnd = this.#string(src, end, out, valueAt)
    if (valueEnd < 0) return ErrorCode.compression
    out[valueEnd] = 0x0d
    out[valueEnd + 1] = 0x0a
    kind = withValue(kind, out, valueAt, valueEnd)
    const pseudo = (kind & Kind.pseudo) >>> Kind.pseudoShift
    const text =
      pseudo === Pseudo.none || pseudo === Pseudo.path || pseudo === Pseudo.unknown
        ? ''
        : out.toString('latin1', valueAt, valueEnd)
    if (keep) this.table.insert(out, at, nameEnd - at, valueEnd - valueAt, kind, text)
    return head.takeLine(nameEnd - at, valueEnd - valueAt, kind, text) ? ErrorCode.none : ErrorCode.enhanceYourCalm
  }

  /** RFC 7541 §5.2. @returns the offset in `out` past the text, or -1 */
  #string(src: Buffer, end: number, out: Buffer, at: number): number {
    if (this.#pos >= end) return -1
    const huffman = (src[this.#pos] as number) >= 0x80
    const length = this.#integer(src, end, 0x7f)
    const from = this.#pos
    if (from < 0 || length > end - from) return -1
    this.#pos = from + length
    // The room is there by design; this keeps a mistake in that reckoning from becoming more than an error.
    if (at + (((length * 8) / 5) | 0) + 4 > out.length) return -1
    if (huffman) return huffmanDecode(src, from, from + length, out, at)
    return copyBytes(src, from, length, out, at)
  }

  /** RFC 7541 §5.1. `prefix` is the mask of the bits that belong to the integer. Sets `#pos` to -1 when it is too large or cut off. */
  #integer(src: Buffer, end: number, prefix: number): number {
    let pos = this.#pos
    let value = (src[pos++] as number) & prefix
    if (value === prefix) {
      let shift = 0
      for (;;) {
        if (pos >= end || shift > 21) {
          this.#pos = -1
          return 0
        }
        const byte = src[pos++] as number
        value += (byte & 0x7f) << shift
        shift += 7
        if (byte < 0x80) break
      }
      if (value > integerMax) {
        this.#pos = -1
        return 0
      }
    }
    this.#pos = pos
    return value
  }
}
