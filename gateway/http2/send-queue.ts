import type { Http2Stream } from './http2-stream.ts'

/** Streams that have something to send and a window for it, in the order in which they take turns. Holds no memory of its own. */
export class SendQueue {
  #first: Http2Stream | undefined = undefined
  #last: Http2Stream | undefined = undefined

  get empty(): boolean {
    return this.#first === undefined
  }

  /** Puts a stream at the end, unless it stands in the queue already. */
  add(stream: Http2Stream): void {
    if (stream.queued) return
    stream.queued = true
    if (this.#last !== undefined) this.#last.next = stream
    else this.#first = stream
    this.#last = stream
  }

  /** Takes the first one out. It may have been closed meanwhile. */
  take(): Http2Stream | undefined {
    const stream = this.#first
    if (stream === undefined) return undefined
    this.#first = stream.next
    if (stream.next === undefined) this.#last = undefined
    stream.next = undefined
    stream.queued = false
    return stream
  }
}
