import { openCcnStores, startCcn } from '../../node/ccn/ccn.ts'
import { type CcnConfig, ccnConfigSchema } from '../../node/ccn/config.ts'
import type { Role } from './role.ts'

/** The message store: SQLite and a directory in `stateDir`, behind the network's HTTP API. */
export const ccnRole: Role<CcnConfig> = {
  name: 'ccn',
  schema: ccnConfigSchema,
  envPrefix: 'LASTMILE_CCN',
  async start(config, ports) {
    await using stack = new AsyncDisposableStack()
    const stores = stack.use(await openCcnStores(config.stateDir))
    const ccn = stack.use(await startCcn(config, { ...ports, store: stores.store, files: stores.files }))
    const running = stack.move()
    return { serves: { API: ccn.url }, [Symbol.asyncDispose]: () => running.disposeAsync() }
  },
}
