import { startAdminServer } from './admin/admin-server.ts'
import type { GatewayConfig } from './config.ts'
import { startWorker, type WorkerPorts } from './worker.ts'

/** What the gateway needs from outside. */
export interface GatewayPorts extends WorkerPorts {}

/** A running gateway and the ports it listens on. Disposing drains for up to `timeouts.drainMs`. */
export interface RunningGateway extends AsyncDisposable {
  readonly httpPort: number
  readonly httpsPort: number
  readonly adminPort: number
}

/**
 * Starts the edge: plain HTTP, HTTPS and admin listeners. Resolves when all three accept connections.
 * @throws Error with code EADDRINUSE or EACCES when a port cannot be bound
 */
export async function startGateway(config: GatewayConfig, ports: GatewayPorts): Promise<RunningGateway> {
  await using stack = new AsyncDisposableStack()
  const worker = await startWorker(config, ports)
  stack.defer(() => worker[Symbol.asyncDispose]())
  const { routes, health, drain, httpPort, httpsPort } = worker
  const { metrics, certificates, clock } = ports
  const admin = await startAdminServer(config.admin, { metrics, routes, health, drain, certificates, clock })
  stack.move()
  ports.log.info('gateway serves', { http: httpPort, https: httpsPort, admin: admin.port, zone: config.zone })
  // The admin server goes last: while requests drain it tells so.
  const stop = async (): Promise<void> => {
    await worker[Symbol.asyncDispose]()
    await admin[Symbol.asyncDispose]()
  }
  return { httpPort, httpsPort, adminPort: admin.port, [Symbol.asyncDispose]: stop }
}
