import { join } from 'node:path'
import { createDns01 } from '../../acme/challenge/dns-01.ts'
import { createHttp01 } from '../../acme/challenge/http-01.ts'
import { createTlsAlpn01 } from '../../acme/challenge/tls-alpn-01.ts'
import { acmeConfigSchema } from '../../acme/config.ts'
import { startCertificateManager } from '../../acme/manager.ts'
import { openDirectoryStore } from '../../acme/store/directory-store.ts'
import { describeError } from '../../core/errors.ts'
import { z } from '../../core/schema.ts'
import { gatewayConfigSchema } from '../../gateway/config.ts'
import { ReloadRefusedError } from '../../gateway/fleet/errors.ts'
import { changedKeys } from '../../gateway/fleet/reload-plan.ts'
import { startGateway } from '../../gateway/gateway.ts'
import type { DomainReport } from '../../gateway/ports.ts'
import { clientConfigSchema } from '../../node/client/config.ts'
import { createNetworkClient } from '../../node/client/network-client.ts'
import { resolverConfig } from '../../resolver/config.ts'
import { ensConfig } from '../../resolver/ens/config.ts'
import { startResolver } from '../../resolver/resolver.ts'
import { dnsServerConfig } from '../../resolver/server/config.ts'
import { startDnsServer } from '../../resolver/server/dns-server.ts'
import { createZone } from '../../resolver/server/zone.ts'
import type { ZoneRecord } from '../../resolver/server/zone-record.ts'
import { targetsConfig } from '../../resolver/targets/config.ts'
import type { Targets } from '../../resolver/targets/targets.ts'
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
  nameServer: dnsServerConfig.pick({ host: true, port: true }).prefault({}),
  resolver: resolverConfig
    .extend({
      // Which zone is ours and where we are is said once, above.
      targets: targetsConfig.omit({ zones: true, gatewayAddresses: true }).prefault({}),
      ens: ensConfig
        .extend({
          ttlMs: ensConfig.shape.ttlMs
            .unwrap()
            .default(0)
            .describe('Time that an answer from the chain is believed, before resolver.targets.ensTtlMs begins.'),
        })
        .prefault({}),
    })
    .prefault({}),
  network: clientConfigSchema.prefault({ ccnUrls: ['https://official.aleph.cloud'] }),
})
export type GatewayRoleConfig = z.output<typeof gatewayRoleSchema>

/** Everything that one public gateway consists of: its parts in this process, its data plane in worker processes. */
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
    const { targets } = config.resolver
    const resolver = stack.use(
      await startResolver(
        { ...config.resolver, targets: { ...targets, zones: [config.zone], gatewayAddresses: config.publicAddresses } },
        { ...ports, messages: network },
      ),
    )
    const zone = createZone({ origin: config.zone, records: ownRecords(config) })
    const nameServer = stack.use(
      await startDnsServer(dnsServerConfig.parse(config.nameServer), { zones: [zone], clock, random, log }),
    )
    const store = stack.use(await openDirectoryStore(join(config.stateDir, 'acme'), { clock }))
    const certificates = stack.use(
      await startCertificateManager(config.acme, {
        store,
        responders: [createDns01(zone, { zones: [config.zone] }), createHttp01(), createTlsAlpn01()],
        policy: { check: (name, signal) => resolver.checkIssuance(name, signal) },
        clock,
        random,
        log: log.child({ part: 'acme' }),
        metrics,
      }),
    )
    const gateway = stack.use(
      await startGateway(config, {
        names: resolver,
        certificates,
        hosts: network,
        blocks: network,
        domainReport: async (host, signal) => pageReport(await resolver.domainReport(host, signal)),
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
      async reload(next: GatewayRoleConfig) {
        const refused = changedKeys(config, next).filter((key) => !isGatewayKey(key))
        if (refused.length > 0) throw new ReloadRefusedError(refused)
        await gateway.reload(next)
      },
      [Symbol.asyncDispose]: () => running.disposeAsync(),
    }
  },
}

/** Whether a key is the edge's own. Those of its other parts (certificates, resolver, network) are read at the start only. */
function isGatewayKey(key: string): boolean {
  return Object.hasOwn(gatewayConfigSchema.shape, key.split('.', 1)[0] as string)
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

function pageReport(report: Awaited<ReturnType<Targets['domainReport']>>): DomainReport {
  return {
    host: report.host,
    ok: report.verdict === 'ok',
    summary: report.message,
    records: report.records,
    ...(report.hint === undefined ? {} : { advice: report.hint }),
  }
}
