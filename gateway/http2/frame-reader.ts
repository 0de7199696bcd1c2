import { ErrorCode } from './error-code.ts'
import { Flag, FrameType, frameHeadBytes, framePayloadMax, readUint31 } from './frame.ts'

/**
 * Takes what a `FrameReader` finds. Every method returns 0 to go on, or the error code with which the connection ends; nothing is called after
 * that.
 */
export interface FrameSink {
  /**
   * A whole frame other than DATA. Its payload is `bytes[start, end)`, valid during the call.
   * @param flags - as received: unknown ones included
   */
  onFrame(type: number, flags: number, id: number, bytes: Buffer, start: number, end: number): number
  /** A DATA frame begins. `length` is what counts for flow control: content and padding. `id` is not 0. */
  onDataStart(id: number, flags: number, length: number): number
  /** Content of that frame: a part of the chunk that `push` got, valid as long as that is. Never empty. */
  onDataPart(chunk: Buffer, start: number, end: number): number
  /** The frame is complete. `padding` is how much of its length was none of its content. */
  onDataEnd(padding: number): number
}

/**
 * Cuts a stream of bytes into frames (RFC 9113 §4.1), for both roles. DATA passes without being copied or waited for; other frames are put
 * together when they come in pieces, at most 16 KiB at a time. Never throws.
 */
export class FrameReader {
  readonly #sink: FrameSink
  #preface: Buffer
  #prefaceAt = 0
  readonly #head = Buffer.allocUnsafeSlow(frameHeadBytes)
  #headCount = 0
  /** Payload of a frame that came only in part, and the frame's head. */
  #payload: Buffer | undefined = undefined
  #payloadCount = 0
  #type = 0
  #flags = 0
  #id = 0
  #inData = false
  /** The byte with the length of the padding is still to come. */
  #padUnknown = false
  #dataLeft = 0
  #padLeft = 0
  #padding = 0

  /** @param preface - what must come before the first frame: `clientPreface` for a server, nothing for a client */
  constructor(sink: FrameSink, preface: Buffer) {
    this.#sink = sink
    this.#preface = preface
  }

  /** Whether the peer has begun something that only more bytes complete: the preface, or a frame other than DATA. */
  get midway(): boolean {
    return this.#prefaceAt < this.#preface.length || this.#headCount > 0 || this.#payload !== undefined
  }

  /** Reads a chunk. @returns 0, or the error code that ends the connection */
  push(chunk: Buffer): number {
    let at = 0
    if (this.#prefaceAt < this.#preface.length) {
      at = this.#readPreface(chunk)
      if (at < 0) return ErrorCode.protocol
    }
    for (;;) {
      if (this.#inData) {
        at = this.#readData(chunk, at)
        if (at < 0) return -at
        if (this.#inData) return ErrorCode.none
      } else if (this.#payload !== undefined) {
        at = this.#readPayload(chunk, at)
        if (at < 0) return -at
      }
      if (at >= chunk.length) return ErrorCode.none
      at = this.#readHead(chunk, at)
      if (at < 0) return -at
    }
  }

  #readPreface(chunk: Buffer): number {
    let at = 0
    while (at < chunk.length && this.#prefaceAt < this.#preface.length)
      if (chunk[at++] !== this.#preface[this.#prefaceAt++]) return -1
    return at
  }

  /** Reads the head of a frame, and all of the frame if it is there. @returns the new offset, or an error code made negative */
  #readHead(chunk: Buffer, at: number): number {
    let head = chunk
    let from = at
    if (this.#headCount > 0 || chunk.length - at < frameHeadBytes) {
      const taken = chunk.copy(
        this.#head,
        this.#headCount,
        at,
        Math.min(chunk.length, at + frameHeadBytes - this.#headCount),
      )
      this.#headCount += taken
      at += taken
      if (this.#headCount < frameHeadBytes) return at
      this.#headCount = 0
      head = this.#head
      from = 0
    } else at += frameHeadBytes
    const length = ((head[from] as number) << 16) | ((head[from + 1] as number) << 8) | (head[from + 2] as number)
    if (length > framePayloadMax) return -ErrorCode.frameSize
    const type = head[from + 3] as number
    this.#type = type
    this.#flags = head[from + 4] as number
    this.#id = readUint31(head, from + 5)
    if (type === FrameType.data) return this.#beginData(length, at)
    if (length <= chunk.length - at) return this.#deliver(chunk, at, at + length, at + length)
    this.#payload = Buffer.allocUnsafe(length)
    this.#payloadCount = 0
    return this.#readPayload(chunk, at)
  }

  #readPayload(chunk: Buffer, at: number): number {
    const payload = this.#payload as Buffer
    const taken = chunk.copy(payload, this.#payloadCount, at)
    this.#payloadCount += taken
    if (this.#payloadCount < payload.length) return at + taken
    this.#payload = undefined
    return this.#deliver(payload, 0, payload.length, at + taken)
  }

  #deliver(bytes: Buffer, start: number, end: number, at: number): number {
    const error = this.#sink.onFrame(this.#type, this.#flags, this.#id, bytes, start, end)
    return error === ErrorCode.none ? at : -error
  }

  #beginData(length: number, at: number): number {
    if (this.#id === 0) return -ErrorCode.protocol
    const padded = (this.#flags & Flag.padded) !== 0
    if (padded && length === 0) return -ErrorCode.frameSize
    const error = this.#sink.onDataStart(this.#id, this.#flags, length)
    if (error !== ErrorCode.none) return -error
    this.#inData = true
    this.#padUnknown = padded
    this.#dataLeft = length
    this.#padLeft = 0
    this.#padding = 0
    return at
  }

  #readData(chunk: Buffer, at: number): number {
    if (this.#padUnknown && at < chunk.length) {
      this.#padUnknown = false
      const pad = chunk[at++] as number
      if (pad >= this.#dataLeft) return -ErrorCode.protocol
      this.#dataLeft -= pad + 1
      this.#padLeft = pad
      this.#padding = pad + 1
    }
    if (this.#padUnknown) return at
    const size = Math.min(this.#dataLeft, chunk.length - at)
    if (size > 0) {
      const error = this.#sink.onDataPart(chunk, at, at + size)
      if (error !== ErrorCode.none) return -error
      this.#dataLeft -= size
      at += size
    }
    const pad = Math.min(this.#padLeft, chunk.length - at)
    this.#padLeft -= pad
    at += pad
    if (this.#dataLeft > 0 || this.#padLeft > 0) return at
    this.#inData = false
    const error = this.#sink.onDataEnd(this.#padding)
    return error === ErrorCode.none ? at : -error
  }
}
