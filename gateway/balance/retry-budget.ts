import type { Clock } from '../../core/clock.ts'

const windowMs = 10_000
const slotMs = 1_000

interface Slot {
  atMs: number
  requests: number
  retries: number
}

/**
 * Bounds retries, so that a failing network is not hit harder for failing: in any ten seconds at most `floor` retries, or
 * `share` of the requests, whichever is more.
 */
export class RetryBudget {
  readonly #clock: Clock
  readonly #share: number
  readonly #floor: number
  #slots: Slot[] = []

  constructor(options: { clock: Clock; share: number; floor: number }) {
    this.#clock = options.clock
    this.#share = options.share
    this.#floor = options.floor
  }

  countRequest(): void {
    this.#slot().requests++
  }

  /** Takes one retry from the budget; false when it is used up. */
  takeRetry(): boolean {
    const slot = this.#slot()
    const requests = this.#slots.reduce((sum, { requests }) => sum + requests, 0)
    const retries = this.#slots.reduce((sum, { retries }) => sum + retries, 0)
    if (retries >= Math.max(this.#floor, requests * this.#share)) return false
    slot.retries++
    return true
  }

  #slot(): Slot {
    const nowMs = this.#clock.monotonicMs()
    const last = this.#slots.at(-1)
    if (last && nowMs - last.atMs < slotMs) return last
    this.#slots = this.#slots.filter(({ atMs }) => nowMs - atMs < windowMs)
    const slot = { atMs: nowMs, requests: 0, retries: 0 }
    this.#slots.push(slot)
    return slot
  }
}
