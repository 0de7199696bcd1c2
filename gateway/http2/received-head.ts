import { blockFieldsMax, FieldBlock, releaseBlock, takeBlock } from '../http1/field-block.ts'
import { Field } from '../http1/known-fields.ts'
import { copyBytes } from './copy-bytes.ts'
import { entryOverhead, type FieldTable, metaStride } from './dynamic-table.ts'
import { Kind, Pseudo } from './field-kind.ts'
import { releaseHeadBytes, takeHeadBytes } from './head-bytes.ts'

/** What limits the head of a message. All sizes in bytes. */
export interface HeadLimits {
  /** Fields as HTTP/1.1 lines, pseudo-header fields other than `:path` included. Beyond it: `tooLarge`. */
  headBytesMax: number
  /** Number of fields; cookie crumbs count as one. Beyond it: `tooMany`. */
  headFieldsMax: number
  /** The value of `:path`. Beyond it: `pathTooLong`. */
  uriBytesMax: number
  /** Compressed size of one header block. */
  headerBlockBytesMax: number
  /** Uncompressed size by RFC 9113 §6.5.2, up to which a block is decoded at all. */
  headerListBytesMax: number
  /** Size of the decoder's dynamic table. */
  headerTableBytes: number
}

const crlf0 = 0x0d
const crlf1 = 0x0a
const cookieNameBytes = 6

/**
 * Where a header block is decoded to: fields as HTTP/1.1 lines in a `FieldBlock`, pseudo-header fields by name, and what is wrong. Decoding is
 * synchronous, so one of these serves all connections of a thread: `start`, decode, look, `takeFields`.
 *
 * Faults do not stop the decoder, which must see every block to its end; they are noted here.
 */
export class ReceivedHead {
  /** The decoder writes a literal's line at `end`; there is always room for the largest that a block can hold. */
  readonly bytes: Buffer
  end = 0
  /** The message is malformed (RFC 9113 §8.1.1). */
  malformed = false
  /** The value of `:path` is no path. */
  badPath = false
  /** The path is to be looked at for segments that climb. */
  riskyPath = false
  pathTooLong = false
  tooLarge = false
  tooMany = false
  /** A bit for each `Pseudo` number. */
  seen = 0
  method = ''
  scheme = ''
  authority = ''
  protocol = ''
  /** 0 when there was none. */
  status = 0
  pathStart = 0
  pathEnd = 0
  /** Size of the list by RFC 9113 §6.5.2, repeated table entries included. */
  listBytes = 0
  readonly #limits: HeadLimits
  #block: FieldBlock = nobody
  #lineBytes = 0
  #cookieAt = -1

  constructor(limits: HeadLimits) {
    this.#limits = { ...limits, headFieldsMax: Math.min(limits.headFieldsMax, blockFieldsMax) }
    // A name from the table, and a value of nothing but five-bit codes.
    const literalMax = limits.headerTableBytes + Math.ceil((limits.headerBlockBytesMax * 8) / 5) + entryOverhead
    this.bytes = Buffer.allocUnsafeSlow(limits.uriBytesMax + limits.headBytesMax + literalMax)
  }

  /** Forgets what was decoded before. */
  start(): void {
    this.#block = takeBlock()
    this.#block.reset(this.bytes)
    this.#lineBytes = 0
    this.#cookieAt = -1
    this.end = 0
    this.malformed = false
    this.badPath = false
    this.riskyPath = false
    this.pathTooLong = false
    this.tooLarge = false
    this.tooMany = false
    this.seen = 0
    this.method = ''
    this.scheme = ''
    this.authority = ''
    this.protocol = ''
    this.status = 0
    this.pathStart = 0
    this.pathEnd = 0
    this.listBytes = 0
  }

  /** Whether one of these pseudo-header fields was there. */
  has(pseudo: number): boolean {
    return (this.seen & (1 << pseudo)) !== 0
  }

  /**
   * The fields, with bytes of their own in which `pathStart` and `pathEnd` hold as well. Whoever takes them gives them back with
   * `releaseFields`. To be called once for each `start`, or `drop`.
   */
  takeFields(): FieldBlock {
    const block = this.#block
    const bytes = takeHeadBytes(this.end)
    copyBytes(this.bytes, 0, this.end, bytes, 0)
    block.bytes = bytes
    block.end = this.end
    this.#block = nobody
    return block
  }

  /** In place of `takeFields`, when nobody wants them. */
  drop(): void {
    releaseBlock(this.#block)
    this.#block = nobody
  }

  /** Takes an entry of a table. @returns false when the list has become too large to go on */
  takeEntry(table: FieldTable, slot: number): boolean {
    const base = slot * metaStride
    const start = table.meta[base] as number
    const nameBytes = table.meta[base + 1] as number
    const valueBytes = table.meta[base + 2] as number
    const kind = table.meta[base + 3] as number
    if (!this.#count(nameBytes, valueBytes)) return false
    if (!this.#admit(kind, nameBytes, valueBytes)) return true
    if (kind === Field.cookie && this.#cookieAt >= 0) {
      this.#joinCookie(table.bytes, start, valueBytes)
    } else if ((kind & Kind.pseudo) === 0) {
      copyBytes(table.bytes, start, nameBytes + valueBytes + 4, this.bytes, this.end)
      this.#addLine(nameBytes, valueBytes, kind)
    } else {
      if ((kind & Kind.pseudo) === Pseudo.path << Kind.pseudoShift)
        copyBytes(table.bytes, start, nameBytes + valueBytes + 4, this.bytes, this.end)
      this.#takePseudo((kind & Kind.pseudo) >>> Kind.pseudoShift, nameBytes, valueBytes, table.texts[slot] as string)
    }
    return true
  }

  /** Takes the line that stands at `end`. @returns false when the list has become too large to go on */
  takeLine(nameBytes: number, valueBytes: number, kind: number, text: string): boolean {
    if (!this.#count(nameBytes, valueBytes)) return false
    if (!this.#admit(kind, nameBytes, valueBytes)) return true
    if (kind === Field.cookie && this.#cookieAt >= 0) this.#joinCookie(this.bytes, this.end, valueBytes)
    else if ((kind & Kind.pseudo) === 0) this.#addLine(nameBytes, valueBytes, kind)
    else this.#takePseudo((kind & Kind.pseudo) >>> Kind.pseudoShift, nameBytes, valueBytes, text)
    return true
  }

  #count(nameBytes: number, valueBytes: number): boolean {
    this.listBytes += nameBytes + valueBytes + entryOverhead
    return this.listBytes <= this.#limits.headerListBytesMax
  }

  /** Notes what is wrong; true when the field is to be kept. */
  #admit(kind: number, nameBytes: number, valueBytes: number): boolean {
    if ((kind & (Kind.badName | Kind.badValue)) !== 0) this.malformed = true
    const pseudo = (kind & Kind.pseudo) >>> Kind.pseudoShift
    if (pseudo !== Pseudo.none) {
      // Each once, and all before the first other field (RFC 9113 §8.3).
      if (this.has(pseudo) || this.#block.count > 0 || this.tooMany || this.tooLarge) this.malformed = true
      this.seen |= 1 << pseudo
    }
    if (this.malformed) return false
    if (pseudo === Pseudo.path) return this.#admitPath(kind, valueBytes)
    this.#lineBytes += nameBytes + valueBytes + 4
    if (this.#lineBytes > this.#limits.headBytesMax) this.tooLarge = true
    else if (pseudo === Pseudo.none && this.#block.count >= this.#limits.headFieldsMax)
      this.tooMany ||= kind !== Field.cookie || this.#cookieAt < 0
    return !this.tooLarge && !this.tooMany
  }

  #admitPath(kind: number, valueBytes: number): boolean {
    this.pathTooLong = valueBytes > this.#limits.uriBytesMax
    this.badPath = (kind & Kind.badPath) !== 0
    this.riskyPath = (kind & Kind.riskyPath) !== 0
    return !this.pathTooLong && !this.badPath
  }

  #takePseudo(pseudo: number, nameBytes: number, valueBytes: number, text: string): void {
    if (pseudo === Pseudo.method) this.method = text
    else if (pseudo === Pseudo.scheme) this.scheme = text
    else if (pseudo === Pseudo.authority) this.authority = text
    else if (pseudo === Pseudo.protocol) this.protocol = text
    else if (pseudo === Pseudo.status) this.status = Number(text)
    else {
      this.pathStart = this.end + nameBytes + 2
      this.pathEnd = this.pathStart + valueBytes
      this.end = this.pathEnd + 2
    }
  }

  #addLine(nameBytes: number, valueBytes: number, code: number): void {
    const block = this.#block
    const nameEnd = this.end + nameBytes
    const valueEnd = nameEnd + 2 + valueBytes
    if (code === Field.cookie) this.#cookieAt = block.count
    block.add(this.end, nameEnd, nameEnd + 2, valueEnd, code)
    this.end = valueEnd + 2
    block.end = this.end
  }

  /** Appends a crumb to the cookie: HTTP/1 knows one Cookie field, its parts joined by "; " (RFC 9113 §8.2.3). */
  #joinCookie(line: Buffer, lineAt: number, valueBytes: number): void {
    const { bytes } = this
    if (this.#cookieAt !== this.#block.count - 1) this.#cookieToEnd()
    const at = this.end
    bytes[at - 2] = 0x3b
    bytes[at - 1] = 0x20
    // The crumb may stand in these same bytes, further right: `copy` moves what overlaps rightly.
    line.copy(bytes, at, lineAt + cookieNameBytes + 2, lineAt + cookieNameBytes + 2 + valueBytes)
    const valueEnd = at + valueBytes
    bytes[valueEnd] = crlf0
    bytes[valueEnd + 1] = crlf1
    this.#block.at[this.#cookieAt * 4 + 3] = valueEnd
    this.end = valueEnd + 2
    this.#block.end = this.end
  }

  /** Moves the line of the cookie behind all others, so that it can grow. Rare: clients send crumbs side by side. */
  #cookieToEnd(): void {
    const block = this.#block
    const index = this.#cookieAt
    const start = block.lineStart(index)
    const end = block.lineEnd(index)
    const line = Buffer.from(this.bytes.subarray(start, end))
    this.bytes.copyWithin(start, end, this.end)
    for (let i = index; i + 1 < block.count; i++) {
      for (let k = 0; k < 4; k++) block.at[i * 4 + k] = (block.at[i * 4 + 4 + k] as number) - line.length
      block.code[i] = block.code[i + 1] as number
    }
    const last = block.count - 1
    const at = this.end - line.length
    line.copy(this.bytes, at)
    block.at.set([at, at + cookieNameBytes, at + cookieNameBytes + 2, this.end - 2], last * 4)
    block.code[last] = Field.cookie
    this.#cookieAt = last
  }
}

const nobody = new FieldBlock()

/** Gives back what `takeFields` gave. */
export function releaseFields(block: FieldBlock): void {
  releaseHeadBytes(block.bytes)
  releaseBlock(block)
}
