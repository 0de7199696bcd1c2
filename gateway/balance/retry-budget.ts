import type { Clock } from '../../core/clock.ts'

const slots = 10
const slotMs = 1_000

/** Shares of the requests of the last ten seconds, and what is always allowed in ten seconds. */
export interface BudgetLimits {
  retryShare: number
  retryFloor: number
  hedgeShare: number
  hedgeFloor: number
}

/** Whether one more is within the budget: at most `floor`, or `share` of the requests, whichever is more. */
export function isWithinBudget(used: number, requests: number, share: number, floor: number): boolean {
  return used < Math.max(floor, requests * share)
}

/** Numbers of the last ten seconds in slots of one second; adding and reading cost the same however many there were. */
class RecentCount {
  sum = 0
  readonly #slots = new Float64Array(slots)

  add(slot: number): void {
    this.#slots[slot] = (this.#slots[slot] as number) + 1
    this.sum++
  }

  clear(slot: number): void {
    this.sum -= this.#slots[slot] as number
    this.#slots[slot] = 0
  }
}

/**
 * Bounds what a gateway asks of hosts beyond the requests it got, so that a failing network is not hit harder for failing: retries, and
 * (apart from them) second requests sent because the first is late.
 */
export class RetryBudget {
  readonly #clock: Clock
  readonly #limits: BudgetLimits
  readonly #requests = new RecentCount()
  readonly #retries = new RecentCount()
  readonly #hedges = new RecentCount()
  #turn = 0

  constructor(limits: BudgetLimits, clock: Clock) {
    this.#limits = limits
    this.#clock = clock
    this.#turn = Math.floor(clock.monotonicMs() / slotMs)
  }

  countRequest(): void {
    this.#requests.add(this.#slot())
  }

  /** Takes one retry from the budget; false when it is used up. */
  takeRetry(): boolean {
    const slot = this.#slot()
    const { retryShare, retryFloor } = this.#limits
    if (!isWithinBudget(this.#retries.sum, this.#requests.sum, retryShare, retryFloor)) return false
    this.#retries.add(slot)
    return true
  }

  /** Takes one second request from the budget; false when it is used up. */
  takeHedge(): boolean {
    const slot = this.#slot()
    const { hedgeShare, hedgeFloor } = this.#limits
    if (!isWithinBudget(this.#hedges.sum, this.#requests.sum, hedgeShare, hedgeFloor)) return false
    this.#hedges.add(slot)
    return true
  }

  /** The slot of this second. Slots that came round again are emptied first. */
  #slot(): number {
    const turn = Math.floor(this.#clock.monotonicMs() / slotMs)
    for (let passed = Math.min(slots, turn - this.#turn); passed > 0; passed--) {
      const slot = (turn - passed + 1) % slots
      this.#requests.clear(slot)
      this.#retries.clear(slot)
      this.#hedges.clear(slot)
    }
    if (turn > this.#turn) this.#turn = turn
    return this.#turn % slots
  }
}
