import type { Clock } from '../../core/clock.ts'
import { z } from '../../core/schema.ts'
import { SingleFlight } from '../../core/single-flight.ts'
import { type HostLookup, vetOrigin } from './address-policy.ts'
import { ExecutionsPoller } from './executions.ts'
import { untilAborted } from './until-aborted.ts'

/** A compute host that may run a program. */
export interface HostCandidate {
  /** The node hash on the network. */
  id: string
  origin: string
  /** 0 to 1: its score on the network times how often it answered us lately. */
  uptime: number
  running: boolean
}

/** A compute host as the network lists it, its address vetted. */
interface ListedHost {
  id: string
  origin: string
  score: number
}

const nodeSchema = z.looseObject({
  hash: z.string().max(128),
  status: z.string(),
  address: z.string().max(1_024),
  score: z.number().catch(0),
})
const hostsMax = 10_000
// How long a first request may wait to learn which host is warm. Longer would cost more than a wrong choice.
const firstRoundMs = 300

export interface HostListOptions {
  clock: Clock
  allowPrivateHosts: boolean
  keepMs: number
  pollMs: number
  idleMs: number
  timeoutMs: number
  /** Ends a reading of the list that takes too long. */
  readSignal(): AbortSignal
  lookup?: HostLookup | undefined
  /** `resource_nodes` of the corechannel aggregate, verified; hostile in shape. */
  readNodes(signal: AbortSignal): Promise<unknown>
}

/** Knows the compute hosts of the network and what each runs. */
export class HostList implements AsyncDisposable {
  readonly #options: HostListOptions
  readonly #poller: ExecutionsPoller
  readonly #flights = new SingleFlight<'hosts', readonly ListedHost[]>()
  #listed: { hosts: readonly ListedHost[]; untilMs: number } | undefined

  constructor(options: HostListOptions) {
    this.#options = options
    const { clock, pollMs, idleMs, timeoutMs } = options
    this.#poller = new ExecutionsPoller({ clock, pollMs, idleMs, timeoutMs })
  }

  /** Every linked host, and whether it runs this program now. From memory unless the list has never been read. */
  async candidates(itemHash: string, signal: AbortSignal): Promise<HostCandidate[]> {
    const hosts = await this.#hosts(signal)
    await this.#poller.want(
      hosts.map(({ origin }) => origin),
      firstRoundMs,
    )
    return hosts.map(({ id, origin, score }) => {
      const { running, availability } = this.#poller.observe(origin)
      return { id, origin, uptime: score * availability, running: running.has(itemHash) }
    })
  }

  /** Reads the list anew at the next question. */
  forget(): void {
    if (this.#listed) this.#listed.untilMs = Number.NEGATIVE_INFINITY
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#poller[Symbol.asyncDispose]()
  }

  async #hosts(signal: AbortSignal): Promise<readonly ListedHost[]> {
    const listed = this.#listed
    if (listed && listed.untilMs > this.#options.clock.monotonicMs()) return listed.hosts
    const fresh = this.#flights.run('hosts', () => this.#read(this.#options.readSignal()))
    if (!listed) return await untilAborted(fresh, signal)
    // A list that ended a moment ago serves while the new one is read; an older one only when that cannot be read.
    const recent = this.#options.clock.monotonicMs() < listed.untilMs + this.#options.keepMs
    if (!recent) return untilAborted(fresh, signal).catch(() => listed.hosts)
    fresh.catch(() => {})
    return listed.hosts
  }

  async #read(signal: AbortSignal): Promise<readonly ListedHost[]> {
    const nodes = z
      .array(z.unknown())
      .catch([])
      .parse(await this.#options.readNodes(signal))
    const hosts = await Promise.all(nodes.slice(0, hostsMax).map((node) => this.#vet(node)))
    const known = hosts.filter((host) => host !== undefined)
    this.#listed = { hosts: known, untilMs: this.#options.clock.monotonicMs() + this.#options.keepMs }
    return known
  }

  async #vet(json: unknown): Promise<ListedHost | undefined> {
    const node = nodeSchema.safeParse(json)
    if (!node.success || node.data.status !== 'linked') return undefined
    const origin = await vetOrigin(node.data.address, this.#options.allowPrivateHosts, this.#options.lookup)
    if (origin === undefined) return undefined
    return { id: node.data.hash, origin, score: Math.min(1, Math.max(0, node.data.score)) }
  }
}
