import type { Clock } from '../../core/clock.ts'
import type { Random } from '../../core/random.ts'
import type { GatewayMetrics } from '../metrics.ts'
import type { HostCandidate } from '../ports.ts'
import { createCache } from '../recent-cache.ts'
import { ActiveChecks, type HostCheck, hostProbe } from './active-checks.ts'
import type { BalanceConfig } from './config.ts'
import { averageWith } from './latency.ts'
import type { HostLoad } from './pick-host.ts'
import { hashText } from './rendezvous.ts'

/** How one attempt at a host went, as far as the host is concerned. A program's own 5xx is an answer. */
export type Verdict = 'answered' | 'failed' | 'refused' | 'unknown'

/** What this gateway has seen of one compute host, whatever the program. */
export class HostState implements HostLoad {
  readonly id: string
  readonly origin: string
  readonly hash: number
  readonly check: HostCheck
  waiting = 0
  flowing = 0
  draining = false
  upSinceMs: number
  failuresInRow = 0
  #averageMs = -1
  #measuredAtMs = 0

  constructor(candidate: HostCandidate, check: HostCheck, nowMs: number) {
    this.id = candidate.id
    this.origin = candidate.origin
    this.hash = hashText(candidate.id)
    this.check = check
    this.upSinceMs = nowMs
  }

  get inFlight(): number {
    return this.waiting + this.flowing
  }

  /** Moving average of the time to the first byte over all programs, milliseconds; undefined before the first answer. */
  get latencyMs(): number | undefined {
    return this.#averageMs < 0 ? undefined : this.#averageMs
  }

  /** A probe found it down. */
  get ejected(): boolean {
    return this.check.down
  }

  measure(firstByteMs: number, nowMs: number): void {
    this.#averageMs = averageWith(this.#averageMs, firstByteMs, nowMs - this.#measuredAtMs)
    this.#measuredAtMs = nowMs
  }
}

export interface HostHealthPorts {
  clock: Clock
  metrics: GatewayMetrics
  random: Random
  /** Asks a host by a path (`hostProbe`: whether it is up at all); never throws. */
  probe(origin: string, path: string): Promise<boolean>
}

const hostsMax = 10_000

/** The compute hosts that this gateway knows, with their checks. */
export class HostHealth implements Disposable {
  readonly checks: ActiveChecks
  /** Grows when a check turns, so that programs look at their hosts again. */
  turns = 0
  readonly #clock: Clock
  readonly #hosts = createCache<string, HostState>(hostsMax)
  readonly #draining = createCache<string, true>(hostsMax)

  constructor(config: BalanceConfig, ports: HostHealthPorts) {
    const { clock, random, metrics } = ports
    this.#clock = clock
    const onTurn = (check: HostCheck, known: boolean): void => {
      this.turns++
      if (!check.down) metrics.recoveries.add()
      // The complaint was counted when it was made.
      else if (!known) metrics.ejections.add()
    }
    this.checks = new ActiveChecks(config, {
      clock,
      random,
      probe: (origin, path) => ports.probe(origin, path),
      onTurn,
    })
  }

  of(candidate: HostCandidate): HostState {
    const known = this.#hosts.get(candidate.id)
    // A host that moved is a new host: what was seen at the old address says nothing.
    if (known && known.origin === candidate.origin) return known
    const check = this.checks.of(candidate.origin, hostProbe)
    const state = new HostState(candidate, check, this.#clock.monotonicMs())
    state.draining = this.#draining.peek(candidate.id) === true
    this.#hosts.set(candidate.id, state)
    return state
  }

  all(): readonly HostState[] {
    return [...this.#hosts.values()]
  }

  /** The host gets no new requests; those in flight finish. Remembered for a host that is not known yet. */
  drain(id: string): void {
    this.#draining.set(id, true)
    const state = this.#hosts.peek(id)
    if (state) state.draining = true
  }

  undrain(id: string): void {
    this.#draining.delete(id)
    const state = this.#hosts.peek(id)
    if (!state?.draining) return
    state.draining = false
    state.upSinceMs = this.#clock.monotonicMs()
  }

  [Symbol.dispose](): void {
    this.checks[Symbol.dispose]()
  }
}
