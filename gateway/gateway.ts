import { describeError } from '../core/errors.ts'
import { parseShape } from '../core/schema.ts'
import { startAdminServer } from './admin/admin-server.ts'
import { type GatewayConfig, gatewayConfigSchema } from './config.ts'
import { workerCount } from './fleet/config.ts'
import { ReloadRefusedError } from './fleet/errors.ts'
import { startFleet } from './fleet/fleet.ts'
import { startLocalWorker } from './fleet/local-worker.ts'
import { planReload } from './fleet/reload-plan.ts'
import { TicketKeyRotation } from './fleet/ticket-key-rotation.ts'
import type { TicketKeySource } from './ports.ts'
import type { WorkerPorts } from './worker.ts'

/** What the gateway needs from outside. */
export interface GatewayPorts extends Omit<WorkerPorts, 'ticketKeys'> {
  /** Keys for TLS session tickets that other instances know too. Absent: the gateway makes its own. */
  ticketKeys?: TicketKeySource
}

/** A running gateway and the ports it listens on. Disposing drains for up to `timeouts.drainMs`. */
export interface RunningGateway extends AsyncDisposable {
  readonly httpPort: number
  readonly httpsPort: number
  readonly adminPort: number
  /**
   * Serves by another configuration from now on. Resolves when every worker does; no connection is touched. Sizes of caches need new
   * processes: workers are then replaced behind, as by `recycle`.
   * @throws ReloadRefusedError that names the keys which cannot change; then nothing has changed
   */
  reload(config: GatewayConfig): Promise<void>
  /**
   * Replaces every worker process by a new one, each new one listening before the old one stops. Resolves when the last old one has ended.
   * @throws NoWorkersError when this gateway serves in its own process
   */
  recycle(): Promise<void>
}

/**
 * Starts the edge: plain HTTP and HTTPS, served by `workers` processes or by this one, and the admin listener of this process.
 * Resolves when all accept connections.
 * @throws Error with code EADDRINUSE or EACCES when a port cannot be bound; WorkerStartError
 */
export async function startGateway(config: GatewayConfig, ports: GatewayPorts): Promise<RunningGateway> {
  let current = own(config)
  await using stack = new AsyncDisposableStack()
  const { metrics, certificates, clock } = ports
  const count = workerCount(current.workers)
  const ticketKeys = ports.ticketKeys ?? stack.use(new TicketKeyRotation(clock, ports.random))
  const workerPorts = { ...ports, ticketKeys }
  const workers = stack.use(
    await (count === 0 ? startLocalWorker(current, workerPorts) : startFleet(current, count, workerPorts)),
  )
  const admin = await startAdminServer(current.admin, { metrics, workers, certificates, clock })
  const { httpPort, httpsPort } = workers
  ports.log.info('gateway serves', {
    http: httpPort,
    https: httpsPort,
    admin: admin.port,
    workers: count,
    zone: current.zone,
  })
  const running = stack.move()
  return {
    httpPort,
    httpsPort,
    adminPort: admin.port,
    async reload(next) {
      const wanted = own(next)
      const { refused, recycle } = planReload(current, wanted, count > 0)
      if (refused.length > 0) throw new ReloadRefusedError(refused)
      await workers.reconfigure(wanted)
      current = wanted
      ports.log.info('configuration reloaded', { recycle })
      if (recycle) workers.recycle().catch((error) => ports.log.error(`workers not replaced: ${describeError(error)}`))
    },
    recycle: () => workers.recycle(),
    // The admin server goes last: while requests drain it tells so.
    async [Symbol.asyncDispose]() {
      await using _last = admin
      await running.disposeAsync()
    },
  }
}

/** The gateway's own keys: what else a configuration holds (secrets of other parts, say) is no business of the workers. */
function own(config: GatewayConfig): GatewayConfig {
  return parseShape(gatewayConfigSchema, config, 'gateway configuration')
}
