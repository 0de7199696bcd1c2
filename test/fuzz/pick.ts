import type { Random } from '../../core/random.ts'

/** Choices out of one source of randomness, for generators of inputs. */
export class Picker {
  readonly #random: Random

  constructor(random: Random) {
    this.#random = random
  }

  /** A whole number in [0, below). */
  below(below: number): number {
    return Math.floor(this.#random.float() * below)
  }

  /** True once in `times`. */
  oneIn(times: number): boolean {
    return this.below(times) === 0
  }

  of<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T
  }

  bytes(count: number): Buffer {
    return Buffer.from(this.#random.bytes(count))
  }
}
