import type { HostCandidate } from '../ports.ts'
import type { HostCheck } from './active-checks.ts'
import type { BalanceConfig } from './config.ts'
import { type AttemptRecord, countAttempt, ejectionPause, isOut, planEjection, type Verdict } from './ejection.ts'
import type { HostState } from './host-health.ts'
import { type LateAnswers, noLateAnswers } from './late-answers.ts'
import { averageWith, expectedMs } from './latency.ts'
import type { HostView } from './pick-host.ts'
import type { BelievedList } from './shrink-guard.ts'

/** One host as one program sees it. All its fields are plain values that the pure decisions read. */
export class Seat implements HostView, AttemptRecord, Verdict {
  readonly host: HostState
  readonly check: HostCheck
  readonly rank: number
  uptime = 0
  weight = 1
  near = true
  draining = false
  running = false
  warmUntilMs = Number.NEGATIVE_INFINITY
  fullUntilMs = Number.NEGATIVE_INFINITY
  sinceMs: number
  latencyMs = -1
  measuredAtMs = 0
  waiting = 0
  waitingSinceMs = 0
  out = false
  failuresInRow = 0
  attempts = 0
  failShare = 0
  suspected = 0
  suspectedAtMs = 0
  suspectedUntilMs = 0
  ejections = 0

  constructor(host: HostState, check: HostCheck, rank: number, sinceMs: number) {
    this.host = host
    this.check = check
    this.rank = rank
    this.sinceMs = sinceMs
  }

  get down(): boolean {
    return this.check.down
  }

  isRunning(nowMs: number): boolean {
    return this.running || this.warmUntilMs > nowMs
  }

  /** A request goes there. */
  begin(nowMs: number): void {
    if (this.waiting === 0) this.waitingSinceMs = nowMs
    this.waiting++
    this.host.waiting++
  }

  /** A first byte came: it does something, so the others wait anew. */
  answered(nowMs: number): void {
    this.waiting--
    this.host.waiting--
    this.waitingSinceMs = nowMs
  }

  /** An attempt ended without an answer. */
  gaveUp(): void {
    this.waiting--
    this.host.waiting--
  }

  /** Notes a latency: one that was measured, or what an attempt without an answer has waited at least. */
  measure(ms: number, nowMs: number, typicalMs: number, halfLifeMs: number): void {
    const faded = this.latencyMs < 0 ? -1 : expectedMs(this, nowMs, typicalMs, halfLifeMs)
    this.latencyMs = averageWith(faded, ms, nowMs - this.measuredAtMs)
    this.measuredAtMs = nowMs
  }
}

let suspicions = 0

/** The hosts of one program, and what has been seen of them for it. */
export class ProgramHosts {
  readonly itemHash: string
  /** What its hosts are asked to find out whether they are up. */
  readonly probe: string
  readonly hash: number
  seats: readonly Seat[] = []
  believed: BelievedList = { hosts: [], base: [], heldSinceMs: undefined }
  listedAtMs = Number.NEGATIVE_INFINITY
  /** Average time to the first byte over its hosts; 0 before the first answer. */
  typicalMs = 0
  readonly late: LateAnswers = { ...noLateAnswers }
  /** Seats that requests made suspect. */
  suspects = 0
  /** `HostHealth.turns` when `out` of the seats was decided; -1 to decide again. */
  decidedAtTurn = -1

  constructor(itemHash: string, probe: string, hash: number) {
    this.itemHash = itemHash
    this.probe = probe
    this.hash = hash
  }

  /** Number of hosts that may run it, as far as is known. */
  get size(): number {
    return this.believed.hosts.length
  }

  takeSeats(seats: readonly Seat[]): void {
    this.seats = seats
    this.suspects = seats.filter(({ suspected }) => suspected > 0).length
    this.decidedAtTurn = -1
  }

  /** Notes how an attempt went. @returns whether it made the host suspect */
  countAttempt(seat: Seat, refused: boolean, failed: boolean, nowMs: number, config: BalanceConfig): boolean {
    countAttempt(seat, failed)
    if (!failed) {
      // Proven again by traffic, so the next ejection starts with a short pause.
      if (seat.ejections > 0 && nowMs - seat.sinceMs > config.slowStartMs) seat.ejections = 0
      return false
    }
    if (seat.suspected > 0 || !planEjection(seat, refused, this.#peersFailShare(seat), config)) return false
    seat.suspected = ++suspicions
    seat.suspectedAtMs = nowMs
    seat.suspectedUntilMs = nowMs + ejectionPause(seat.ejections, config.ejectMs, config.ejectMaxMs)
    seat.ejections++
    this.suspects++
    this.decidedAtTurn = -1
    return true
  }

  /**
   * Lets suspects off whose pause is over and whose host a probe has found up since.
   * @returns how many came back that no probe had found down
   */
  review(nowMs: number, ejectAfter: number): number {
    let back = 0
    for (const seat of this.seats) {
      const { check } = seat
      if (seat.suspected === 0 || check.down) continue
      const wasDown = check.upSinceMs > seat.suspectedAtMs
      const over = nowMs >= seat.suspectedUntilMs && check.servedAtMs >= seat.suspectedAtMs
      if (!wasDown && !over) continue
      if (!wasDown) back++
      seat.suspected = 0
      // One more failure is enough to take it out again until an answer has proven it.
      seat.failuresInRow = ejectAfter - 1
      seat.attempts = 0
      seat.failShare = 0
      // Measured before it failed; what comes back may be another process.
      seat.latencyMs = -1
      this.suspects--
      this.decidedAtTurn = -1
    }
    return back
  }

  /** Decides which seats are out. One that comes back begins its slow start. */
  decideOut(turn: number, nowMs: number, ejectShareMax: number): void {
    this.decidedAtTurn = turn
    for (let i = 0; i < this.seats.length; i++) {
      const seat = this.seats[i] as Seat
      const out = isOut(this.seats, i, ejectShareMax)
      if (seat.out && !out) seat.sinceMs = nowMs
      seat.out = out
    }
  }

  #peersFailShare(seat: Seat): number {
    let sum = 0
    let count = 0
    for (const peer of this.seats) {
      if (peer === seat || peer.attempts === 0) continue
      sum += peer.failShare
      count++
    }
    return count === 0 ? 0 : sum / count
  }
}

/** Fills a seat with what the list says now. */
export function describeSeat(seat: Seat, candidate: HostCandidate, weight: number, locality: string): void {
  seat.uptime = candidate.uptime
  seat.weight = weight
  seat.running = candidate.running
  seat.draining = candidate.draining === true
  seat.near = locality === '' || candidate.zone === locality
}
