import type { Random } from '../../core/random.ts'

/** Characters of a request id. */
export const requestIdChars = 16
/** Random bytes taken at a time: one call to the system for 512 requests. */
const batchBytes = 4_096
const idBytes = requestIdChars / 2

/** Two hex digits of every byte, one after the other. */
const digits = new Uint8Array(512)
for (let byte = 0; byte < 256; byte++) Buffer.from(byte.toString(16).padStart(2, '0')).copy(digits, byte * 2)

/** Makes request ids: 64 random bits as 16 lower-case hex characters. Unpredictable, so an id tells nothing of other requests. */
export class RequestIds {
  readonly #random: Random
  #batch: Uint8Array = new Uint8Array(0)
  #at = 0

  constructor(random: Random) {
    this.#random = random
  }

  /** Writes the next id at `out[at, at + 16)`. Returns the index just past it. */
  write(out: Uint8Array, at: number): number {
    if (this.#at === this.#batch.length) {
      this.#batch = this.#random.bytes(batchBytes)
      this.#at = 0
    }
    const stop = this.#at + idBytes
    for (let i = this.#at; i < stop; i++) {
      const byte = (this.#batch[i] as number) * 2
      out[at++] = digits[byte] as number
      out[at++] = digits[byte + 1] as number
    }
    this.#at = stop
    return at
  }
}
