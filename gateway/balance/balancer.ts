import type { Random } from '../../core/random.ts'
import { hostProbe } from './active-checks.ts'
import type { BalanceConfig } from './config.ts'
import { type HostListPorts, HostLists } from './host-lists.ts'
import { hedgeAfter } from './late-answers.ts'
import { type Lease, type LeaseContext, SeatLease } from './lease.ts'
import { pickHost } from './pick-host.ts'
import type { ProgramHosts } from './program-hosts.ts'
import { hashText } from './rendezvous.ts'
import { RetryBudget } from './retry-budget.ts'

export type { Lease } from './lease.ts'
export type { ProgramHosts } from './program-hosts.ts'

export interface BalancerPorts extends HostListPorts {
  random: Random
}

/** How a host is to be chosen. The object may be reused for the next choice. */
export interface TakeOptions {
  /** Ids of hosts that have had this request; the one that a second request is to overtake is among them. */
  tried: readonly string[]
  /** Requests of the same key go to the same host while it can take them. */
  affinityKey?: string | undefined
}

/** Knows which hosts may run which program, and which of them to take now. */
export class Balancer {
  readonly budget: RetryBudget
  readonly #config: BalanceConfig
  readonly #ports: BalancerPorts
  readonly #lists: HostLists
  readonly #leases: LeaseContext
  /** Reused for every choice. */
  readonly #pick

  constructor(config: BalanceConfig, ports: BalancerPorts) {
    const { clock, metrics, health, random } = ports
    this.#config = config
    this.#ports = ports
    this.#lists = new HostLists(config, ports)
    this.#leases = { config, clock, metrics, health }
    this.budget = new RetryBudget(config, clock)
    this.#pick = {
      settings: config,
      nowMs: 0,
      typicalMs: 0,
      tried: [] as readonly string[],
      affinity: undefined as number | undefined,
      float: () => random.float(),
    }
  }

  /**
   * The hosts of a program: at once while its list is fresh, else a promise.
   * @param probe - path that tells whether a host serves this site, where that is more than being up
   * @throws AppError of the host source when nothing usable is remembered (the promise rejects)
   */
  find(itemHash: string, probe = hostProbe): ProgramHosts | Promise<ProgramHosts> {
    return this.#lists.find(itemHash, probe)
  }

  /** Takes the best host that is not in `tried`, or undefined when there is none left. */
  take(program: ProgramHosts, options: TakeOptions): Lease | undefined {
    const nowMs = this.#ports.clock.monotonicMs()
    this.#settle(program, nowMs)
    const pick = this.#pick
    pick.nowMs = nowMs
    pick.typicalMs = program.typicalMs
    pick.tried = options.tried
    pick.affinity = options.affinityKey === undefined ? undefined : hashText(options.affinityKey)
    const index = pickHost(program.seats, pick)
    const seat = index < 0 ? undefined : program.seats[index]
    return seat && new SeatLease(this.#leases, program, seat, nowMs)
  }

  /** After which time without a first byte a second request to another host pays; undefined while too little is known. */
  hedgeAfterMs(program: ProgramHosts): number | undefined {
    return hedgeAfter(program.late, this.#config.hedgeMinMs)
  }

  /** The host gets no new requests; those in flight finish. */
  drainHost(id: string): void {
    this.#ports.health.drain(id)
  }

  undrainHost(id: string): void {
    this.#ports.health.undrain(id)
  }

  /** Brings `out` of the seats up to date. Costs two comparisons when nothing has happened. */
  #settle(program: ProgramHosts, nowMs: number): void {
    const { health, metrics } = this.#ports
    if (program.suspects > 0) {
      const back = program.review(nowMs, this.#config.ejectAfter)
      if (back > 0) metrics.recoveries.add({}, back)
    }
    if (program.decidedAtTurn !== health.turns) program.decideOut(health.turns, nowMs, this.#config.ejectShareMax)
  }
}
