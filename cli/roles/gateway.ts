import { join } from 'node:path'
import { createDns01 } from '../../acme/challenge/dns-01.ts'
import { createHttp01 } from '../../acme/challenge/http-01.ts'
import { createTlsAlpn01 } from '../../acme/challenge/tls-alpn-01.ts'
import { acmeConfigSchema } from '../../acme/config.ts'
import { startCertificateManager } from '../../acme/manager.ts'
import type { IssuancePolicy } from '../../acme/ports.ts'
import { openDirectoryStore } from '../../acme/store/directory-store.ts'
import { describeError } from '../../core/errors.ts'
import { z } from '../../core/schema.ts'
import { gatewayConfigSchema } from '../../gateway/config.ts'
import { startGateway } from '../../gateway/gateway.ts'
import type { DomainReport } from '../../gateway/ports.ts'
import { clientConfigSchema } from '../../node/client/config.ts'
import { createNetworkClient } from '../../node/client/network-client.ts'
import { cacheDns } from '../../resolver/dns/cached-dns.ts'
import { dnsCacheConfig, stubConfig } from '../../resolver/dns/config.ts'
import { createStubClient } from '../../resolver/dns/stub-client.ts'
import { ensConfig } from '../../resolver/ens/config.ts'
import { createEnsSource } from '../../resolver/ens/ens-source.ts'
import { createResolverMetrics } from '../../resolver/metrics.ts'
import { dnsServerConfig } from '../../resolver/server/config.ts'
import { startDnsServer } from '../../resolver/server/dns-server.ts'
import { createZone } from '../../resolver/server/zone.ts'
import type { ZoneRecord } from '../../resolver/server/zone-record.ts'
import { createTargets, type Targets } from '../../resolver/targets/targets.ts'
import type { Role, RolePorts } from './role.ts'

export const gatewayRoleSchema = gatewayConfigSchema.extend({
  stateDir: z
    .string()
    .default('gateway')
    .describe('Folder that keeps the ACME account, certificates with their keys, and open orders.'),
  publicAddresses: z
    .array(z.union([z.ipv4(), z.ipv6()]))
    .min(1)
    .default(['127.0.0.1'])
    .describe('Addresses under which this gateway is reached from outside; its own zone answers with them.'),
  acme: acmeConfigSchema.prefault({}),
  dns: z
    .object({
      server: dnsServerConfig.pick({ host: true, port: true }).prefault({}),
      upstreams: stubConfig.shape.upstreams,
      cache: dnsCacheConfig.prefault({}),
    })
    .prefault({}),
  names: z
    .object({
      ttlMsMin: z
        .number()
        .int()
        .min(0)
        .default(30_000)
        .describe('Shortest time that the target of a name is believed.'),
      ttlMsMax: z
        .number()
        .int()
        .min(0)
        .default(3_600_000)
        .describe('Longest time that the target of a name is believed.'),
      ensTtlMs: z.number().int().min(0).default(60_000).describe('Time that the target of an ENS name is believed.'),
    })
    .prefault({}),
  ens: ensConfig.prefault({}),
  network: clientConfigSchema.prefault({ ccnUrls: ['https://official.aleph.cloud'] }),
})
export type GatewayRoleConfig = z.output<typeof gatewayRoleSchema>

/** Everything that one public gateway consists of, in one process. */
export const gatewayRole: Role<GatewayRoleConfig> = {
  name: 'gateway',
  schema: gatewayRoleSchema,
  envPrefix: 'LASTMILE_GATEWAY',
  async start(config, ports) {
    await using stack = new AsyncDisposableStack()
    const { clock, random, log, metrics } = ports
    const network = stack.use(
      createNetworkClient({ ...config.network, clock, random, log: log.child({ part: 'network' }) }),
    )
    const resolverMetrics = createResolverMetrics(metrics)
    const stub = createStubClient(stubConfig.parse({ upstreams: config.dns.upstreams }), {
      clock,
      random,
      metrics: resolverMetrics,
    })
    const dns = cacheDns(stub, config.dns.cache, { clock, metrics: resolverMetrics })
    const ens = createEnsSource(config.ens, { clock, metrics: resolverMetrics })
    const targets = createTargets(
      {
        zones: [config.zone],
        gatewayAddresses: config.publicAddresses,
        ...config.names,
        lookupMsMax: config.timeouts.lookupMs - 1_000,
      },
      { dns, ens, messages: network, clock, log, metrics: resolverMetrics },
    )
    const zone = createZone({ origin: config.zone, records: ownRecords(config) })
    const nameServer = stack.use(
      await startDnsServer(dnsServerConfig.parse(config.dns.server), {
        zones: [zone],
        clock,
        random,
        log,
        metrics: resolverMetrics,
      }),
    )
    const store = stack.use(await openDirectoryStore(join(config.stateDir, 'acme'), { clock }))
    const certificates = stack.use(
      await startCertificateManager(config.acme, {
        store,
        responders: [createDns01(zone, { zones: [config.zone] }), createHttp01(), createTlsAlpn01()],
        policy: issuancePolicy(config.zone, targets),
        clock,
        random,
        log: log.child({ part: 'acme' }),
        metrics,
      }),
    )
    const gateway = stack.use(
      await startGateway(config, {
        names: targets,
        certificates,
        hosts: network,
        blocks: network,
        domainReport: async (host, signal) => pageReport(await targets.domainReport(host, signal)),
        clock,
        random,
        log: log.child({ part: 'gateway' }),
        metrics,
      }),
    )
    await obtainOwnCertificate(config, certificates, ports)
    const running = stack.move()
    return {
      serves: {
        HTTPS: `${config.listen.host}:${gateway.httpsPort}`,
        HTTP: `${config.listen.host}:${gateway.httpPort}`,
        DNS: `${nameServer.host}:${nameServer.port}`,
        admin: `http://${config.admin.host}:${gateway.adminPort}`,
      },
      [Symbol.asyncDispose]: () => running.disposeAsync(),
    }
  },
}

/** The zone's bare name and everything below it lead here. `eth` stands apart, since a wildcard ends where a name exists. */
function ownRecords({ zone, publicAddresses }: GatewayRoleConfig): ZoneRecord[] {
  const names = [zone, `*.${zone}`, `eth.${zone}`, `*.eth.${zone}`, `ns.${zone}`]
  const addresses = names.flatMap((name) =>
    publicAddresses.map((value): ZoneRecord => ({ name, type: value.includes(':') ? 'AAAA' : 'A', value })),
  )
  return [{ name: zone, type: 'NS', value: `ns.${zone}` }, ...addresses]
}

/** One certificate for the zone and both wildcards below it. Without it the gateway still serves custom domains. */
async function obtainOwnCertificate(
  { zone }: GatewayRoleConfig,
  certificates: { ensure(names: readonly string[]): Promise<unknown> },
  { log }: RolePorts,
): Promise<void> {
  try {
    await certificates.ensure([zone, `*.${zone}`, `*.eth.${zone}`])
  } catch (error) {
    log.error(`no certificate for ${zone} yet, trying again behind: ${describeError(error)}`)
  }
}

/** Names under our own zone are ours to certify; all others follow the naming rules. */
function issuancePolicy(zone: string, targets: Targets): IssuancePolicy {
  return {
    check: async (name, signal) => {
      if (name === zone || name === `*.${zone}` || name === `*.eth.${zone}`) return
      await targets.checkIssuance(name, signal)
    },
  }
}

function pageReport(report: Awaited<ReturnType<Targets['domainReport']>>): DomainReport {
  return {
    host: report.host,
    ok: report.verdict === 'ok',
    summary: report.message,
    records: report.records,
    ...(report.hint === undefined ? {} : { advice: report.hint }),
  }
}
