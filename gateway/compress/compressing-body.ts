import type { Transform } from 'node:stream'

/** Gets the encoded body. Nothing is called after `onEnd`, `onError` or `destroy`. */
export interface CompressedSink {
  /**
   * A part of the encoded body. It stays valid and unchanged, so it may be kept.
   * @returns false to get no more until `resume` is called
   */
  onPart(part: Buffer): boolean
  onEnd(): void
  /** After `write` returned false: more may be written. */
  onDrain(): void
  /** The compressor failed: what was sent so far must not look whole. */
  onError(cause: Error): void
}

/** A compressor of `node:zlib`: a transform that can be told to let out what it holds. */
export interface FlushableTransform extends Transform {
  flush(kind: number): void
}

/**
 * One body on its way through a compressor. The work is done on another thread; parts come back in order.
 *
 * When nothing more has been written by the next turn of the event loop, what is inside is flushed: an answer that is produced bit by bit
 * reaches the client bit by bit, and one that comes at full speed is flushed once for every read of the host's socket.
 */
export class CompressingBody {
  readonly #stream: FlushableTransform
  readonly #flushKind: number
  #leave: (() => void) | undefined
  #ended = false
  #flushIsDue = false

  /** @param leave - called once, when the compressor is no longer needed */
  constructor(stream: FlushableTransform, flushKind: number, sink: CompressedSink, leave: () => void) {
    this.#stream = stream
    this.#flushKind = flushKind
    this.#leave = leave
    stream.on('data', (part: Buffer) => {
      if (this.#leave !== undefined && !sink.onPart(part)) stream.pause()
    })
    stream.on('drain', () => {
      if (this.#leave !== undefined && !this.#ended) sink.onDrain()
    })
    stream.once('end', () => {
      if (this.#free()) sink.onEnd()
    })
    stream.on('error', (cause) => {
      if (this.#free()) sink.onError(cause)
    })
  }

  /**
   * Takes a part of the plain body. The bytes are copied: the other thread must never read memory that belongs to another connection by then.
   * @returns false when enough waits inside: write no more until `onDrain`
   */
  write(part: Buffer): boolean {
    if (this.#ended || this.#leave === undefined || part.length === 0) return true
    if (!this.#flushIsDue) {
      this.#flushIsDue = true
      setImmediate(this.#flush)
    }
    return this.#stream.write(Buffer.from(part))
  }

  /** The plain body is complete. */
  end(): void {
    if (this.#ended || this.#leave === undefined) return
    this.#ended = true
    this.#stream.end()
  }

  /** After `onPart` returned false: parts may come again. */
  resume(): void {
    if (this.#leave !== undefined) this.#stream.resume()
  }

  /** Gives the body up; nothing more is heard of it. */
  destroy(): void {
    if (this.#free()) this.#stream.destroy()
  }

  readonly #flush = (): void => {
    this.#flushIsDue = false
    if (!this.#ended && this.#leave !== undefined) this.#stream.flush(this.#flushKind)
  }

  /** Lets the place go. False when that has happened before. */
  #free(): boolean {
    const leave = this.#leave
    this.#leave = undefined
    leave?.()
    return leave !== undefined
  }
}
