import type { Socket } from 'node:net'

/** A socket that takes every byte at once and remembers it. Only what the data plane uses of a socket is there. */
export class FakeSocket {
  readonly writableLength = 0
  destroyed = false
  /** Closed so that the other side sees an error, not an end. */
  reset = false
  /** Our side said that it will write no more. */
  ended = false
  #paused = false
  readonly #written: Buffer[] = []

  /** As the data plane sees it. */
  get socket(): Socket {
    return this as unknown as Socket
  }

  get written(): Buffer {
    return Buffer.concat(this.#written)
  }

  write(part: Buffer): boolean {
    if (!this.destroyed && !this.ended) this.#written.push(Buffer.from(part))
    return true
  }

  setNoDelay(): void {}
  cork(): void {}
  uncork(): void {}

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    this.#paused = false
  }

  isPaused(): boolean {
    return this.#paused
  }

  end(): void {
    this.ended = true
  }

  destroy(): void {
    this.destroyed = true
  }

  destroySoon(): void {
    this.destroyed = true
  }

  resetAndDestroy(): void {
    this.destroyed = true
    this.reset = true
  }
}
