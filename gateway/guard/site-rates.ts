import { costMs, depthMs, takeToken } from './token-bucket.ts'

export interface SiteRateLimits {
  /** Requests per second of one site; 0 for no limit. */
  requestsPerSecond: number
  /** Bytes per second that go to the clients of one site; 0 for no limit. */
  bytesPerSecond: number
}

/** A burst of requests: two seconds of the rate, so that a page with its parts passes a small limit. */
const requestBurstSeconds = 2
/** How far bytes may run ahead of their rate before the sender pauses, milliseconds: a pause is then long enough to be worth its timer. */
const bytesAheadMs = 250
/** Sites looked at for one to forget when the table is full, so that a new one takes constant time. */
const forgetTriesMax = 8

/** The buckets of one site. Held by an exchange for as long as it lasts. */
export class SiteRate {
  readonly host: string
  readonly limits: SiteRateLimits
  readonly #requestCost: number
  readonly #requestDepth: number
  readonly #byteCost: number
  #requestsPaidMs = 0
  #bytesPaidMs = 0

  constructor(host: string, limits: SiteRateLimits) {
    this.host = host
    this.limits = limits
    this.#requestCost = costMs(limits.requestsPerSecond)
    this.#requestDepth = depthMs(limits.requestsPerSecond, limits.requestsPerSecond * requestBurstSeconds)
    this.#byteCost = costMs(limits.bytesPerSecond)
  }

  /** Counts a request; false when the site has had too many: answer 429. */
  request(nowMs: number): boolean {
    const paid = takeToken(this.#requestsPaidMs, nowMs, this.#requestCost, this.#requestDepth)
    if (paid < 0) return false
    this.#requestsPaidMs = paid
    return true
  }

  /** How long until `request` says yes again, milliseconds. */
  waitMs(nowMs: number): number {
    return Math.max(0, this.#requestsPaidMs + this.#requestCost - this.#requestDepth - nowMs)
  }

  /**
   * Counts bytes that were sent: they are never refused.
   * @returns how long to pause before more is sent, whole milliseconds; 0 to go on
   */
  send(bytes: number, nowMs: number): number {
    const paid = Math.max(this.#bytesPaidMs, nowMs) + bytes * this.#byteCost
    this.#bytesPaidMs = paid
    return paid - nowMs > bytesAheadMs ? Math.ceil(paid - nowMs - bytesAheadMs) : 0
  }

  /** How long an answer that is there as a whole has to wait for the bytes of others, whole milliseconds. */
  owedMs(nowMs: number): number {
    return Math.max(0, Math.ceil(this.#bytesPaidMs - nowMs - bytesAheadMs))
  }

  /** Whether forgetting it would change nothing. */
  isFull(nowMs: number): boolean {
    return this.#requestsPaidMs <= nowMs && this.#bytesPaidMs <= nowMs
  }
}

/** The rates of all sites that have a limit, by host name: each name under `*.zone` counts for itself. Bounded. */
export class SiteRates {
  readonly #sitesMax: number
  readonly #rates = new Map<string, SiteRate>()
  /** What sites share that found the table full, one for each pair of limits, as an object of the configuration. */
  #shared = new Map<SiteRateLimits, SiteRate>()

  /** @param sitesMax - sites kept apart; about 300 bytes each. Beyond it those under the same limits share one allowance */
  constructor(sitesMax: number) {
    this.#sitesMax = sitesMax
  }

  get size(): number {
    return this.#rates.size
  }

  /** The rate of a site, or undefined when it has no limit. Limits that changed with the configuration begin with full buckets. */
  of(host: string, limits: SiteRateLimits, nowMs: number): SiteRate | undefined {
    if (limits.requestsPerSecond === 0 && limits.bytesPerSecond === 0) return undefined
    const known = this.#rates.get(host)
    if (known !== undefined && isSame(known.limits, limits)) return known
    if (known === undefined && this.#rates.size >= this.#sitesMax && !this.#forget(nowMs)) return this.#sharedOf(limits)
    const rate = new SiteRate(host, limits)
    this.#rates.set(host, rate)
    return rate
  }

  /** Forgets what a former configuration shared. Call it when the configuration is swapped. */
  reset(): void {
    this.#shared = new Map()
  }

  #sharedOf(limits: SiteRateLimits): SiteRate {
    let rate = this.#shared.get(limits)
    if (rate === undefined) {
      rate = new SiteRate('', limits)
      this.#shared.set(limits, rate)
    }
    return rate
  }

  /** Makes room for one, looking at the oldest few only; those still in use go to the end, so that the next call sees others. */
  #forget(nowMs: number): boolean {
    let tries = forgetTriesMax
    for (const [host, rate] of this.#rates) {
      this.#rates.delete(host)
      if (rate.isFull(nowMs)) return true
      this.#rates.set(host, rate)
      if (--tries === 0) return false
    }
    return false
  }
}

function isSame(a: SiteRateLimits, b: SiteRateLimits): boolean {
  return a === b || (a.requestsPerSecond === b.requestsPerSecond && a.bytesPerSecond === b.bytesPerSecond)
}
