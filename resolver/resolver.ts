import type { Clock } from '../core/clock.ts'
import { describeError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { Metrics } from '../core/metrics.ts'
import type { Random } from '../core/random.ts'
import type { ResolverConfig } from './config.ts'
import { cacheDns } from './dns/cached-dns.ts'
import { createStubClient } from './dns/stub-client.ts'
import { createEnsSource } from './ens/ens-source.ts'
import { createResolverMetrics } from './metrics.ts'
import type { DnsSource, EnsSource, MessageSource } from './ports.ts'
import { createTargets, type Targets } from './targets/targets.ts'

export interface ResolverPorts {
  messages: MessageSource
  clock: Clock
  random: Random
  log: Log
  metrics: Metrics
}

/** The naming rules over live DNS and a live chain, both cached. */
export interface Resolver extends Targets, AsyncDisposable {
  readonly dns: DnsSource
  readonly ens: EnsSource
}

/**
 * Starts the resolver of a gateway: DNS, ENS and the rules over them. Warm when it resolves; an Ethereum node that is away at the
 * start is logged and asked again with each `.eth` name.
 */
export async function startResolver(config: ResolverConfig, ports: ResolverPorts): Promise<Resolver> {
  const { clock, random, log, messages } = ports
  const metrics = createResolverMetrics(ports.metrics)
  const stop = new AbortController()
  const dns = cacheDns(createStubClient(config.dns, { clock, random, metrics }), config.cache, { clock, metrics })
  const ens = createEnsSource(config.ens, { clock, metrics })
  await ens
    .warmUp(stop.signal)
    .catch((error: unknown) => log.warn('ENS is not available', { error: describeError(error) }))
  const targets = createTargets(config.targets, { dns, ens, messages, clock, log, metrics })
  return {
    resolve: (host, signal) => targets.resolve(host, AbortSignal.any([signal, stop.signal])),
    checkIssuance: (name, signal) => targets.checkIssuance(name, AbortSignal.any([signal, stop.signal])),
    domainReport: (host, signal) => targets.domainReport(host, AbortSignal.any([signal, stop.signal])),
    dns,
    ens,
    [Symbol.asyncDispose]: async () => stop.abort(new DOMException('The resolver stops', 'AbortError')),
  }
}
