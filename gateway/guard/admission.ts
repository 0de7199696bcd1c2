import type { Clock } from '../../core/clock.ts'
import { MemoryShortError, MisdirectedError, TooManyRequestsError } from '../errors.ts'
import type { Exchange } from '../forward/exchange.ts'
import type { Settings } from '../listen/listen-context.ts'
import type { GatewayMetrics } from '../metrics.ts'
import type { ClientLimits } from './client-limits.ts'
import type { MemoryBudget } from './memory-budget.ts'
import type { SiteRate, SiteRates } from './site-rates.ts'

export interface AdmissionPorts {
  settings: Settings
  clients: ClientLimits
  rates: SiteRates
  memory: MemoryBudget
  metrics: GatewayMetrics
  clock: Clock
}

/** Decides whether a request is begun at all. What is refused here has cost next to nothing. */
export class Admission {
  readonly #ports: AdmissionPorts

  constructor(ports: AdmissionPorts) {
    this.#ports = ports
  }

  /** @throws TooManyRequestsError, MemoryShortError */
  admit(exchange: Exchange): void {
    const { memory, clients, metrics, clock } = this.#ports
    if (memory.pressure !== 'none') {
      metrics.refusedRequests.add({ reason: 'memory' })
      throw new MemoryShortError()
    }
    const { limitSlot } = exchange.client
    if (limitSlot < 0) return
    const nowMs = clock.monotonicMs()
    if (clients.request(limitSlot, nowMs)) return
    metrics.refusedRequests.add({ reason: 'client' })
    throw new TooManyRequestsError('client', clients.waitMs(limitSlot, nowMs))
  }

  /**
   * @returns the rate of the site, where it has one
   * @throws TooManyRequestsError; MisdirectedError when the site demands client certificates and the connection was made for another name
   */
  admitToSite(exchange: Exchange): SiteRate | undefined {
    const { settings, rates, metrics, clock } = this.#ports
    const { host } = exchange.head
    const options = settings.sites.optionsFor(host)
    if (options.clientCertificates !== undefined) {
      const { clientVerified, serverName } = exchange.client
      // Two names of one target may share a connection, but only the handshake for this name has asked for its certificate.
      if (!clientVerified || serverName !== host)
        throw new MisdirectedError(`The site "${host}" demands a client certificate on a connection of its own.`)
    }
    if (options.requestsPerSecond === 0 && options.bytesPerSecond === 0) return undefined
    const nowMs = clock.monotonicMs()
    const rate = rates.of(host, options, nowMs)
    if (!rate || options.requestsPerSecond === 0 || rate.request(nowMs)) return rate
    metrics.refusedRequests.add({ reason: 'site' })
    throw new TooManyRequestsError('site', rate.waitMs(nowMs))
  }
}
