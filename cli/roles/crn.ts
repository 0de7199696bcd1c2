import type { z } from '../../core/schema.ts'
import { clientConfigSchema } from '../../node/client/config.ts'
import { createNetworkClient } from '../../node/client/network-client.ts'
import { crnConfigSchema } from '../../node/crn/config.ts'
import { startCrn } from '../../node/crn/crn.ts'
import { selectHypervisor } from '../../node/crn/hypervisor/select.ts'
import type { Role } from './role.ts'

export const crnRoleSchema = crnConfigSchema.extend({
  stateDir: crnConfigSchema.shape.stateDir.default('crn'),
  network: clientConfigSchema.prefault({ ccnUrls: ['https://official.aleph.cloud'] }),
})
export type CrnRoleConfig = z.output<typeof crnRoleSchema>

/** A compute host: microVMs on this machine, programs and code from the network. */
export const crnRole: Role<CrnRoleConfig> = {
  name: 'crn',
  schema: crnRoleSchema,
  envPrefix: 'LASTMILE_CRN',
  async start(config, ports) {
    await using stack = new AsyncDisposableStack()
    const { clock, random, log } = ports
    const network = stack.use(
      createNetworkClient({ ...config.network, clock, random, log: log.child({ part: 'network' }) }),
    )
    const hypervisor = await selectHypervisor(config, ports)
    const crn = stack.use(await startCrn(config, { ...ports, hypervisor, network }))
    const running = stack.move()
    return { serves: { API: crn.url }, [Symbol.asyncDispose]: () => running.disposeAsync() }
  },
}
