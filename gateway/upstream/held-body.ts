const none = Buffer.alloc(0)

/**
 * Body that nobody takes yet, put together in one piece: many small parts must not cost more memory than their bytes. Bounded by who adds to it
 * (a flow-control window).
 */
export class HeldBody {
  bytes = 0
  #buffer: Buffer = none
  readonly #bytesMax: number

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** Adds a part. The first one is kept as it is, and must not change. */
  add(part: Buffer): void {
    const { bytes } = this
    this.bytes += part.length
    if (bytes === 0) {
      this.#buffer = part
      return
    }
    // A buffer that is just full may be somebody else's: the first part.
    if (this.bytes > this.#buffer.length || this.#buffer.length === bytes) {
      const room = Math.max(this.bytes, Math.min(bytes * 2, this.#bytesMax))
      const larger = Buffer.allocUnsafeSlow(room)
      this.#buffer.copy(larger, 0, 0, bytes)
      this.#buffer = larger
    }
    part.copy(this.#buffer, bytes)
  }

  /** Takes all that is held. */
  take(): Buffer {
    const held = this.#buffer.length === this.bytes ? this.#buffer : this.#buffer.subarray(0, this.bytes)
    this.drop()
    return held
  }

  drop(): void {
    this.#buffer = none
    this.bytes = 0
  }
}
