import type { CounterMetric, HistogramMetric, Metrics } from '../core/metrics.ts'

/** What the resolver counts. Labels come from fixed sets; no name, address or hash is ever one. */
export interface ResolverMetrics {
  dnsQueries: CounterMetric
  dnsFailures: CounterMetric
  cacheLookups: CounterMetric
  ensLookups: CounterMetric
  ensSeconds: HistogramMetric
  targets: CounterMetric
  served: CounterMetric
}

/** Registers the resolver's metrics in a process's registry. Call once per registry. */
export function createResolverMetrics(metrics: Metrics): ResolverMetrics {
  return {
    dnsQueries: metrics.counter('resolver_dns_queries_total', 'Questions sent to upstream DNS servers', ['transport']),
    dnsFailures: metrics.counter('resolver_dns_failures_total', 'Upstream DNS questions without a usable answer', [
      'reason',
    ]),
    cacheLookups: metrics.counter('resolver_cache_lookups_total', 'Look-ups in a cache', ['cache', 'result']),
    ensLookups: metrics.counter('resolver_ens_lookups_total', 'Names asked on the chain', ['result']),
    ensSeconds: metrics.histogram(
      'resolver_ens_lookup_duration_seconds',
      'Time to read one ENS name from the chain',
      [0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 8],
    ),
    targets: metrics.counter('resolver_targets_total', 'Host names decided, by the rule that decided', [
      'via',
      'result',
    ]),
    served: metrics.counter('resolver_dns_served_total', 'Questions answered by our own DNS server', [
      'transport',
      'rcode',
    ]),
  }
}
