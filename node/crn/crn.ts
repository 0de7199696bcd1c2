import { mkdir } from 'node:fs/promises'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Clock } from '../../core/clock.ts'
import { onDispose } from '../../core/lifecycle.ts'
import type { Log } from '../../core/log.ts'
import type { Metrics } from '../../core/metrics.ts'
import type { Random } from '../../core/random.ts'
import { parseShape } from '../../core/schema.ts'
import { CodeCache } from './code/code-cache.ts'
import { type CrnConfigInput, crnConfigSchema, stateFolders } from './config.ts'
import { NoHypervisorError } from './errors.ts'
import { Executions } from './executions.ts'
import { removeStaleVms } from './hypervisor/vm-folder.ts'
import { createCrnMetrics } from './metrics.ts'
import { GuestPool } from './pool.ts'
import type { Hypervisor, NetworkSource } from './ports.ts'
import { createApi } from './serve/api.ts'
import { type ForwardPorts, forwardRequest, forwardUpgrade } from './serve/forward.ts'
import { sendProblem, sendProblemRaw } from './serve/problem.ts'
import { findTarget } from './serve/target.ts'

export interface CrnPorts {
  hypervisor: Hypervisor
  network: NetworkSource
  clock: Clock
  random: Random
  log: Log
  metrics: Metrics
}

/** A compute host that serves. */
export interface Crn extends AsyncDisposable {
  readonly url: string
  readonly port: number
  /** Settles once the guests booted ahead wait for code; requests are served before, but start slower. */
  readonly poolFull: Promise<void>
  /** What the program printed last; undefined for one that never ran here. */
  logs(itemHash: string): string | undefined
}

/** A large upload over a slow line must not be cut; the gateway guards against slow clients. */
const requestTimeoutMs = 3_600_000

/**
 * Starts a compute host: it runs a program on its first request, streams requests in, and stops what is idle.
 * Microvms that a killed host left behind died with it; their folders are removed here.
 * @throws NoHypervisorError when the hypervisor's trial guest does not boot
 */
export async function startCrn(input: CrnConfigInput, ports: CrnPorts): Promise<Crn> {
  const config = parseShape(crnConfigSchema, input, 'configuration of the compute host')
  const log = ports.log.child({ part: 'crn' })
  const metrics = createCrnMetrics(ports.metrics)
  const folders = stateFolders(config)
  await using stack = new AsyncDisposableStack()
  await mkdir(folders.vms, { recursive: true })
  const stale = await removeStaleVms(folders.vms)
  if (stale > 0) log.info('removed folders of microVMs that a killed host left', { count: stale })
  const probed = await ports.hypervisor.probe()
  if (!probed.works)
    throw new NoHypervisorError(`The hypervisor "${ports.hypervisor.name}" does not work: ${probed.reason}`, {
      hint: probed.advice,
    })
  const cache = new CodeCache({ ...config, dir: folders.code, network: ports.network })
  await cache.open()
  const pool = stack.use(new GuestPool(config, { ...ports, log, metrics }))
  const executions = stack.use(new Executions(config, { ...ports, pool, cache, log, metrics }))
  const forward: ForwardPorts = { executions, clock: ports.clock, metrics }
  const api = createApi({
    config,
    executions,
    pool,
    metrics: ports.metrics,
    hypervisor: { name: ports.hypervisor.name, detail: probed.detail },
    makeServer: (listener) => makeServer(listener, forward),
  })
  await api.listen({ host: config.listen.host, port: config.listen.port })
  stack.use(onDispose(() => api.close()))
  // Upgraded connections have left the server and would hold its stop; their guests end with the executions.
  const { port } = api.server.address() as AddressInfo
  log.info('compute host serves', { port, backend: ports.hypervisor.name, probe: probed.detail })
  const running = stack.move()
  return {
    url: `http://${config.listen.host}:${port}`,
    port,
    poolFull: pool.full,
    logs: (itemHash) => executions.logs(itemHash),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}

/** One server for programs and API. Programs do not pass through fastify: their bodies are streams and their paths their own. */
function makeServer(api: RequestListener, forward: ForwardPorts): Server {
  const server = createServer({ requestTimeout: requestTimeoutMs, keepAliveTimeout: 65_000 }, (request, response) => {
    try {
      const target = findTarget(request.headers.host, request.url ?? '/')
      if (target) void forwardRequest(request, response, target, forward)
      else api(request, response)
    } catch (error) {
      sendProblem(response, error)
    }
  })
  server.on('upgrade', (request, socket: Duplex, head: Buffer) => {
    try {
      const target = findTarget(request.headers.host, request.url ?? '/')
      if (target) void forwardUpgrade(request, socket, head, target, forward)
      else socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n')
    } catch (error) {
      sendProblemRaw(socket, error)
    }
  })
  return server
}
