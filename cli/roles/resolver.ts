import type { z } from '../../core/schema.ts'
import { stubConfig } from '../../resolver/dns/config.ts'
import { ensConfig } from '../../resolver/ens/config.ts'
import { createEnsSource } from '../../resolver/ens/ens-source.ts'
import { createResolverMetrics } from '../../resolver/metrics.ts'
import { dnsServerConfig } from '../../resolver/server/config.ts'
import { startDnsServer } from '../../resolver/server/dns-server.ts'
import type { Role } from './role.ts'

export const resolverRoleSchema = dnsServerConfig.omit({ adminPort: true, adminToken: true }).extend({
  forward: stubConfig.prefault({ upstreams: ['9.9.9.9:53', '1.1.1.1:53'] }),
  ens: ensConfig.prefault({}),
})
export type ResolverRoleConfig = z.output<typeof resolverRoleSchema>

/** The local DNS server: `.eth` names lead to the gateway when they exist on the chain, everything else is forwarded. */
export const resolverRole: Role<ResolverRoleConfig> = {
  name: 'resolver',
  schema: resolverRoleSchema,
  envPrefix: 'LASTMILE_RESOLVER',
  async start(config, { clock, random, log, metrics }) {
    const resolverMetrics = createResolverMetrics(metrics)
    const { forward, ens, ...server } = config
    const running = await startDnsServer(server, {
      zones: [],
      forward,
      ens: createEnsSource(ens, { clock, metrics: resolverMetrics }),
      clock,
      random,
      log,
      metrics: resolverMetrics,
    })
    return {
      serves: { DNS: `${running.host}:${running.port}` },
      [Symbol.asyncDispose]: () => running[Symbol.asyncDispose](),
    }
  },
}
