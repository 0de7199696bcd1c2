import type { Http2Config } from './config.ts'

/** Kinds of frames that cost us more than the peer, each with a budget per second. */
export const Flood = { reset: 0, ping: 1, settings: 2, empty: 3, windowUpdate: 4, other: 5 } as const
const kinds = 6

/** Counts such frames of one connection. Seconds are those of a coarse clock. */
export class FloodGuard {
  readonly #limits: Int32Array
  readonly #spent = new Int32Array(kinds)
  #secondMs = 0

  constructor(limits: Int32Array) {
    this.#limits = limits
  }

  /** Takes `amount` of a budget. @returns false when it is used up: the connection is to end with ENHANCE_YOUR_CALM */
  spend(kind: number, amount: number, nowMs: number): boolean {
    if (nowMs - this.#secondMs >= 1_000) {
      this.#secondMs = nowMs
      this.#spent.fill(0)
    }
    const spent = (this.#spent[kind] as number) + amount
    this.#spent[kind] = spent
    return spent <= (this.#limits[kind] as number)
  }

  /** Gives to a budget what our own frames call for; at most as much again as a second has. */
  credit(kind: number, amount: number): void {
    const spent = (this.#spent[kind] as number) - amount
    if (spent >= -(this.#limits[kind] as number)) this.#spent[kind] = spent
  }
}

/** The budgets of a configuration, in the order of `Flood`. */
export function floodLimits(config: Http2Config): Int32Array {
  return Int32Array.of(
    config.resetsPerSecond,
    config.pingsPerSecond,
    config.settingsPerSecond,
    config.emptyFramesPerSecond,
    config.windowUpdatesPerSecond,
    config.otherFramesPerSecond,
  )
}
