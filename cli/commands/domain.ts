import { getServers } from 'node:dns'
import { systemClock } from '../../core/clock.ts'
import { silentLog } from '../../core/log.ts'
import { systemRandom } from '../../core/random.ts'
import { createNetworkClient } from '../../node/client/network-client.ts'
import { stubConfig } from '../../resolver/dns/config.ts'
import { createStubClient } from '../../resolver/dns/stub-client.ts'
import { ensConfig } from '../../resolver/ens/config.ts'
import { createEnsSource } from '../../resolver/ens/ens-source.ts'
import { targetsConfig } from '../../resolver/targets/config.ts'
import { createTargets, type DomainReport } from '../../resolver/targets/targets.ts'
import { type Command, UsageError } from '../command.ts'

export const command: Command = {
  name: 'domain',
  summary: 'check the DNS records of a custom domain, as a gateway would',
  positionals: 'check <host>',
  details: 'Ends with status 0 when the gateway would serve the name, else with 1 and what to write where.',
  options: {
    zone: { type: 'string', value: 'zone', help: 'zone of the gateway that the domain shall lead to' },
    address: { type: 'string', value: 'ip', help: 'public address of that gateway, for a domain without CNAME' },
    dns: { type: 'string', value: 'ip:port', help: "DNS server to ask (default: the system's)" },
    ccn: { type: 'string', value: 'url', help: 'node to ask for messages (default https://official.aleph.cloud)' },
    rpc: { type: 'string', value: 'url', help: 'Ethereum node, for .eth names' },
    json: { type: 'boolean', help: 'print the report as JSON' },
  },
  async run({ values, positionals }) {
    const [verb, host, ...more] = positionals
    if (verb !== 'check' || host === undefined || more.length > 0)
      throw new UsageError('Write: lastmile domain check <host>.')
    if (typeof values.zone !== 'string') throw new UsageError('Name the zone of the gateway: --zone gw.example.')
    const report = await readReport(host.toLowerCase().replace(/\.$/, ''), values.zone, values)
    process.stdout.write(values.json ? `${JSON.stringify(report, undefined, 2)}\n` : reportText(report))
    return report.verdict === 'ok' && report.pointsHere !== false ? 0 : 1
  },
}

async function readReport(
  host: string,
  zone: string,
  values: Readonly<Record<string, string | boolean | undefined>>,
): Promise<DomainReport> {
  const ports = { clock: systemClock, random: systemRandom, log: silentLog }
  const upstreams = typeof values.dns === 'string' ? [values.dns] : systemServers()
  await using network = createNetworkClient({
    ccnUrls: [(values.ccn as string | undefined) ?? 'https://official.aleph.cloud'],
    ...ports,
  })
  const ens = createEnsSource(ensConfig.parse(typeof values.rpc === 'string' ? { rpcUrl: values.rpc } : {}), ports)
  const gatewayAddresses = typeof values.address === 'string' ? [values.address] : []
  const targets = createTargets(targetsConfig.parse({ zones: [zone], gatewayAddresses }), {
    dns: createStubClient(stubConfig.parse({ upstreams }), ports),
    ens,
    messages: network,
    ...ports,
  })
  return targets.domainReport(host, AbortSignal.timeout(15_000))
}

/** The system's DNS servers, each with a port. */
function systemServers(): string[] {
  return getServers().map((server) =>
    /^\d+\.\d+\.\d+\.\d+$/.test(server) ? `${server}:53` : server.includes(']') ? server : `[${server}]:53`,
  )
}

const marks: Record<string, string> = {
  ok: 'ok     ',
  missing: 'MISSING',
  wrong: 'WRONG  ',
  conflict: 'CONFLICT',
  failed: 'FAILED ',
  warning: 'note   ',
}

function reportText(report: DomainReport): string {
  const lines = report.records.flatMap(({ state, record, type, found, expected }) => [
    `${marks[state]} ${type.padEnd(5)} ${record}`,
    `        found: ${shown(found)}`,
    ...(expected === undefined || state === 'ok' ? [] : [`        write: ${shown(expected)}`]),
  ])
  const end = [`${report.host}: ${report.message}`, ...(report.hint === undefined ? [] : [report.hint])]
  return `${[...lines, '', ...end].join('\n')}\n`
}

function shown(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? '(nothing)' : value.join(' | ')
  return value === undefined || value === '' ? '(nothing)' : String(value)
}
