import type { AddressInfo, Server } from 'node:net'
import { totalmem } from 'node:os'
import type { Clock } from '../core/clock.ts'
import { type AppError, describeError } from '../core/errors.ts'
import { onDispose } from '../core/lifecycle.ts'
import type { Log } from '../core/log.ts'
import type { Metrics } from '../core/metrics.ts'
import { momentClock } from '../core/moment.ts'
import type { Random } from '../core/random.ts'
import { TimingWheel } from '../core/timing-wheel.ts'
import { hostProbe } from './balance/active-checks.ts'
import { Balancer } from './balance/balancer.ts'
import { HostHealth } from './balance/host-health.ts'
import { Compressors } from './compress/compressors.ts'
import type { GatewayConfig } from './config.ts'
import { errorPage } from './error-page.ts'
import { closeWhenTaken } from './fleet/close-when-taken.ts'
import { workerCount } from './fleet/config.ts'
import type { Exchange } from './forward/exchange.ts'
import { Admission } from './guard/admission.ts'
import { ClientLimits } from './guard/client-limits.ts'
import { MemoryBudget, planMemory } from './guard/memory-budget.ts'
import { SiteRates } from './guard/site-rates.ts'
import { clientCas } from './listen/client-cas.ts'
import { Connections } from './listen/connections.ts'
import { Door } from './listen/door.ts'
import { createHttp2Context } from './listen/http2/ports.ts'
import { type ListenContext, type Settings, settingsOf } from './listen/listen-context.ts'
import { createPlainListener } from './listen/plain-listener.ts'
import { canReadInto } from './listen/read-into.ts'
import { serveSecure } from './listen/serve-secure.ts'
import { createTlsListener } from './listen/tls/tls-listener.ts'
import { overwriteConfig } from './live-config.ts'
import { type GatewayMetrics, gatewayMetrics } from './metrics.ts'
import { ZonePages } from './pages/zone-pages.ts'
import type {
  BlockSource,
  CertificateSource,
  DomainReporter,
  HostSource,
  NameSource,
  TicketKeySource,
} from './ports.ts'
import { Routes } from './route/routes.ts'
import { Answerer } from './serve/answer-exchanges.ts'
import { RequestLines } from './serve/request-lines.ts'
import { VerifiedBlocks } from './static/verified-blocks.ts'
import { HostPools } from './upstream/host-pools.ts'
import { probeHost } from './upstream/probe-host.ts'

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
  /** Keys for TLS session tickets, the same in all processes. */
  ticketKeys: TicketKeySource
  /** Authorities for the certificates of compute hosts, PEM, in place of those that Node knows. For tests; not passed on to other processes. */
  hostAuthorities?: string
}

/** One process of the data plane, serving. Disposing drains for up to `timeouts.drainMs`. */
export interface RunningWorker extends AsyncDisposable {
  readonly httpPort: number
  readonly httpsPort: number
  readonly routes: Routes
  readonly health: HostHealth
  readonly drain: Connections
  /** Serves by another configuration from now on; what is under way goes on. Listeners and zone stay as they are. */
  reconfigure(config: GatewayConfig): void
}

/** Paths that tell whether a host serves: ours, then the one every compute host of the network has. */
const probePaths = [hostProbe, '/about/usage/system']

/**
 * Starts the data plane of one process: both listeners, routes, balance, hosts. Resolves when both accept connections.
 * @throws Error with code EADDRINUSE or EACCES when a port cannot be bound
 */
export async function startWorker(config: GatewayConfig, ports: WorkerPorts): Promise<RunningWorker> {
  await using stack = new AsyncDisposableStack()
  const { random, log, certificates, ticketKeys } = ports
  const clock = momentClock(ports.clock)
  const settings: Settings = settingsOf(config)
  // For parts that keep a group of the configuration: written over at a reload.
  const live = structuredClone(config)
  const metrics = gatewayMetrics(ports.metrics)
  const wheel = stack.use(new TimingWheel(clock))
  const failed = (error: unknown): void =>
    log.error(`a connection to a compute host failed unexpectedly: ${describeError(error)}`)
  const pools = stack.use(new HostPools(settings, wheel, { ca: ports.hostAuthorities, failed }))
  const probe = async (origin: string, asked: string): Promise<boolean> => {
    for (const path of asked === hostProbe ? probePaths : [asked])
      if (await probeHost(pools, clock, { origin, path, timeoutMs: settings.config.balance.probeMs })) return true
    return false
  }
  const health = stack.use(new HostHealth(live.balance, { clock, random, metrics, probe }))
  const balancer = new Balancer(live.balance, { hosts: ports.hosts, health, clock, random, log, metrics })
  for (const id of config.balance.drainedHosts) balancer.drainHost(id)
  const routes = new Routes(live, { names: ports.names, clock, metrics })
  const blocks = new VerifiedBlocks(live.static, { blocks: ports.blocks, clock, metrics })
  const pages = new ZonePages(live, { clock, domainReport: ports.domainReport })
  const connections = new Connections(clock, metrics.inFlight)
  const clients = new ClientLimits(config.clients)
  const rates = new SiteRates(config.routes.sitesMax)
  const memory = stack.use(
    new MemoryBudget(planMemory(config.memory, machineMemory(config)), {
      clock,
      residentBytes: () => process.memoryUsage.rss(),
      onChange: (pressure) => {
        if (pressure !== 'none') connections.closeIdle(idleClosedMax)
      },
    }),
  )
  if (!(await canReadInto()))
    log.warn('this Node gives accepted sockets no buffer of ours: requests cost somewhat more memory and time')
  const door = new Door({ settings, wheel, clock, clients, memory, metrics })
  const admission = new Admission({ settings, clients, rates, memory, metrics, clock })
  const compressors = new Compressors(live.compression)
  const lines = new RequestLines(config.zone, random)
  const fail = (exchange: Exchange, error: unknown): void => answerer.fail(exchange, error)
  const answerer = new Answerer({
    settings,
    certificates,
    routes,
    blocks,
    pages,
    program: { settings, balancer, pools, lines, compressors, metrics, clock, fail },
    admission,
    clock,
    log,
    publicHttpsPort: () => settings.config.publicHttpsPort || httpsPort,
  })
  const shared = { settings, clock, wheel, connections, ...countedBy(metrics, clock) }
  const plain: ListenContext = { ...shared, handle: (exchange) => answerer.plain(exchange) }
  const secure: ListenContext = { ...shared, handle: (exchange) => answerer.secure(exchange) }
  const http2Ports = {
    wheel,
    clock,
    connections,
    owner: shared.owner,
    handle: secure.handle,
    refuse: fail,
    failed: (error: unknown) => log.error(`an HTTP/2 connection failed unexpectedly: ${describeError(error)}`),
  }
  const http2Of = ({ http2, limits, timeouts }: GatewayConfig) =>
    createHttp2Context(http2, limits, timeouts, http2Ports)
  let http2 = http2Of(config)
  const checkName = async (name: string): Promise<void> => {
    if (name !== config.zone) await routes.match(name)
  }
  const tls = stack.use(
    await createTlsListener(
      settings,
      {
        certificates,
        checkName,
        clock,
        metrics,
        wheel,
        random,
        log,
        ticketKeys,
        clientCaFor: clientCas(settings),
        connected: (raw) => door.enter(raw, (entered, _client, first) => tls.accept(entered, first)),
      },
      (socket, info) => serveSecure(socket, info, secure, http2),
    ),
  )
  const servers = [createPlainListener(door, plain), tls.server]
  stack.use(
    onDispose(async () => {
      const listening = servers.filter(({ listening }) => listening)
      if (config.listen.reusePort) await closeWhenTaken(listening)
      await connections.stop(listening, settings.config.timeouts.drainMs, tls)
    }),
  )
  const { host, reusePort } = config.listen
  const httpPort = await listen(servers[0] as Server, { host, port: config.listen.httpPort, reusePort })
  const httpsPort = await listen(tls.server, { host, port: config.listen.httpsPort, reusePort })
  const running = stack.move()
  const reconfigure = (next: GatewayConfig): void => {
    const before = settings.config.balance.drainedHosts
    Object.assign(settings, settingsOf(next))
    clients.configure(next.clients)
    drainHosts(balancer, before, next.balance.drainedHosts)
    rates.reset()
    // Connections that are open go on under the limits they began with.
    http2 = http2Of(next)
    memory.configure(planMemory(next.memory, machineMemory(next)))
    overwriteConfig(live, next)
    for (const server of servers) server.maxConnections = next.limits.connectionsMax
  }
  return {
    httpPort,
    httpsPort,
    routes,
    health,
    drain: connections,
    reconfigure,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}

/** Idle connections closed at once when memory becomes short. */
const idleClosedMax = 4_096

/** What of the machine's memory, or of its control group's, is there for how many workers. */
function machineMemory(config: GatewayConfig): { totalBytes: number; workers: number } {
  const constrained = process.constrainedMemory()
  const totalBytes = constrained > 0 && constrained < totalmem() ? constrained : totalmem()
  return { totalBytes, workers: Math.max(1, workerCount(config.workers)) }
}

/** Hosts that are listed now, and were not, get no new requests; those that were listed do again. */
function drainHosts(balancer: Balancer, before: readonly string[], now: readonly string[]): void {
  for (const id of before) if (!now.includes(id)) balancer.undrainHost(id)
  for (const id of now) balancer.drainHost(id)
}

/** Counts what ends: exchanges, and requests that could not be read. */
function countedBy(metrics: GatewayMetrics, clock: Clock): Pick<ListenContext, 'owner' | 'refuse'> {
  return {
    owner: {
      ended({ ending, status, fault, startedMs, head }) {
        // A WebSocket may end in any way; over HTTP/2 its status is 200.
        const cut = ending === 'cut' && status !== 101 && !(head.upgrade && status === 200)
        if (ending !== 'gone') metrics.requestCell(cut ? 0 : status, fault).add()
        metrics.requestSeconds.observe((clock.monotonicMs() - startedMs) / 1_000)
      },
    },
    refuse(error: AppError) {
      metrics.requestCell(error.status, error.fault).add()
      return errorPage(error, { accept: undefined })
    },
  }
}

/** Connections that the kernel keeps ready while the process is busy; it takes at most net.core.somaxconn of them. */
const backlog = 4_096

function listen(server: Server, where: { host: string; port: number; reusePort: boolean }): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ ...where, backlog }, () => {
      server.off('error', reject)
      resolve((server.address() as AddressInfo).port)
    })
  })
}
