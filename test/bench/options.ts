import { parseArgs } from 'node:util'
import { type WorkloadName, workloads } from './workloads.ts'

export interface DataplaneOptions {
  workloads: readonly WorkloadName[]
  /** Servers of the distribution; each is measured where it is installed. */
  peers: readonly string[]
  /** Proxies on Node. */
  baselines: readonly string[]
  rounds: number
  /** Length of a slot. */
  ms: number
  json: boolean
  write: boolean
  tax: boolean
  /** Our own origin and load generators, whatever is installed. */
  ownLoad: boolean
  installPeers: boolean
}

export const dataplaneUsage = `Usage: npm run -s bench -- dataplane [WORKLOAD ...] [options]

Workloads (default: all): ${workloads.map(({ name }) => name).join(' ')}

  --peers LIST       nginx,haproxy,caddy (default) or none: measured where installed
  --baselines LIST   http-proxy,undici (default) or none
  --install-peers    install the peers, wrk, h2load and strace from Debian first (as root)
  --rounds N         rounds, default 5
  --secs S           seconds of one slot, default 1 (wrk and h2load know whole seconds only)
  --tax              measure the gateway with features off too: what they cost
  --own-load         our own origin and load generators even where nginx, wrk and h2load are installed
  --json             one JSON object on standard output instead of Markdown
  --write            write docs/performance/data-plane.md and .svg as well
`

export class BenchUsageError extends Error {}

/** @throws BenchUsageError that says what is not known */
export function parseDataplaneOptions(argv: readonly string[]): DataplaneOptions | 'help' {
  const { values, positionals } = parse(argv)
  if (values.help) return 'help'
  const known = new Set<string>(workloads.map(({ name }) => name))
  const named = positionals.flatMap((text) => text.split(','))
  for (const name of named) if (!known.has(name)) throw new BenchUsageError(`There is no workload "${name}".`)
  return {
    workloads: named.length > 0 ? (named as WorkloadName[]) : workloads.map(({ name }) => name),
    peers: listOf('--peers', values.peers, ['nginx', 'haproxy', 'caddy']),
    baselines: listOf('--baselines', values.baselines, ['http-proxy', 'undici']),
    rounds: numberOf('--rounds', values.rounds, 1, 1_000),
    ms: numberOf('--secs', values.secs, 0.1, 600) * 1_000,
    json: values.json,
    write: values.write,
    tax: values.tax,
    ownLoad: values['own-load'],
    installPeers: values['install-peers'],
  }
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: {
        peers: { type: 'string', default: 'nginx,haproxy,caddy' },
        baselines: { type: 'string', default: 'http-proxy,undici' },
        rounds: { type: 'string', default: '5' },
        secs: { type: 'string', default: '1' },
        json: { type: 'boolean', default: false },
        write: { type: 'boolean', default: false },
        tax: { type: 'boolean', default: false },
        'own-load': { type: 'boolean', default: false },
        'install-peers': { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    })
  } catch (error) {
    throw new BenchUsageError((error as Error).message)
  }
}

function listOf(option: string, text: string, known: readonly string[]): string[] {
  if (text === 'none') return []
  const names = text.split(',').filter((name) => name !== '')
  for (const name of names)
    if (!known.includes(name)) throw new BenchUsageError(`${option} knows ${known.join(', ')} and none, not "${name}".`)
  return names
}

function numberOf(option: string, text: string, min: number, max: number): number {
  const value = Number(text)
  if (!(value >= min && value <= max)) throw new BenchUsageError(`${option} takes a number from ${min} to ${max}.`)
  return value
}
