import type { Readable } from 'node:stream'

/** Compares what arrives with what must, part by part, so that a cut answer is checked as far as it came. */
export class Comparison {
  readonly #expected: Buffer
  bytes = 0
  wrongBytes = 0

  constructor(expected: Buffer) {
    this.#expected = expected
  }

  take(part: Buffer): void {
    const expected = this.#expected.subarray(this.bytes, this.bytes + part.length)
    if (!part.equals(expected)) {
      for (let at = 0; at < part.length; at++) if (part[at] !== expected[at]) this.wrongBytes++
    }
    this.bytes += part.length
  }

  /** The other side said that this is all: what is missing counts as wrong, since nothing told that it was cut. */
  end(): void {
    this.wrongBytes += Math.max(0, this.#expected.length - this.bytes)
  }
}

/** Reads a stream to its end into a comparison. Rejects when the stream is cut. @param pauseMs - waits after each part, as a slow client */
export async function readAll(stream: Readable, comparison: Comparison, pauseMs = 0): Promise<void> {
  for await (const part of stream) {
    comparison.take(part as Buffer)
    if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
  comparison.end()
}
