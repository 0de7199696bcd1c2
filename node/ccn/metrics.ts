import type { Metrics } from '../../core/metrics.ts'

/** What a core channel node counts. Labels come from fixed sets: message types, statuses, route patterns. */
export function createCcnMetrics(metrics: Metrics) {
  return {
    messages: metrics.counter('ccn_messages_total', 'Messages taken in, by type and by what became of them.', [
      'type',
      'status',
    ]),
    pending: metrics.gauge('ccn_pending_messages', 'Messages that wait for something they refer to.'),
    subscribers: metrics.gauge('ccn_subscribers', 'Open WebSocket subscriptions.'),
    requests: metrics.counter('ccn_http_requests_total', 'HTTP requests by route pattern and status class.', [
      'route',
      'status',
    ]),
    processing: metrics.histogram(
      'ccn_message_processing_seconds',
      'Time from a parsed message to its durable outcome.',
      [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5],
    ),
    peerFetches: metrics.counter('ccn_peer_fetches_total', 'Contents asked of peers, by result.', ['result']),
  }
}
export type CcnMetrics = ReturnType<typeof createCcnMetrics>
