import type { CounterMetric, GaugeMetric, Metrics } from '../../core/metrics.ts'

export interface FleetMetrics {
  restarts: CounterMetric
  serving: GaugeMetric
}

/** Registers what the primary counts of its workers. */
export function fleetMetrics(metrics: Metrics): FleetMetrics {
  return {
    restarts: metrics.counter(
      'gateway_worker_restarts_total',
      'Worker processes that ended by themselves and were replaced.',
    ),
    serving: metrics.gauge('gateway_workers_serving', 'Worker processes that take connections now.'),
  }
}
