import type { Clock } from '../../core/clock.ts'
import type { GatewayConfig } from '../config.ts'
import type { GatewayMetrics } from '../metrics.ts'
import type { HostCandidate } from '../ports.ts'
import { createCache } from '../recent-cache.ts'

/** How one attempt at a host went, as far as its health is concerned. */
export type Verdict = 'answered' | 'failed' | 'refused' | 'unknown'

export interface HostState {
  id: string
  origin: string
  inFlight: number
  /** Moving average of the time to the first byte, milliseconds. */
  latencyMs: number | undefined
  /** When that was measured last. */
  measuredAtMs: number
  failuresInRow: number
  ejected: boolean
  /** Ejections without a good spell between: doubles the pause. */
  ejections: number
}

export interface HostHealthPorts {
  clock: Clock
  metrics: GatewayMetrics
  /** Asks a host whether it serves; never throws. */
  probe(origin: string): Promise<boolean>
}

const hostsMax = 10_000
const latencyWeight = 0.2

/**
 * What this gateway has seen of each compute host. A host that fails is taken out of use and probed after a pause that doubles;
 * the first good probe brings it back. Failures of a program (its own 5xx) are not failures of the host.
 */
export class HostHealth implements Disposable {
  readonly #config: GatewayConfig['balance']
  readonly #ports: HostHealthPorts
  readonly #hosts = createCache<string, HostState>(hostsMax)
  readonly #timers = new Set<Disposable>()
  #stopped = false

  constructor(config: GatewayConfig['balance'], ports: HostHealthPorts) {
    this.#config = config
    this.#ports = ports
  }

  of(candidate: HostCandidate): HostState {
    const known = this.#hosts.get(candidate.id)
    // A host that moved is a new host: what was seen at the old address says nothing.
    if (known && known.origin === candidate.origin) return known
    const { id, origin } = candidate
    const state: HostState = {
      id,
      origin,
      inFlight: 0,
      latencyMs: undefined,
      measuredAtMs: 0,
      failuresInRow: 0,
      ejected: false,
      ejections: 0,
    }
    this.#hosts.set(id, state)
    return state
  }

  all(): readonly HostState[] {
    return [...this.#hosts.values()]
  }

  /**
   * What the last measurements still say now: it fades while nobody measures. Otherwise one slow answer (a cold start, say) would keep
   * all traffic away from a host for good, since only traffic measures.
   */
  latencyMs(state: HostState): number | undefined {
    if (state.latencyMs === undefined) return undefined
    const idleMs = this.#ports.clock.monotonicMs() - state.measuredAtMs
    return state.latencyMs * 2 ** (-idleMs / this.#config.latencyHalfLifeMs)
  }

  begin(state: HostState): void {
    state.inFlight++
  }

  /** The attempt is over. `firstByteMs` is the time until the answer began, where it did. */
  end(state: HostState, verdict: Verdict, firstByteMs?: number): void {
    state.inFlight--
    if (firstByteMs !== undefined) {
      state.latencyMs =
        state.latencyMs === undefined ? firstByteMs : state.latencyMs + latencyWeight * (firstByteMs - state.latencyMs)
      state.measuredAtMs = this.#ports.clock.monotonicMs()
    }
    if (verdict === 'answered') {
      state.failuresInRow = 0
      // Proven again by real traffic, so the next ejection starts with a short pause. An ejected host comes back by its probe alone:
      // an answer that was under way when it died proves nothing.
      if (!state.ejected) state.ejections = 0
    }
    if (verdict === 'failed') state.failuresInRow++
    const over = verdict === 'refused' || state.failuresInRow >= this.#config.ejectAfter
    if (over && !state.ejected) this.#eject(state)
  }

  [Symbol.dispose](): void {
    this.#stopped = true
    for (const timer of this.#timers) timer[Symbol.dispose]()
    this.#timers.clear()
  }

  #eject(state: HostState): void {
    state.ejected = true
    this.#ports.metrics.ejections.add()
    this.#scheduleProbe(state)
  }

  #scheduleProbe(state: HostState): void {
    if (this.#stopped) return
    const pauseMs = Math.min(this.#config.ejectMaxMs, this.#config.ejectMs * 2 ** Math.min(20, state.ejections))
    state.ejections++
    const timer = this.#ports.clock.schedule(pauseMs, () => {
      this.#timers.delete(timer)
      void this.#probe(state)
    })
    this.#timers.add(timer)
  }

  async #probe(state: HostState): Promise<void> {
    const serves = await this.#ports.probe(state.origin)
    if (this.#stopped || this.#hosts.peek(state.id) !== state) return
    if (!serves) return this.#scheduleProbe(state)
    state.ejected = false
    // It was measured before it failed; what comes back may be another process.
    state.latencyMs = undefined
    // One more failure is enough to take it out again until an answer has proven it.
    state.failuresInRow = this.#config.ejectAfter - 1
    this.#ports.metrics.recoveries.add()
  }
}
