import type { Clock } from '../../core/clock.ts'
import { AppError } from '../../core/errors.ts'
import { inTime } from '../../core/in-time.ts'
import { SingleFlight } from '../../core/single-flight.ts'
import type { GatewayConfig } from '../config.ts'
import { LookupTimeoutError, OverloadedError } from '../errors.ts'
import type { GatewayMetrics } from '../metrics.ts'
import type { NameSource, Resolution } from '../ports.ts'
import { createCache, type RecentCache } from '../recent-cache.ts'

/** What a host name leads to. Frozen: a change makes a new site, so a request in flight keeps the one it began with. */
export interface Site {
  readonly host: string
  readonly resolution: Resolution
  readonly resolvedAtMs: number
  readonly expiresAtMs: number
}

interface Unknown {
  error: unknown
  untilMs: number
}

export interface RoutesPorts {
  names: NameSource
  clock: Clock
  metrics: GatewayMetrics
}

/**
 * Host name -> site, from memory where possible. One lookup per name at a time; answers are refreshed behind the scenes when a tenth of
 * their life is left and somebody asks; while lookups fail for a passing reason the last good answer serves on, for a bounded time.
 * A definite "no" (the name is gone, or its owner no longer proven) counts at once.
 */
export class Routes {
  readonly #config: GatewayConfig
  readonly #ports: RoutesPorts
  readonly #sites: RecentCache<string, Site>
  readonly #unknown: RecentCache<string, Unknown>
  readonly #flights = new SingleFlight<string, Site>()
  #lookups = 0

  constructor(config: GatewayConfig, ports: RoutesPorts) {
    this.#config = config
    this.#ports = ports
    this.#sites = createCache(config.routes.sitesMax)
    this.#unknown = createCache(config.routes.unknownMax)
  }

  /** The site, when its answer is in memory and fresh: what nearly every request needs. Otherwise `match` finds out. */
  find(host: string): Site | undefined {
    const nowMs = this.#ports.clock.nowMs()
    const site = this.#sites.get(host)
    if (!site || nowMs >= site.expiresAtMs) return undefined
    if (isNearEnd(site, nowMs)) this.#refresh(host)
    return site
  }

  /** @throws AppError as the name source tells it; LookupTimeoutError, OverloadedError */
  async match(host: string): Promise<Site> {
    const fresh = this.find(host)
    if (fresh) return fresh
    const nowMs = this.#ports.clock.nowMs()
    const site = this.#sites.peek(host)
    const unknown = this.#unknown.get(host)
    if (unknown && nowMs < unknown.untilMs) throw unknown.error
    return this.#flights.run(host, () => this.#lookup(host, site))
  }

  /** Sites in memory now, most recently used first. Names are public; nothing of a requester is in them. */
  snapshot(): readonly Site[] {
    return [...this.#sites.values()]
  }

  #refresh(host: string): void {
    if (this.#unknown.get(host)) return
    void this.#flights.run(host, () => this.#lookup(host, this.#sites.peek(host))).catch(() => {})
  }

  async #lookup(host: string, last: Site | undefined): Promise<Site> {
    const { lookups } = this.#ports.metrics
    try {
      const site = this.#siteOf(host, await this.#resolve(host))
      this.#sites.set(host, site)
      this.#unknown.delete(host)
      lookups.add({ outcome: 'found' })
      return site
    } catch (error) {
      const definite = error instanceof AppError && error.status < 500
      lookups.add({ outcome: definite ? 'unknown' : 'failed' })
      if (!definite && last && this.#mayServeStale(last)) return this.#prolong(last)
      if (definite) this.#sites.delete(host)
      const { unknownMs, retryMs } = this.#config.routes
      this.#unknown.set(host, { error, untilMs: this.#ports.clock.nowMs() + (definite ? unknownMs : retryMs) })
      throw error
    }
  }

  async #resolve(host: string): Promise<Resolution> {
    const { lookupsMax } = this.#config.limits
    if (this.#lookups >= lookupsMax) throw new OverloadedError('name lookups', lookupsMax)
    const { lookupMs } = this.#config.timeouts
    const late = () => new LookupTimeoutError(host, lookupMs)
    this.#lookups++
    try {
      const { clock, names } = this.#ports
      return await inTime(clock, lookupMs, late, (signal) => names.resolve(host, signal))
    } finally {
      this.#lookups--
    }
  }

  #siteOf(host: string, resolution: Resolution): Site {
    const resolvedAtMs = this.#ports.clock.nowMs()
    return Object.freeze({ host, resolution, resolvedAtMs, expiresAtMs: resolvedAtMs + Math.max(0, resolution.ttlMs) })
  }

  #mayServeStale(site: Site): boolean {
    return this.#ports.clock.nowMs() < site.resolvedAtMs + site.resolution.ttlMs + this.#config.routes.staleMs
  }

  #prolong(site: Site): Site {
    const prolonged = Object.freeze({ ...site, expiresAtMs: this.#ports.clock.nowMs() + this.#config.routes.retryMs })
    this.#sites.set(site.host, prolonged)
    return prolonged
  }
}

function isNearEnd(site: Site, nowMs: number): boolean {
  return site.expiresAtMs - nowMs < site.resolution.ttlMs / 10
}
