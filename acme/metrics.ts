import type { CounterMetric, GaugeMetric, HistogramMetric, Metrics } from '../core/metrics.ts'

/** What the certificate manager counts. No label names a host. */
export interface AcmeMetrics {
  requests: CounterMetric
  orders: CounterMetric
  orderSeconds: HistogramMetric
  refusals: CounterMetric
  certificates: GaugeMetric
  clockOffset: GaugeMetric
  late: CounterMetric
}

/** Registers the metrics of this module. */
export function createAcmeMetrics(metrics: Metrics): AcmeMetrics {
  return {
    requests: metrics.counter('acme_requests_total', 'Requests to the certificate authority by outcome.', [
      'method',
      'outcome',
    ]),
    orders: metrics.counter('acme_orders_total', 'Attempts at an order by kind (new, renewal, resumed) and result.', [
      'kind',
      'result',
    ]),
    orderSeconds: metrics.histogram(
      'acme_order_duration_seconds',
      'Time from the start of an order to its certificate.',
      [0.25, 0.5, 1, 2, 5, 10, 30, 60, 120],
    ),
    refusals: metrics.counter('acme_refusals_total', 'Certificates not ordered, by the code of the reason.', ['code']),
    certificates: metrics.gauge('acme_certificates', 'Certificates that can be served now.'),
    clockOffset: metrics.gauge(
      'acme_clock_offset_seconds',
      "The authority's clock minus ours, at its last reply; whole seconds.",
    ),
    late: metrics.counter(
      'acme_late_renewals_total',
      'Failed renewals of certificates with less than a quarter of their life left.',
    ),
  }
}
