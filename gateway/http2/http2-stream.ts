import { type FieldBlock, releaseBlock } from '../http1/field-block.ts'
import { joinedBytesMax } from '../http1/message-socket.ts'
import { sendWindowUpdate } from './control-frames.ts'
import { Flag, FrameType, frameHeadBytes, framePayloadMax, writeFrameHead } from './frame.ts'
import type { Http2Session } from './http2-session.ts'

/** Whoever uses a stream. Nothing is called after `onSent` and the peer's end, after `onClosed`, or after `reset`. */
export interface StreamHandler {
  /** A part of the body, in the memory of the chunk received. Say `consumed` when it is done with, so that more may come. */
  onData(part: Buffer): void
  /** The peer's side is complete. `trailers` are the handler's from now on: give them back with `releaseFields`. */
  onRemoteEnd(trailers: FieldBlock | undefined): void
  /** After `send` returned false: all of it has been taken, and its memory is free. */
  onWritable(): void
  /** Our side is complete: its last frame has been written to the output. */
  onSent(): void
  /** The stream is over before both sides were complete: the peer reset it, broke a rule, or the connection has ended. */
  onClosed(code: number): void
}

/**
 * One stream, seen from the side that uses it: what is to be sent waits here until both windows and the output have room; what is received goes
 * straight to the handler, and the peer's window opens as the handler consumes. For both roles.
 */
export class Http2Stream {
  readonly session: Http2Session
  readonly id: number
  handler: StreamHandler
  sendWindow: number
  receiveWindow: number
  /** Bytes given to the handler and not consumed. */
  unconsumed = 0
  /** What the peer announced as Content-Length; -1 for nothing. Anything else than that is a stream error (RFC 9113 §8.1.1). */
  expectedBytes = -1
  receivedBytes = 0
  /** The first header block of the peer has come (for a client: of the final answer); the next one holds trailers. */
  headReceived = false
  localEnded = false
  remoteEnded = false
  closed = false
  lastReceivedMs: number
  lastSentMs: number
  /** Place in the `SendQueue`. */
  next: Http2Stream | undefined = undefined
  queued = false
  #owed = 0
  #pending: Buffer | undefined = undefined
  #endAfter = false
  #trailers: FieldBlock | undefined = undefined
  #frameAt = -1
  #frameTurn = -1

  constructor(session: Http2Session, id: number, handler: StreamHandler) {
    this.session = session
    this.id = id
    this.handler = handler
    this.sendWindow = session.peerWindow
    this.receiveWindow = session.limits.streamWindowBytes
    this.lastReceivedMs = session.time.nowMs
    this.lastSentMs = this.lastReceivedMs
  }

  /** Whether something waits for the peer to open a window, or to read. */
  get waiting(): boolean {
    return this.#pending !== undefined
  }

  /**
   * Sends a part of the body. What finds room is copied; of the rest a reference is kept, except of a last part of at most `joinedBytesMax`,
   * which is always copied: whoever gives that does not wait any more (`AnswerSink.onAnswer`).
   * @param last - true when nothing follows, no trailers either
   * @returns true when all was copied; false: wait for `onWritable`
   */
  send(part: Buffer, last: boolean): boolean {
    if (this.localEnded || this.closed || this.#endAfter) return true
    if (this.#pending !== undefined) {
      // Not to be expected of a caller that waits when told to; nothing gets lost all the same.
      this.#pending = Buffer.concat([this.#pending, part])
      this.#endAfter = last
      return false
    }
    const at = this.session.crowded ? 0 : this.#fill(part, 0, last, part.length)
    if (at === part.length) {
      if (last && !this.localEnded) this.end(undefined)
      return true
    }
    const rest = at === 0 ? part : part.subarray(at)
    this.#pending = last && part.length <= joinedBytesMax ? Buffer.from(rest) : rest
    this.#endAfter = last
    this.session.enqueue(this)
    return false
  }

  /** After `send` returned false: copies what waits, so that the memory given is free at once. */
  keepPending(): void {
    if (this.#pending !== undefined) this.#pending = Buffer.from(this.#pending)
  }

  /** Completes our side, with trailers where there are any that are not dropped. They are copied when they have to wait. */
  end(trailers: FieldBlock | undefined): void {
    if (this.localEnded || this.closed || this.#endAfter) return
    if (this.#pending !== undefined) {
      this.#endAfter = true
      this.#trailers = trailers === undefined ? undefined : trailers.copy()
    } else this.#finish(trailers)
  }

  /** Sends the next frame of what waits. Called by the session when there is room. */
  sendMore(): void {
    const part = this.#pending
    if (part === undefined) return
    const last = this.#endAfter && this.#trailers === undefined
    const at = this.#fill(part, 0, last, framePayloadMax)
    if (at < part.length) {
      this.#pending = part.subarray(at)
      return
    }
    this.#pending = undefined
    if (this.#endAfter && !this.localEnded) {
      const trailers = this.#trailers
      this.#trailers = undefined
      this.#finish(trailers)
      if (trailers !== undefined) releaseBlock(trailers)
    }
    if (!this.localEnded && !this.closed) this.handler.onWritable()
  }

  /** The handler is done with so many bytes of the body. */
  consumed(bytes: number): void {
    if (this.closed || bytes === 0) return
    this.unconsumed -= bytes
    this.session.consumed(bytes)
    this.owe(bytes)
  }

  /** Notes bytes that the peer may send again on this stream; tells it when they are half a window. */
  owe(bytes: number): void {
    this.#owed += bytes
    if (this.remoteEnded || this.#owed * 2 < this.session.limits.streamWindowBytes) return
    this.receiveWindow += this.#owed
    sendWindowUpdate(this.session.output, this.id, this.#owed)
    this.#owed = 0
  }

  /** Gives the stream up. The handler is not told. */
  reset(code: number): void {
    if (this.closed) return
    this.session.sendReset(this.id, code)
    this.session.forget(this)
  }

  /** Lets go of what waits. Called by the session when the stream is over. */
  release(): void {
    this.closed = true
    this.#pending = undefined
    if (this.#trailers !== undefined) releaseBlock(this.#trailers)
    this.#trailers = undefined
  }

  /** Our last frame stands in the output. */
  noteLocalEnd(): void {
    this.localEnded = true
    if (this.remoteEnded) this.session.forget(this)
    this.handler.onSent()
  }

  #finish(trailers: FieldBlock | undefined): void {
    const { output } = this.session
    if (trailers !== undefined && this.session.sendTrailers(this.id, trailers)) {
      // Sent with the end of the stream.
    } else if (this.#frameTurn === output.turn) {
      // The last DATA frame has not left yet: it becomes the last one of the stream.
      output.bytes[this.#frameAt + 4] = Flag.endStream
    } else {
      output.reserve(frameHeadBytes)
      output.commit(writeFrameHead(output.bytes, output.at, 0, FrameType.data, Flag.endStream, this.id))
    }
    this.noteLocalEnd()
  }

  /** Writes DATA frames for `part` from `at` while there is room, at most up to `max` bytes. @returns the offset reached */
  #fill(part: Buffer, at: number, last: boolean, max: number): number {
    const { session } = this
    const { output } = session
    const stop = Math.min(part.length, at + max)
    while (at < stop && session.hasOutputRoom) {
      const allowed = Math.min(stop - at, this.sendWindow, session.sendWindow, framePayloadMax)
      if (allowed <= 0) break
      const size = output.reserveData(allowed)
      const ends = last && at + size === part.length
      this.#frameAt = output.at
      this.#frameTurn = output.turn
      const from = writeFrameHead(output.bytes, output.at, size, FrameType.data, ends ? Flag.endStream : 0, this.id)
      part.copy(output.bytes, from, at, at + size)
      output.commit(from + size)
      at += size
      this.sendWindow -= size
      session.noteSent(size)
      this.lastSentMs = session.time.nowMs
      if (ends) this.noteLocalEnd()
    }
    return at
  }
}
