/** The last bytes that a program printed, bounded, in memory only: they may hold anything a program says. */
export class LogRing {
  readonly #bytesMax: number
  #chunks: Buffer[] = []
  #bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  push(chunk: Buffer): void {
    // Copied: the chunk is a view into a much larger piece read from the link, which it would keep alive.
    this.#chunks.push(Buffer.from(chunk))
    this.#bytes += chunk.length
    while (this.#bytes > this.#bytesMax && this.#chunks.length > 0)
      this.#bytes -= (this.#chunks.shift() as Buffer).length
  }

  text(): string {
    return Buffer.concat(this.#chunks).toString('utf8')
  }
}
