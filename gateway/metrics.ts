import type { Fault } from '../core/errors.ts'
import type { CounterCell, CounterMetric, GaugeMetric, HistogramMetric, Metrics } from '../core/metrics.ts'

/**
 * Everything the gateway counts. Label values come from small fixed sets: never a name, path, hash or address. What is counted per request
 * has cells, by name or by number; calls without labels (`inFlight.set(3)`, `requestSeconds.observe(0.1)`) cost as little.
 */
export interface GatewayMetrics {
  /** `class`: 1xx-5xx or `cut`; `fault`: none, caller, upstream, ours. */
  requests: CounterMetric
  /**
   * The cell of `requests` for an answer. `status` is the one that was sent (100-599), 0 for an answer that broke off.
   */
  requestCell(status: number, fault: 'none' | Fault): CounterCell
  requestSeconds: HistogramMetric
  /** `outcome`: answered, full, failed, cut, gone. */
  attempts: CounterMetric
  readonly attemptCells: Cells<'answered' | 'full' | 'failed' | 'cut' | 'gone'>
  /** `reason`: full, connect, answer. */
  retries: CounterMetric
  readonly retryCells: Cells<'full' | 'connect' | 'answer'>
  ejections: CounterMetric
  recoveries: CounterMetric
  /** Lists of hosts that shrank so much at once that they were not believed. */
  listHolds: CounterMetric
  hedges: CounterMetric
  /** `reason`: address, memory, proxy. */
  refusedConnections: CounterMetric
  /** `reason`: client, site, memory. */
  refusedRequests: CounterMetric
  /** `kind`: full, resumed, challenge, failed. */
  handshakes: CounterMetric
  readonly handshakeCells: Cells<'full' | 'resumed' | 'challenge' | 'failed'>
  /** `outcome`: obtained, refused, late. */
  certificateWaitSeconds: HistogramMetric
  /** `outcome`: found, unknown, failed. */
  lookups: CounterMetric
  readonly lookupCells: Cells<'found' | 'unknown' | 'failed'>
  /** `source`: memory, network; `outcome`: verified, refused. */
  blocks: CounterMetric
  readonly blockCells: { memory: CounterCell; verified: CounterCell; refused: CounterCell }
  inFlight: GaugeMetric
}

type Cells<Name extends string> = Readonly<Record<Name, CounterCell>>

const secondsBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

/** Registers the gateway's metrics. */
export function gatewayMetrics(metrics: Metrics): GatewayMetrics {
  const requests = metrics.counter(
    'gateway_requests_total',
    'Requests by status class and whose fault a failure was.',
    ['class', 'fault'],
  )
  const attempts = metrics.counter('gateway_upstream_attempts_total', 'Attempts at compute hosts.', ['outcome'])
  const retries = metrics.counter('gateway_retries_total', 'Requests that went to one more host.', ['reason'])
  const handshakes = metrics.counter('gateway_tls_handshakes_total', 'TLS handshakes.', ['kind'])
  const lookups = metrics.counter('gateway_lookups_total', 'Names looked up.', ['outcome'])
  const blocks = metrics.counter('gateway_static_blocks_total', 'Blocks of static sites.', ['source', 'outcome'])
  return {
    requests,
    requestCell: requestCells(requests),
    requestSeconds: metrics.histogram(
      'gateway_request_duration_seconds',
      'Time from request head to the end of the answer.',
      secondsBuckets,
    ),
    attempts,
    attemptCells: cellsOf(attempts, 'outcome', ['answered', 'full', 'failed', 'cut', 'gone']),
    retries,
    retryCells: cellsOf(retries, 'reason', ['full', 'connect', 'answer']),
    hedges: metrics.counter('gateway_hedges_total', 'Second requests sent because the first was slow.'),
    refusedConnections: metrics.counter('gateway_refused_connections_total', 'Connections closed at once, by reason.', [
      'reason',
    ]),
    refusedRequests: metrics.counter('gateway_refused_requests_total', 'Requests refused by a limit.', ['reason']),
    ejections: metrics.counter('gateway_host_ejections_total', 'Times a compute host was taken out of use.'),
    recoveries: metrics.counter('gateway_host_recoveries_total', 'Times an ejected compute host came back into use.'),
    listHolds: metrics.counter(
      'gateway_host_list_holds_total',
      'Lists of hosts that shrank so much at once that they were not believed for a while.',
    ),
    handshakes,
    handshakeCells: cellsOf(handshakes, 'kind', ['full', 'resumed', 'challenge', 'failed']),
    certificateWaitSeconds: metrics.histogram(
      'gateway_certificate_wait_seconds',
      'Time handshakes waited for a certificate on demand.',
      [0.05, 0.1, 0.5, 1, 2, 5, 10, 20, 60],
      ['outcome'],
    ),
    lookups,
    lookupCells: cellsOf(lookups, 'outcome', ['found', 'unknown', 'failed']),
    blocks,
    blockCells: {
      memory: blocks.cell({ source: 'memory', outcome: 'verified' }),
      verified: blocks.cell({ source: 'network', outcome: 'verified' }),
      refused: blocks.cell({ source: 'network', outcome: 'refused' }),
    },
    inFlight: metrics.gauge('gateway_requests_in_flight', 'Requests being answered now, open WebSockets included.'),
  }
}

function cellsOf<Name extends string>(counter: CounterMetric, label: string, names: readonly Name[]): Cells<Name> {
  return Object.fromEntries(names.map((name) => [name, counter.cell({ [label]: name })])) as Cells<Name>
}

const classes = ['cut', '1xx', '2xx', '3xx', '4xx', '5xx'] as const
const faults = ['none', 'caller', 'upstream', 'ours'] as const

/** Cells in one flat list: found by arithmetic, since this runs for every request. */
function requestCells(requests: CounterMetric): GatewayMetrics['requestCell'] {
  const cells = faults.flatMap((fault) => classes.map((name) => requests.cell({ class: name, fault })))
  return (status, fault) => {
    const row = fault === 'none' ? 0 : fault === 'caller' ? 1 : fault === 'upstream' ? 2 : 3
    return cells[row * classes.length + Math.trunc(status / 100)] as CounterCell
  }
}
