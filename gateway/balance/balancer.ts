import type { Clock } from '../../core/clock.ts'
import { AppError } from '../../core/errors.ts'
import type { Random } from '../../core/random.ts'
import { SingleFlight } from '../../core/single-flight.ts'
import type { GatewayConfig } from '../config.ts'
import type { HostCandidate, HostSource } from '../ports.ts'
import { createCache } from '../recent-cache.ts'
import type { HostHealth, HostState, Verdict } from './host-health.ts'
import { type HostView, pickHost } from './pick-host.ts'
import { RetryBudget } from './retry-budget.ts'

export interface BalancerPorts {
  hosts: HostSource
  health: HostHealth
  clock: Clock
  random: Random
}

/** A host taken for one attempt. `end` must be called exactly once. */
export interface Lease {
  id: string
  origin: string
  end(verdict: Verdict, firstByteMs?: number): void
  /** The host has no room for this program; it is left alone for `retryAfterMs`. */
  endFull(retryAfterMs: number): void
}

interface Listed {
  hosts: readonly HostCandidate[]
  atMs: number
}

const programsMax = 100_000
/** A list that cannot be renewed is used this long: hosts rarely move, and a wrong one is found out by the attempt. */
const listStaleMs = 600_000
const fullMaxMs = 60_000
/** The list of hosts should come from memory; a source that hangs must not hold requests. */
const listTimeoutMs = 10_000

/** Knows which hosts may run which program, and which of them to take now. */
export class Balancer {
  readonly budget: RetryBudget
  readonly #config: GatewayConfig['balance']
  readonly #ports: BalancerPorts
  readonly #lists = createCache<string, Listed>(programsMax)
  readonly #flights = new SingleFlight<string, Listed>()
  /** `hash id` -> until when the host counts as running the program, or as full for it. */
  readonly #warmUntilMs = createCache<string, number>(programsMax)
  readonly #fullUntilMs = createCache<string, number>(programsMax)

  constructor(config: GatewayConfig['balance'], ports: BalancerPorts) {
    this.#config = config
    this.#ports = ports
    this.budget = new RetryBudget({ clock: ports.clock, share: config.retryShare, floor: config.retryFloor })
  }

  /** Hosts that may run the program. @throws AppError of the host source when nothing usable is remembered */
  async hosts(itemHash: string): Promise<readonly HostCandidate[]> {
    const listed = this.#lists.get(itemHash)
    const nowMs = this.#ports.clock.nowMs()
    if (listed && nowMs - listed.atMs < this.#config.hostsMs) return listed.hosts
    try {
      return (await this.#flights.run(itemHash, () => this.#list(itemHash))).hosts
    } catch (error) {
      const definite = error instanceof AppError && error.status < 500
      if (!definite && listed && nowMs - listed.atMs < listStaleMs) return listed.hosts
      if (definite) this.#lists.delete(itemHash)
      throw error
    }
  }

  /** Takes the best host that is not in `tried`, or undefined when there is none left. */
  take(itemHash: string, candidates: readonly HostCandidate[], tried: ReadonlySet<string>): Lease | undefined {
    const views = candidates.filter(({ id }) => !tried.has(id)).map((candidate) => this.#view(itemHash, candidate))
    const { uptimeMargin } = this.#config
    const host = pickHost(views, { key: itemHash, uptimeMargin, float: this.#ports.random.float })
    return host && this.#lease(itemHash, host.state)
  }

  async #list(itemHash: string): Promise<Listed> {
    const abort = new AbortController()
    using _timer = this.#ports.clock.schedule(listTimeoutMs, () => abort.abort())
    const listed = { hosts: await this.#ports.hosts.hosts(itemHash, abort.signal), atMs: this.#ports.clock.nowMs() }
    this.#lists.set(itemHash, listed)
    return listed
  }

  #view(itemHash: string, candidate: HostCandidate): HostView & { state: HostState } {
    const state = this.#ports.health.of(candidate)
    const nowMs = this.#ports.clock.nowMs()
    const key = `${itemHash} ${candidate.id}`
    const running = candidate.running || (this.#warmUntilMs.get(key) ?? 0) > nowMs
    const full = (this.#fullUntilMs.get(key) ?? 0) > nowMs
    const { id, inFlight, ejected } = state
    const latencyMs = this.#ports.health.latencyMs(state)
    return { id, uptime: candidate.uptime, running, inFlight, latencyMs, ejected, full, state }
  }

  #lease(itemHash: string, state: HostState): Lease {
    const { health, clock } = this.#ports
    const key = `${itemHash} ${state.id}`
    health.begin(state)
    return {
      id: state.id,
      origin: state.origin,
      end: (verdict, firstByteMs) => {
        if (verdict === 'answered') this.#warmUntilMs.set(key, clock.nowMs() + this.#config.warmMs)
        health.end(state, verdict, firstByteMs)
      },
      endFull: (retryAfterMs) => {
        this.#warmUntilMs.delete(key)
        this.#fullUntilMs.set(key, clock.nowMs() + Math.min(fullMaxMs, retryAfterMs))
        health.end(state, 'unknown')
      },
    }
  }
}
