import type { Clock } from '../../core/clock.ts'
import type { Balancer } from '../balance/balancer.ts'
import type { Compressors } from '../compress/compressors.ts'
import type { Exchange } from '../forward/exchange.ts'
import type { SiteRate } from '../guard/site-rates.ts'
import type { Settings } from '../listen/listen-context.ts'
import type { GatewayMetrics } from '../metrics.ts'
import type { HostPools } from '../upstream/host-pools.ts'
import { ProgramExchange } from './program-exchange.ts'
import type { RequestLines } from './request-lines.ts'

export interface ProgramPorts {
  settings: Settings
  balancer: Balancer
  pools: HostPools
  lines: RequestLines
  compressors: Compressors
  metrics: GatewayMetrics
  clock: Clock
  /** Ends an exchange with the page of an error. */
  fail(exchange: Exchange, error: unknown): void
}

/** `/vm/<hash>` of programs seen lately. */
const prefixes = new Map<string, Buffer>()
const prefixesMax = 10_000

/**
 * Answers an exchange from a program.
 * @param rate - of the site, where it has one
 * @throws AppError before anything was begun; later failures reach `ports.fail`
 */
export function serveProgram(
  exchange: Exchange,
  itemHash: string,
  rate: SiteRate | undefined,
  ports: ProgramPorts,
): void {
  const { probePath } = ports.settings.sites.optionsFor(exchange.head.host)
  const found =
    probePath === undefined
      ? ports.balancer.find(itemHash)
      : ports.balancer.find(itemHash, `/vm/${itemHash}${probePath}`)
  const program = new ProgramExchange(exchange, itemHash, prefixOf(itemHash), ports, rate)
  if (!(found instanceof Promise)) return void program.begin(found)
  exchange.listen(program)
  found
    .then((hosts) => {
      if (!exchange.over) program.begin(hosts)
    })
    .catch((error: unknown) => ports.fail(exchange, error))
}

function prefixOf(itemHash: string): Buffer {
  let prefix = prefixes.get(itemHash)
  if (!prefix) {
    if (prefixes.size >= prefixesMax) prefixes.clear()
    prefix = Buffer.from(`/vm/${itemHash}`, 'latin1')
    prefixes.set(itemHash, prefix)
  }
  return prefix
}
