import { silentLog } from '../../../core/log.ts'
import { createMetrics } from '../../../core/metrics.ts'
import { seededRandom } from '../../../core/random.ts'
import { Balancer, type Lease, type ProgramHosts } from '../../../gateway/balance/balancer.ts'
import { balanceConfigSchema } from '../../../gateway/balance/config.ts'
import { HostHealth } from '../../../gateway/balance/host-health.ts'
import { gatewayMetrics } from '../../../gateway/metrics.ts'
import type { HostEnd, SimulatedHost } from './host-model.ts'
import type { VirtualClock } from './virtual-clock.ts'

/** A host taken for one attempt. */
export interface Attempt {
  host: number
  end(verdict: HostEnd | 'unknown', firstByteMs?: number): void
}

/** A way to choose hosts, for one run. */
export interface Policy {
  /** Called for each request before its first attempt. */
  ready(): Promise<void> | undefined
  take(tried: readonly number[]): Attempt | undefined
  mayRetry(): boolean
  /** When a second request is to be sent; undefined for never. */
  hedgeAfterMs(): number | undefined
  takeHedge(): boolean
  stop(): void
}

export interface PolicyContext {
  hosts: readonly SimulatedHost[]
  clock: VirtualClock
  seed: number
}

export const policies: Record<string, (context: PolicyContext) => Policy> = {
  lastmile: (context) => new Ours(context, false),
  'lastmile, hedging': (context) => new Ours(context, true),
  'round robin': (context) => new Plain(context, roundRobin(), false),
  'round robin, removal': (context) => new Plain(context, roundRobin(), true),
  'least connections': (context) => new Plain(context, leastConnections, false),
  'least connections, removal': (context) => new Plain(context, leastConnections, true),
}

/** The balancer of the gateway as it is, with its default configuration. */
class Ours implements Policy {
  readonly #balancer: Balancer
  readonly #health: HostHealth
  readonly #clock: VirtualClock
  readonly #hedging: boolean
  #program: ProgramHosts | undefined

  constructor({ hosts, clock, seed }: PolicyContext, hedging: boolean) {
    const config = balanceConfigSchema.parse({})
    const random = seededRandom(seed)
    const metrics = gatewayMetrics(createMetrics())
    const probe = (origin: string): Promise<boolean> =>
      (hosts[Number(origin)] as SimulatedHost).probe(config.probeMs).finally(() => clock.touch())
    const list = async () =>
      hosts.map(({ running }, index) => ({ id: `host ${index}`, origin: `${index}`, uptime: 1, running }))
    this.#clock = clock
    this.#hedging = hedging
    this.#health = new HostHealth(config, { clock, metrics, random, probe })
    const ports = { hosts: { hosts: list }, health: this.#health, clock, random, metrics, log: silentLog }
    this.#balancer = new Balancer(config, ports)
  }

  ready(): Promise<void> | undefined {
    this.#balancer.budget.countRequest()
    const found = this.#balancer.find('program')
    if (!(found instanceof Promise)) {
      this.#program = found
      return undefined
    }
    this.#clock.touch()
    return found.then((program) => {
      this.#program = program
    })
  }

  take(tried: readonly number[]): Attempt | undefined {
    const ids = tried.map((host) => `host ${host}`)
    const lease: Lease | undefined = this.#balancer.take(this.#program as ProgramHosts, { tried: ids })
    return lease && { host: Number(lease.origin), end: (verdict, firstByteMs) => lease.end(verdict, firstByteMs) }
  }

  mayRetry(): boolean {
    return this.#balancer.budget.takeRetry()
  }

  hedgeAfterMs(): number | undefined {
    return this.#hedging ? this.#balancer.hedgeAfterMs(this.#program as ProgramHosts) : undefined
  }

  takeHedge(): boolean {
    return this.#balancer.budget.takeHedge()
  }

  stop(): void {
    this.#health[Symbol.dispose]()
  }
}

interface PlainHost {
  index: number
  inFlight: number
  failuresInRow: number
  outUntilMs: number
}

type Choice = (hosts: readonly PlainHost[], float: () => number) => PlainHost | undefined

const failuresMax = 3
const outMs = 10_000

/**
 * What nginx and HAProxy do with their usual settings: a choice that knows no latency. With `removal` three failures in a row take a host
 * out for ten seconds, after which one request tries it, and requests that failed go to other hosts without a budget. Without, each
 * request has one attempt.
 */
class Plain implements Policy {
  readonly #hosts: PlainHost[]
  readonly #clock: VirtualClock
  readonly #choose: Choice
  readonly #removal: boolean
  readonly #float: () => number

  constructor({ hosts, clock, seed }: PolicyContext, choose: Choice, removal: boolean) {
    this.#hosts = hosts.map((_, index) => ({ index, inFlight: 0, failuresInRow: 0, outUntilMs: 0 }))
    this.#clock = clock
    this.#choose = choose
    this.#removal = removal
    this.#float = seededRandom(seed).float
  }

  ready(): undefined {
    return undefined
  }

  take(tried: readonly number[]): Attempt | undefined {
    const nowMs = this.#clock.monotonicMs()
    const left = this.#hosts.filter(({ index }) => !tried.includes(index))
    const healthy = left.filter(({ outUntilMs }) => outUntilMs <= nowMs)
    const host = this.#choose(healthy.length > 0 ? healthy : left, this.#float)
    if (!host) return undefined
    host.inFlight++
    // The request that tries a host after its time out; the others wait for what becomes of it.
    if (host.failuresInRow >= failuresMax) host.outUntilMs = nowMs + outMs
    return { host: host.index, end: (verdict) => this.#ended(host, verdict) }
  }

  mayRetry(): boolean {
    return this.#removal
  }

  hedgeAfterMs(): undefined {
    return undefined
  }

  takeHedge(): boolean {
    return false
  }

  stop(): void {}

  #ended(host: PlainHost, verdict: HostEnd | 'unknown'): void {
    host.inFlight--
    if (!this.#removal || verdict === 'unknown') return
    host.failuresInRow = verdict === 'answered' ? 0 : host.failuresInRow + 1
    if (verdict === 'answered') host.outUntilMs = 0
    else if (host.failuresInRow >= failuresMax) host.outUntilMs = this.#clock.monotonicMs() + outMs
  }
}

function roundRobin(): Choice {
  let last = -1
  return (hosts) => {
    const next = hosts.find(({ index }) => index > last) ?? hosts[0]
    if (next) last = next.index
    return next
  }
}

/** Among equals one at random: always the first would be worse than it need be. */
const leastConnections: Choice = (hosts, float) => {
  const least = Math.min(...hosts.map(({ inFlight }) => inFlight))
  const equals = hosts.filter(({ inFlight }) => inFlight === least)
  return equals[Math.floor(float() * equals.length)]
}
