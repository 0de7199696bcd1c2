import { CR, hexValue, inValue, LF, tokenLower } from './bytes.ts'
import { type FieldBlock, releaseBlock, takeBlock } from './field-block.ts'
import { Field } from './known-fields.ts'
import { needMore, Refusal, scanFields } from './scan-fields.ts'

/** Bytes of chunk extensions in one body. They are read and thrown away; nobody sends any, and endless ones are an attack. */
const extensionBytesMax = 4_096
/** Bytes of a trailer section. */
const trailerBytesMax = 8_192
const trailerFieldsMax = 64
/** Digits of a chunk size: 2^40 bytes in one chunk are plenty, and every value stays exact as a number. */
const sizeDigitsMax = 10

const State = {
  size: 0,
  extension: 1,
  quoted: 2,
  quotedPair: 3,
  sizeEnd: 4,
  data: 5,
  dataEnd: 6,
  dataEnd2: 7,
  trailers: 8,
  done: 9,
} as const

/**
 * Reads a chunked body piece by piece, wherever it is cut. Only CR LF ends a line, sizes are bounded, extensions must be well-formed and
 * are dropped.
 * @see RFC 9112 §7.1
 */
export class ChunkedDecoder {
  /** Where the data of the last `step` stands; nothing when both are equal. */
  dataStart = 0
  dataEnd = 0
  /** Set with the end of the body when it had a trailer section; whoever takes it releases it. */
  trailers: FieldBlock | undefined = undefined
  #state: number = State.size
  #remaining = 0
  #digits = 0
  #extensionBytes = 0
  /** What the extension grammar expects next. */
  #expect: number = Ext.name
  #section: Buffer | undefined = undefined

  get done(): boolean {
    return this.#state === State.done
  }

  /** Ready for another body. */
  reset(): void {
    this.#state = State.size
    this.#remaining = 0
    this.#digits = 0
    this.#extensionBytes = 0
    this.#section = undefined
    this.trailers = undefined
    this.dataStart = 0
    this.dataEnd = 0
  }

  /**
   * Consumes bytes up to and including the next piece of data, or the end of the body, or all there are.
   * @returns the offset of what is not consumed, or a refusal; call again while it is below `end` and `done` is false
   */
  step(bytes: Buffer, at: number, end: number): number {
    this.dataStart = 0
    this.dataEnd = 0
    while (at < end) {
      const byte = bytes[at] as number
      switch (this.#state) {
        case State.size: {
          const digit = hexValue[byte] as number
          if (digit !== 255) {
            if (this.#digits === sizeDigitsMax) return Refusal.badChunk
            this.#remaining = this.#remaining * 16 + digit
            this.#digits++
          } else if (this.#digits === 0) return Refusal.badChunk
          else if (byte === CR) this.#state = State.sizeEnd
          else if (byte === 0x3b) {
            this.#state = State.extension
            this.#expect = Ext.name
          } else return Refusal.badChunk
          at++
          break
        }
        case State.extension:
        case State.quoted:
        case State.quotedPair:
          if (!this.#extension(byte)) return Refusal.badChunk
          at++
          break
        case State.sizeEnd:
          if (byte !== LF) return Refusal.bareLineEnd
          this.#state = this.#remaining === 0 ? State.trailers : State.data
          this.#digits = 0
          at++
          break
        case State.data: {
          const there = Math.min(this.#remaining, end - at)
          this.dataStart = at
          this.dataEnd = at + there
          this.#remaining -= there
          if (this.#remaining === 0) this.#state = State.dataEnd
          return at + there
        }
        case State.dataEnd:
          if (byte !== CR) return Refusal.badChunk
          this.#state = State.dataEnd2
          at++
          break
        case State.dataEnd2:
          if (byte !== LF) return Refusal.bareLineEnd
          this.#state = State.size
          at++
          break
        case State.trailers:
          return this.#readTrailers(bytes, at, end)
        default:
          return at
      }
    }
    return at
  }

  /** One byte of `;name[=token|"quoted"]`. Anything else, white space too, is refused. */
  #extension(byte: number): boolean {
    if (++this.#extensionBytes > extensionBytesMax) return false
    if (this.#state === State.quotedPair) {
      this.#state = State.quoted
      return inValue[byte] === 1
    }
    if (this.#state === State.quoted) {
      if (byte === 0x22) {
        this.#state = State.extension
        this.#expect = Ext.afterValue
      } else if (byte === 0x5c) this.#state = State.quotedPair
      else return inValue[byte] === 1
      return true
    }
    const token = tokenLower[byte] !== 0
    switch (this.#expect) {
      case Ext.name:
        this.#expect = Ext.inName
        return token
      case Ext.inName:
        if (token) return true
        if (byte === 0x3d) this.#expect = Ext.value
        else return this.#extensionEnds(byte)
        return true
      case Ext.value:
        if (byte === 0x22) this.#state = State.quoted
        else if (!token) return false
        this.#expect = Ext.inValue
        return true
      case Ext.inValue:
        return token || this.#extensionEnds(byte)
      default:
        return this.#extensionEnds(byte)
    }
  }

  #extensionEnds(byte: number): boolean {
    if (byte === CR) this.#state = State.sizeEnd
    else if (byte === 0x3b) this.#expect = Ext.name
    else return false
    return true
  }

  #readTrailers(bytes: Buffer, at: number, end: number): number {
    // Nearly always there are none, and the empty line is there at once.
    if (!this.#section && bytes[at] === CR && at + 1 < end) {
      if (bytes[at + 1] !== LF) return Refusal.bareLineEnd
      this.#state = State.done
      return at + 2
    }
    const held = this.#section?.length ?? 0
    const section: Buffer = this.#section
      ? Buffer.concat([this.#section, bytes.subarray(at, end)])
      : Buffer.from(bytes.subarray(at, end))
    const block = takeBlock()
    block.reset(section)
    const next = scanFields(section, 0, section.length, block, trailerFieldsMax)
    if (next > 0 && next <= trailerBytesMax && !frames(block)) {
      if (block.count > 0) this.trailers = block
      else releaseBlock(block)
      this.#state = State.done
      return at + next - held
    }
    releaseBlock(block)
    if (next < 0) return next
    if (next > trailerBytesMax || section.length > trailerBytesMax) return Refusal.headTooLarge
    this.#section = section
    return next === needMore ? end : Refusal.badChunk
  }
}

/** Whether trailers would say how long the message is, which somebody behind us might believe. Other forbidden ones are dropped. */
function frames(trailers: FieldBlock): boolean {
  return trailers.find(Field.contentLength) >= 0 || trailers.find(Field.transferEncoding) >= 0
}

const Ext = { name: 0, inName: 1, value: 2, inValue: 3, afterValue: 4 } as const

const digits = Buffer.from('0123456789abcdef')

/** Writes the line that begins a chunk of `size` bytes (more than 0, less than 2^32). Returns the offset past it: at most 10 bytes are written. */
export function writeChunkSize(out: Buffer, at: number, size: number): number {
  let shift = 0
  // Shifts count modulo 32: eight digits are the most.
  while (shift < 28 && size >>> (shift + 4) !== 0) shift += 4
  for (; shift >= 0; shift -= 4) out[at++] = digits[(size >>> shift) & 15] as number
  out[at++] = CR
  out[at++] = LF
  return at
}

/** What ends a chunked body without trailers. */
export const lastChunk = Buffer.from('0\r\n\r\n')
