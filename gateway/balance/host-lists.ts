import { LRUCache } from 'lru-cache'
import type { Clock } from '../../core/clock.ts'
import { AppError } from '../../core/errors.ts'
import { inTime } from '../../core/in-time.ts'
import type { Log } from '../../core/log.ts'
import { SingleFlight } from '../../core/single-flight.ts'
import { HostListTimeoutError } from '../errors.ts'
import type { GatewayMetrics } from '../metrics.ts'
import type { HostCandidate, HostSource } from '../ports.ts'
import { hostProbe } from './active-checks.ts'
import { type CandidateStanding, chooseSeats } from './choose-seats.ts'
import type { BalanceConfig } from './config.ts'
import type { HostHealth } from './host-health.ts'
import { describeSeat, ProgramHosts, Seat } from './program-hosts.ts'
import { hashText, rendezvousRank } from './rendezvous.ts'
import { planShrink } from './shrink-guard.ts'
import { uptimeWeight } from './uptime-weight.ts'

export interface HostListPorts {
  hosts: HostSource
  health: HostHealth
  clock: Clock
  metrics: GatewayMetrics
  log: Log
}

/** Candidates of all programs together that are remembered, about 100 bytes each. */
const candidatesMax = 2_000_000
/** A list that cannot be renewed is used this long: hosts rarely move, and a wrong one is found out by the attempt. */
const listStaleMs = 600_000
/** The list of hosts should come from memory; a source that hangs must not hold requests. */
const listTimeoutMs = 10_000

/** The lists of hosts of the programs that are asked for, renewed as they are used. */
export class HostLists {
  readonly #config: BalanceConfig
  readonly #ports: HostListPorts
  readonly #programs = new LRUCache<string, ProgramHosts>({
    maxSize: candidatesMax,
    sizeCalculation: ({ size }) => size + 1,
  })
  readonly #flights = new SingleFlight<string, ProgramHosts>()

  constructor(config: BalanceConfig, ports: HostListPorts) {
    this.#config = config
    this.#ports = ports
  }

  /** The hosts of a program: at once while its list is fresh, else a promise, which rejects when nothing usable is remembered. */
  find(itemHash: string, probe: string): ProgramHosts | Promise<ProgramHosts> {
    const key = probe === hostProbe ? itemHash : `${itemHash} ${probe}`
    const program = this.#programs.get(key)
    if (program && this.#ports.clock.monotonicMs() - program.listedAtMs < this.#config.hostsMs) return program
    return this.#renewed(key, program ?? new ProgramHosts(itemHash, probe, hashText(itemHash)))
  }

  async #renewed(key: string, program: ProgramHosts): Promise<ProgramHosts> {
    try {
      return await this.#flights.run(key, () => this.#renew(key, program))
    } catch (error) {
      const definite = error instanceof AppError && error.status < 500
      if (!definite && this.#ports.clock.monotonicMs() - program.listedAtMs < listStaleMs) return program
      if (definite) this.#programs.delete(key)
      throw error
    }
  }

  async #renew(key: string, program: ProgramHosts): Promise<ProgramHosts> {
    const { clock, hosts, health } = this.#ports
    const late = () => new HostListTimeoutError(program.itemHash, listTimeoutMs)
    const listed = await inTime(clock, listTimeoutMs, late, (signal) => hosts.hosts(program.itemHash, signal))
    const nowMs = clock.monotonicMs()
    this.#believe(program, listed, nowMs)
    this.#seat(program, nowMs)
    for (const { check } of program.seats) health.checks.want(check, nowMs)
    program.listedAtMs = nowMs
    this.#programs.set(key, program)
    return program
  }

  #believe(program: ProgramHosts, listed: readonly HostCandidate[], nowMs: number): void {
    const { shrinkShareMax, shrinkHoldMs } = this.#config
    const failing = new Set(program.seats.filter(({ out }) => out).map(({ host }) => host.id))
    const isFailing = (id: string): boolean => failing.has(id)
    const before = program.believed
    program.believed = planShrink(before, listed, { nowMs, shrinkShareMax, shrinkHoldMs, isFailing })
    if (program.believed.heldSinceMs === undefined || before.heldSinceMs !== undefined) return
    this.#ports.metrics.listHolds.add()
    const numbers = { before: before.base.length, listed: listed.length, holdMs: shrinkHoldMs }
    this.#ports.log.warn('a list of hosts shrank at once and is not believed for now', {
      program: program.itemHash,
      ...numbers,
    })
  }

  /** Gives seats to the hosts of the list; those that have one keep it with all that is known. */
  #seat(program: ProgramHosts, nowMs: number): void {
    const { uptimeMargin, locality } = this.#config
    const { hosts } = program.believed
    const known = new Map(program.seats.map((seat) => [seat.host.id, seat]))
    const best = hosts.reduce((most, { uptime }) => Math.max(most, uptime), 0)
    // The hosts of a program that has just become known have nobody to give way to.
    const sinceMs = known.size === 0 ? Number.NEGATIVE_INFINITY : nowMs
    const standing = (candidate: HostCandidate) => this.#standing(program, candidate, known.get(candidate.id), nowMs)
    const seats = chooseSeats(hosts, standing, uptimeMargin).map((candidate) => {
      const old = known.get(candidate.id)
      const seat = old?.host.origin === candidate.origin ? old : this.#newSeat(program, candidate, sinceMs)
      describeSeat(seat, candidate, uptimeWeight(candidate.uptime, best, uptimeMargin), locality)
      return seat
    })
    program.takeSeats(seats)
  }

  #newSeat(program: ProgramHosts, candidate: HostCandidate, sinceMs: number): Seat {
    const { health } = this.#ports
    const host = health.of(candidate)
    const check = health.checks.of(candidate.origin, program.probe)
    return new Seat(host, check, rendezvousRank(program.hash, host.hash), sinceMs)
  }

  #standing(program: ProgramHosts, candidate: HostCandidate, seat: Seat | undefined, nowMs: number): CandidateStanding {
    const host = seat?.host ?? this.#ports.health.of(candidate)
    const { locality } = this.#config
    return {
      rank: rendezvousRank(program.hash, host.hash),
      near: locality === '' || candidate.zone === locality,
      unusable: host.ejected || host.draining || candidate.draining === true,
      remembered: seat !== undefined && (seat.isRunning(nowMs) || seat.fullUntilMs > nowMs || seat.waiting > 0),
    }
  }
}
