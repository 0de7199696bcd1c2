import type { CounterMetric, GaugeMetric, HistogramMetric, Metrics } from '../core/metrics.ts'

/** Everything the gateway counts. Label values come from small fixed sets: never a name, path, hash or address. */
export interface GatewayMetrics {
  /** `class`: 1xx-5xx or `cut`; `fault`: none, caller, upstream, ours. */
  requests: CounterMetric
  requestSeconds: HistogramMetric
  /** `outcome`: answered, full, failed, cut, gone. */
  attempts: CounterMetric
  /** `reason`: full, connect, answer. */
  retries: CounterMetric
  ejections: CounterMetric
  recoveries: CounterMetric
  /** `kind`: full, resumed, challenge, failed. */
  handshakes: CounterMetric
  /** `outcome`: obtained, refused, late. */
  certificateWaitSeconds: HistogramMetric
  /** `outcome`: found, unknown, failed. */
  lookups: CounterMetric
  /** `source`: memory, network; `outcome`: verified, refused. */
  blocks: CounterMetric
  inFlight: GaugeMetric
}

const secondsBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

/** Registers the gateway's metrics. */
export function gatewayMetrics(metrics: Metrics): GatewayMetrics {
  return {
    requests: metrics.counter('gateway_requests_total', 'Requests by status class and whose fault a failure was.', [
      'class',
      'fault',
    ]),
    requestSeconds: metrics.histogram(
      'gateway_request_duration_seconds',
      'Time from request head to the end of the answer.',
      secondsBuckets,
    ),
    attempts: metrics.counter('gateway_upstream_attempts_total', 'Attempts at compute hosts.', ['outcome']),
    retries: metrics.counter('gateway_retries_total', 'Requests that went to one more host.', ['reason']),
    ejections: metrics.counter('gateway_host_ejections_total', 'Times a compute host was taken out of use.'),
    recoveries: metrics.counter('gateway_host_recoveries_total', 'Times an ejected compute host came back into use.'),
    handshakes: metrics.counter('gateway_tls_handshakes_total', 'TLS handshakes.', ['kind']),
    certificateWaitSeconds: metrics.histogram(
      'gateway_certificate_wait_seconds',
      'Time handshakes waited for a certificate on demand.',
      [0.05, 0.1, 0.5, 1, 2, 5, 10, 20, 60],
      ['outcome'],
    ),
    lookups: metrics.counter('gateway_lookups_total', 'Names looked up.', ['outcome']),
    blocks: metrics.counter('gateway_static_blocks_total', 'Blocks of static sites.', ['source', 'outcome']),
    inFlight: metrics.gauge('gateway_requests_in_flight', 'Requests being answered now, open WebSockets included.'),
  }
}
