import type { CounterMetric, GaugeMetric, HistogramMetric, Metrics } from '../../core/metrics.ts'

/** What a compute host counts. No label holds a hash, a path or an address. */
export interface CrnMetrics {
  requests: CounterMetric
  starts: CounterMetric
  startSeconds: HistogramMetric
  answerSeconds: HistogramMetric
  vms: GaugeMetric
  poolReady: GaugeMetric
  boots: CounterMetric
  bootSeconds: HistogramMetric
  guestsEnded: CounterMetric
  upgrades: CounterMetric
  codeCache: CounterMetric
}

const startBuckets = [0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30]
const answerBuckets = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5, 30]

export function createCrnMetrics(metrics: Metrics): CrnMetrics {
  return {
    requests: metrics.counter('crn_requests_total', 'Requests for programs, by status class or error code.', [
      'result',
    ]),
    starts: metrics.counter('crn_program_starts_total', 'Programs started, by where the guest came from.', ['source']),
    startSeconds: metrics.histogram(
      'crn_program_start_seconds',
      'From the first request of a program until it accepts connections.',
      startBuckets,
      ['code'],
    ),
    answerSeconds: metrics.histogram(
      'crn_answer_seconds',
      'From request to the head of the answer, running programs.',
      answerBuckets,
    ),
    vms: metrics.gauge('crn_vms', 'Programs that run now.'),
    poolReady: metrics.gauge('crn_pool_ready', 'Guests booted and waiting for code.', ['runtime']),
    boots: metrics.counter('crn_boots_total', 'Guests booted.', ['runtime', 'result']),
    bootSeconds: metrics.histogram(
      'crn_boot_seconds',
      'From process start until a guest waits for code.',
      startBuckets,
      ['runtime'],
    ),
    guestsEnded: metrics.counter('crn_guests_ended_total', 'Guests that ended by themselves while in use.'),
    upgrades: metrics.counter('crn_upgrades_total', 'Programs moved to a newer version of a file.', ['result']),
    codeCache: metrics.counter('crn_code_cache_total', 'Code images looked up on disk.', ['result']),
  }
}
