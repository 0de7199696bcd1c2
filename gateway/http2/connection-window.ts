import type { Http2Config } from './config.ts'
import { defaultWindow } from './frame.ts'

/**
 * What the peer may still send on the whole connection (RFC 9113 §6.9). It is given back as it arrives, so that one slow reader stalls its own
 * stream only; once the bodies that nobody has read hold more than `heldBytesMax`, it is given back as they are read.
 */
export class ConnectionWindow {
  readonly #limits: Http2Config
  #window: number
  #owed = 0
  #held = 0

  constructor(limits: Http2Config) {
    this.#limits = limits
    this.#window = limits.connectionWindowBytes
  }

  /** What to add to the window that the peer begins with. */
  get firstUpdate(): number {
    return this.#window - defaultWindow
  }

  /** A DATA frame of this length has come. @returns false when the peer may not send so much */
  receive(length: number): boolean {
    this.#window -= length
    this.#owed += length
    return this.#window >= 0
  }

  /** Content was given to somebody who has not read it yet. */
  hold(bytes: number): void {
    this.#held += bytes
  }

  /** It was read, or thrown away. */
  unhold(bytes: number): void {
    this.#held -= bytes
  }

  /** How much to give back now: 0, or at least half a window. */
  takeUpdate(): number {
    if (this.#owed * 2 < this.#limits.connectionWindowBytes || this.#held > this.#limits.heldBytesMax) return 0
    const update = this.#owed
    this.#window += update
    this.#owed = 0
    return update
  }
}
