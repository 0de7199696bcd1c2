import type { Http2Config } from './config.ts'
import { ErrorCode } from './error-code.ts'
import { Flag, readUint31 } from './frame.ts'

/**
 * Puts together the header block of a message that spreads over HEADERS and CONTINUATION frames (RFC 9113 §6.2, §6.10). While one is open, no
 * other frame may come. Bounded in bytes and in frames.
 */
export class HeaderBlock {
  /** Stream of the open block; 0 for none. */
  id = 0
  endStream = false
  /** The message depends on itself, which makes it a stream error (RFC 7540 §5.3.1). Priorities mean nothing here otherwise. */
  selfDependent = false
  /** When it was opened. */
  sinceMs = 0
  /** The fragment of the frame read last, or the whole block. */
  bytes: Buffer = none
  start = 0
  end = 0
  readonly #limits: Http2Config
  #continuations = 0

  constructor(limits: Http2Config) {
    this.#limits = limits
  }

  /** Reads a HEADERS frame. Afterwards the block is whole if the frame has END_HEADERS. @returns 0 or an error code */
  open(flags: number, id: number, bytes: Buffer, start: number, end: number, nowMs: number): number {
    let pad = 0
    if ((flags & Flag.padded) !== 0) {
      if (start >= end) return ErrorCode.frameSize
      pad = bytes[start++] as number
    }
    this.selfDependent = false
    if ((flags & Flag.priority) !== 0) {
      if (end - start < 5) return ErrorCode.frameSize
      this.selfDependent = readUint31(bytes, start) === id
      start += 5
    }
    if (pad > end - start) return ErrorCode.protocol
    this.bytes = bytes
    this.start = start
    this.end = end - pad
    this.endStream = (flags & Flag.endStream) !== 0
    this.id = id
    if ((flags & Flag.endHeaders) !== 0) return ErrorCode.none
    this.sinceMs = nowMs
    this.#continuations = 0
    this.bytes = none
    this.start = 0
    this.end = 0
    return this.#append(bytes, start, end - pad)
  }

  /** Reads a CONTINUATION frame. @returns 0 or an error code */
  continue(bytes: Buffer, start: number, end: number): number {
    if (++this.#continuations > this.#limits.continuationsMax) return ErrorCode.enhanceYourCalm
    return this.#append(bytes, start, end)
  }

  /** Forgets the block. */
  close(): void {
    this.id = 0
    this.bytes = none
  }

  #append(bytes: Buffer, start: number, end: number): number {
    const length = this.end + end - start
    if (length > this.#limits.headerBlockBytesMax) return ErrorCode.enhanceYourCalm
    if (length > this.bytes.length) {
      const larger = Buffer.allocUnsafeSlow(
        Math.max(length, Math.min(this.bytes.length * 2, this.#limits.headerBlockBytesMax)),
      )
      this.bytes.copy(larger, 0, 0, this.end)
      this.bytes = larger
    }
    bytes.copy(this.bytes, this.end, start, end)
    this.end = length
    return ErrorCode.none
  }
}

const none = Buffer.alloc(0)
