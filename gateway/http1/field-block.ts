import { classify, fieldRules, hashStep, keepThoughNominated } from './known-fields.ts'

/** Header fields one block can hold: more than any limit that may be configured for requests (100) or answers (200), trailers included. */
export const blockFieldsMax = 256

/**
 * A block of header fields: their bytes as HTTP/1.1 lines, and where each name and value stands. Both protocols and both directions use
 * it: HTTP/1 scans it out of what was received, HTTP/2 writes decoded fields as lines into it. No text is made until somebody asks.
 *
 * Lines are contiguous: field `i` occupies `[lineStart(i), lineEnd(i))` including its CRLF. Names are tokens, values hold no CR, LF or NUL:
 * who fills a block has checked that, so lines may be copied into any message as they are.
 *
 * A block is taken from the pool with `takeBlock` and given back with `release` when its message is over. `bytes` must not change meanwhile.
 */
export class FieldBlock {
  bytes: Buffer = empty
  count = 0
  /** Four per field: start and end of the name, start and end of the value (without the white space around it). */
  readonly at = new Int32Array(blockFieldsMax * 4)
  /** What each field is: see `known-fields.ts`; 0 for every other name. */
  readonly code = new Uint8Array(blockFieldsMax)
  /** 1 for a field that policy has taken out: nobody passes it on. */
  readonly dropped = new Uint8Array(blockFieldsMax)
  /** Just past the CRLF of the last field. */
  end = 0

  /** Empties the block. `at` is where its first line will start. */
  reset(bytes: Buffer, at = 0): void {
    this.bytes = bytes
    this.count = 0
    this.end = at
  }

  /** Notes a field whose line stands in `bytes` already. Returns false when the block is full. */
  add(nameStart: number, nameEnd: number, valueStart: number, valueEnd: number, code: number): boolean {
    const index = this.count
    if (index >= blockFieldsMax) return false
    const base = index * 4
    this.at[base] = nameStart
    this.at[base + 1] = nameEnd
    this.at[base + 2] = valueStart
    this.at[base + 3] = valueEnd
    this.code[index] = code
    this.dropped[index] = 0
    this.count = index + 1
    return true
  }

  lineStart(index: number): number {
    return this.at[index * 4] as number
  }

  lineEnd(index: number): number {
    return index + 1 < this.count ? (this.at[index * 4 + 4] as number) : this.end
  }

  /** Index of the first field with this code at or after `from`, or -1. Dropped ones are found too. */
  find(code: number, from = 0): number {
    for (let i = from; i < this.count; i++) if (this.code[i] === code) return i
    return -1
  }

  /** Value of the first field with this code as latin1 text, or undefined. */
  valueOf(code: number): string | undefined {
    const index = this.find(code)
    return index < 0 ? undefined : this.value(index)
  }

  name(index: number): string {
    return this.bytes.toString('latin1', this.at[index * 4] as number, this.at[index * 4 + 1] as number)
  }

  value(index: number): string {
    return this.bytes.toString('latin1', this.at[index * 4 + 2] as number, this.at[index * 4 + 3] as number)
  }

  /** Whether the name of a field equals `lower` (lower-case letters), in whatever case it is written. */
  isNamed(index: number, lower: string): boolean {
    const start = this.at[index * 4] as number
    return (this.at[index * 4 + 1] as number) - start === lower.length && this.name(index).toLowerCase() === lower
  }

  /** Drops every field for which the rule of its name has one of `bits`. */
  dropBy(bits: number): void {
    const { code, dropped, count } = this
    for (let i = 0; i < count; i++) if (((fieldRules[code[i] as number] as number) & bits) !== 0) dropped[i] = 1
  }

  /** Drops every field named `lower`, unless its kind is protected from being named in Connection. */
  dropNominated(lower: string): void {
    for (let i = 0; i < this.count; i++) {
      const rule = fieldRules[this.code[i] as number] as number
      if ((rule & keepThoughNominated) === 0 && this.isNamed(i, lower)) this.dropped[i] = 1
    }
  }

  /** Points the block at a copy of its lines in other bytes: every offset moves by `shift`. */
  moveTo(bytes: Buffer, shift: number): void {
    for (let i = 0; i < this.count * 4; i++) this.at[i] = (this.at[i] as number) + shift
    this.end += shift
    this.bytes = bytes
  }

  /** A block of its own with the same fields and marks, over a copy of the bytes: for what must outlive the buffer it was read into. */
  copy(): FieldBlock {
    const copy = takeBlock()
    const first = this.count > 0 ? this.lineStart(0) : this.end
    copy.at.set(this.at.subarray(0, this.count * 4))
    copy.code.set(this.code.subarray(0, this.count))
    copy.dropped.set(this.dropped.subarray(0, this.count))
    copy.count = this.count
    copy.end = this.end
    copy.moveTo(Buffer.from(this.bytes.subarray(first, this.end)), -first)
    return copy
  }

  /**
   * Copies the lines of all fields that are not dropped, in order, runs of neighbours at once.
   * @returns the offset in `out` just past them; the caller has made sure that `end - lineStart(0)` bytes are free
   */
  writeKept(out: Buffer, at: number): number {
    const { bytes, dropped, count } = this
    let run = -1
    for (let i = 0; i < count; i++) {
      if (dropped[i] === 0) {
        if (run < 0) run = i
      } else if (run >= 0) {
        at += bytes.copy(out, at, this.lineStart(run), this.lineStart(i))
        run = -1
      }
    }
    if (run >= 0) at += bytes.copy(out, at, this.lineStart(run), this.end)
    return at
  }

  /** The fields that are not dropped as pairs of text, for code off the hot path and for tests. */
  pairs(): string[] {
    const list: string[] = []
    for (let i = 0; i < this.count; i++) if (this.dropped[i] === 0) list.push(this.name(i), this.value(i))
    return list
  }
}

const empty = Buffer.alloc(0)
const pool: FieldBlock[] = []
/** Blocks kept for reuse: 4.5 KiB each, so at most 4.5 MiB. */
const pooledMax = 1_024

/** An empty block. Give it back with `releaseBlock`, once. */
export function takeBlock(): FieldBlock {
  return pool.pop() ?? new FieldBlock()
}

/** Gives a block back. Its bytes are let go of; using it afterwards is a fault. */
export function releaseBlock(block: FieldBlock): void {
  block.bytes = empty
  block.count = 0
  if (pool.length < pooledMax) pool.push(block)
}

/**
 * A block of our own from pairs of name and value, for pages and other answers that the gateway makes itself.
 * Values must be free of CR, LF and NUL: a caller that passes on outside text checks it first.
 */
export function blockOf(pairs: readonly string[]): FieldBlock {
  let text = ''
  for (let i = 0; i + 1 < pairs.length; i += 2) text += `${pairs[i]}: ${pairs[i + 1]}\r\n`
  const block = takeBlock()
  block.reset(Buffer.from(text, 'latin1'))
  let at = 0
  for (let i = 0; i + 1 < pairs.length; i += 2) {
    const nameEnd = at + (pairs[i] as string).length
    const valueEnd = nameEnd + 2 + (pairs[i + 1] as string).length
    block.add(at, nameEnd, nameEnd + 2, valueEnd, codeAt(block.bytes, at, nameEnd))
    at = valueEnd + 2
  }
  block.end = at
  return block
}

/** The code of the name at `[start, end)`. */
export function codeAt(bytes: Uint8Array, start: number, end: number): number {
  let hash = 0
  for (let i = start; i < end; i++) {
    const byte = bytes[i] as number
    hash = hashStep(hash, byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte)
  }
  return classify(bytes, start, end, hash)
}
