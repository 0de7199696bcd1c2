import { seededRandom } from '../../../core/random.ts'
import { type HostEnd, SimulatedHost } from './host-model.ts'
import { type Attempt, type Policy, policies } from './policies.ts'
import type { Scenario } from './scenarios.ts'
import { VirtualClock } from './virtual-clock.ts'

/** What a policy made of a scenario. In the latencies a request that failed counts as the longest that one may wait: to a client it is no quicker. */
export interface Outcome {
  requests: number
  p50Ms: number
  p99Ms: number
  /** Share of requests without an answer. */
  errorRate: number
  /** Attempts beyond the first, as a share of requests. */
  retryShare: number
  /** Second requests sent because the first was late, as a share of requests. */
  hedgeShare: number
  /** Share of all attempts that went to the host in trouble; undefined when there is none. */
  badShare: number | undefined
  /** Times the program was started. */
  starts: number
}

export interface SimulateOptions {
  /** Virtual time during which requests arrive. */
  runMs: number
  seed: number
  /** Processes that share the arrivals and nothing else, as the workers of a gateway do. */
  workers: number
}

/** A request that has waited this long for its first byte has failed, and is not sent again: it may have had its effect. */
const firstByteMs = 5_000
const attemptsMax = 4

interface Tally {
  latencies: number[]
  requests: number
  errors: number
  retries: number
  hedges: number
}

/** Runs one policy through one scenario in virtual time. The same seed gives the same arrivals to every policy. */
export async function simulate(scenario: Scenario, policyName: string, options: SimulateOptions): Promise<Outcome> {
  const { runMs, seed, workers } = options
  const clock = new VirtualClock()
  const service = seededRandom(seed + 1)
  const hosts = scenario.hosts.map((model) => new SimulatedHost(model, clock, service.float))
  const startPolicy = policies[policyName] as (typeof policies)[string]
  const started = Array.from({ length: workers }, (_, index) => startPolicy({ hosts, clock, seed: seed + 2 + index }))
  const tally: Tally = { latencies: [], requests: 0, errors: 0, retries: 0, hedges: 0 }
  const arrivals = seededRandom(seed)
  const arrive = (): void => {
    const nowMs = clock.monotonicMs()
    if (nowMs >= runMs) return
    const policy = started[Math.floor(arrivals.float() * workers)] as Policy
    new SimulatedRequest(clock, hosts, policy, tally).begin()
    clock.at((-1_000 * Math.log(1 - arrivals.float())) / scenario.rateAt(nowMs / runMs), arrive)
  }
  clock.at(0, arrive)
  await clock.run(runMs + attemptsMax * firstByteMs)
  for (const policy of started) policy.stop()
  return outcomeOf(tally, hosts, scenario)
}

function outcomeOf(tally: Tally, hosts: readonly SimulatedHost[], { bad }: Scenario): Outcome {
  const { requests, errors, retries, hedges } = tally
  const sorted = Float64Array.from(tally.latencies).sort()
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0
  const attempts = hosts.reduce((sum, { received }) => sum + received, 0)
  return {
    requests,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    errorRate: errors / requests,
    retryShare: retries / requests,
    hedgeShare: hedges / requests,
    badShare: bad === undefined ? undefined : (hosts[bad] as SimulatedHost).received / attempts,
    starts: hosts.reduce((sum, { starts }) => sum + starts, 0),
  }
}

interface Flight {
  attempt: Attempt
  cancel: () => void
  over: boolean
}

/** One request from arrival to end. All are GET, so that each may be repeated unless it timed out: the gateway's rule, the same for all policies. */
class SimulatedRequest {
  readonly #clock: VirtualClock
  readonly #hosts: readonly SimulatedHost[]
  readonly #policy: Policy
  readonly #tally: Tally
  readonly #startedMs: number
  readonly #tried: number[] = []
  readonly #flights: Flight[] = []
  #attempts = 0
  #over = false

  constructor(clock: VirtualClock, hosts: readonly SimulatedHost[], policy: Policy, tally: Tally) {
    this.#clock = clock
    this.#hosts = hosts
    this.#policy = policy
    this.#tally = tally
    this.#startedMs = clock.monotonicMs()
  }

  begin(): void {
    this.#tally.requests++
    const ready = this.#policy.ready()
    if (ready) void ready.then(() => this.#first())
    else this.#first()
  }

  #first(): void {
    if (!this.#send()) {
      this.#fail()
      return
    }
    const hedgeAfterMs = this.#policy.hedgeAfterMs()
    if (hedgeAfterMs !== undefined) this.#hedgeAfter(hedgeAfterMs)
  }

  /** A second request once the first is late; without budget for it, again after as long. */
  #hedgeAfter(ms: number): void {
    this.#clock.at(ms, () => {
      if (this.#over || this.#attempts > 1) return
      if (!this.#policy.takeHedge()) return this.#hedgeAfter(ms)
      if (this.#send()) this.#tally.hedges++
    })
  }

  #send(): boolean {
    const attempt = this.#policy.take(this.#tried)
    if (!attempt) return false
    this.#attempts++
    this.#tried.push(attempt.host)
    const sentMs = this.#clock.monotonicMs()
    const flight: Flight = { attempt, cancel: () => {}, over: false }
    this.#flights.push(flight)
    flight.cancel = (this.#hosts[attempt.host] as SimulatedHost).send((end) => this.#ended(flight, end, sentMs))
    this.#clock.at(firstByteMs, () => this.#timedOut(flight))
    return true
  }

  #ended(flight: Flight, end: HostEnd, sentMs: number): void {
    if (flight.over) return
    flight.over = true
    const nowMs = this.#clock.monotonicMs()
    flight.attempt.end(end, end === 'answered' ? nowMs - sentMs : undefined)
    if (end === 'answered') {
      this.#tally.latencies.push(nowMs - this.#startedMs)
      this.#finish()
      return
    }
    if (this.#flights.some(({ over }) => !over)) return
    const again = this.#attempts < attemptsMax && this.#policy.mayRetry() && this.#send()
    if (again) this.#tally.retries++
    else this.#fail()
  }

  #timedOut(flight: Flight): void {
    if (flight.over) return
    flight.over = true
    flight.cancel()
    flight.attempt.end('failed')
    if (this.#flights.every(({ over }) => over)) this.#fail()
  }

  #fail(): void {
    this.#tally.errors++
    this.#tally.latencies.push(firstByteMs)
    this.#finish()
  }

  #finish(): void {
    this.#over = true
    for (const flight of this.#flights) {
      if (flight.over) continue
      flight.over = true
      flight.cancel()
      flight.attempt.end('unknown')
    }
  }
}
