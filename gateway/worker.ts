import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Clock } from '../core/clock.ts'
import { onDispose } from '../core/lifecycle.ts'
import type { Log } from '../core/log.ts'
import type { Metrics } from '../core/metrics.ts'
import type { Random } from '../core/random.ts'
import { Balancer } from './balance/balancer.ts'
import { HostHealth } from './balance/host-health.ts'
import type { GatewayConfig } from './config.ts'
import { nodeForwarder } from './forward/node-forwarder.ts'
import { Drain } from './listen/drain.ts'
import { createPlainServer, createTlsServer } from './listen/servers.ts'
import { gatewayMetrics } from './metrics.ts'
import { ZonePages } from './pages/zone-pages.ts'
import type { BlockSource, CertificateSource, DomainReporter, HostSource, NameSource } from './ports.ts'
import { Routes } from './route/routes.ts'
import { answerRequests } from './serve/answer-requests.ts'
import { VerifiedBlocks } from './static/verified-blocks.ts'

/** What a worker needs from outside. */
export interface WorkerPorts {
  names: NameSource
  certificates: CertificateSource
  hosts: HostSource
  blocks: BlockSource
  clock: Clock
  random: Random
  log: Log
  metrics: Metrics
  /** Fills `/.well-known/lastmile/domain/<host>` under the zone's bare name; without it that page is 404. */
  domainReport?: DomainReporter
}

/** One process of the data plane, serving. Disposing drains for up to `timeouts.drainMs`. */
export interface RunningWorker extends AsyncDisposable {
  readonly httpPort: number
  readonly httpsPort: number
  readonly routes: Routes
  readonly health: HostHealth
  readonly drain: Drain
}

/** Paths that tell whether a host serves: ours, then the one every compute host of the network has. */
const probePaths = ['/healthz', '/about/usage/system']

/**
 * Starts the data plane of one process: both listeners, routes, balance, hosts. Resolves when both accept connections.
 * @throws Error with code EADDRINUSE or EACCES when a port cannot be bound
 */
export async function startWorker(config: GatewayConfig, ports: WorkerPorts): Promise<RunningWorker> {
  await using stack = new AsyncDisposableStack()
  const { clock, random, log } = ports
  const metrics = gatewayMetrics(ports.metrics)
  const forwarder = stack.use(nodeForwarder(config, clock))
  const probe = async (origin: string): Promise<boolean> => {
    for (const path of probePaths) if (await forwarder.probe(origin, path, config.balance.probeMs)) return true
    return false
  }
  const health = stack.use(new HostHealth(config.balance, { clock, metrics, probe }))
  const balancer = new Balancer(config.balance, { hosts: ports.hosts, health, clock, random })
  const routes = new Routes(config, { names: ports.names, clock, metrics })
  const blocks = new VerifiedBlocks(config.static, { blocks: ports.blocks, clock, metrics })
  const pages = new ZonePages(config, { clock, domainReport: ports.domainReport })
  const drain = new Drain(clock)
  const checkName = async (name: string): Promise<void> => {
    if (name !== config.zone) await routes.match(name)
  }
  const publicHttpsPort = (): number => config.publicHttpsPort || httpsPort
  const shared = {
    config,
    certificates: ports.certificates,
    routes,
    balancer,
    forwarder,
    blocks,
    pages,
    drain,
    clock,
    log,
    metrics,
  }
  const { plain, secure } = answerRequests({ ...shared, publicHttpsPort })
  const tls = createTlsServer(config, secure, {
    certificates: ports.certificates,
    checkName,
    clock,
    log,
    random,
    metrics,
  })
  stack.use(tls.rotation)
  const servers = [createPlainServer(config, plain, metrics), tls.server]
  for (const server of servers) drain.watch(server)
  stack.use(
    onDispose(() =>
      drain.stop(
        servers.filter(({ listening }) => listening),
        config.timeouts.drainMs,
      ),
    ),
  )
  const { host } = config.listen
  const [httpPort, httpsPort] = [
    await listen(servers[0] as Server, host, config.listen.httpPort),
    await listen(tls.server, host, config.listen.httpsPort),
  ]
  const running = stack.move()
  return { httpPort, httpsPort, routes, health, drain, [Symbol.asyncDispose]: () => running.disposeAsync() }
}

function listen(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      resolve((server.address() as AddressInfo).port)
    })
  })
}
