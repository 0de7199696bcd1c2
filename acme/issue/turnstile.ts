import { TooManyOrdersError } from '../errors.ts'

/** Lets a bounded number of works run at once and a bounded number wait, first come first served. */
export class Turnstile {
  #inside = 0
  #insideMax: number
  #waitingMax: number
  #waiting: (() => void)[] = []

  constructor(options: { insideMax: number; waitingMax: number }) {
    this.#insideMax = options.insideMax
    this.#waitingMax = options.waitingMax
  }

  /** @throws TooManyOrdersError when the queue is full */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#inside >= this.#insideMax) await this.#wait()
    else this.#inside++
    try {
      return await work()
    } finally {
      // The place is handed on, not freed: a newcomer cannot slip in before those who wait.
      const next = this.#waiting.shift()
      if (next) next()
      else this.#inside--
    }
  }

  #wait(): Promise<void> {
    if (this.#waiting.length >= this.#waitingMax) throw new TooManyOrdersError(this.#waiting.length)
    return new Promise((resolve) => this.#waiting.push(resolve))
  }
}
