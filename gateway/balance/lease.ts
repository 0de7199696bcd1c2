import type { Clock } from '../../core/clock.ts'
import type { GatewayMetrics } from '../metrics.ts'
import type { BalanceConfig } from './config.ts'
import type { HostHealth, Verdict } from './host-health.ts'
import { countAnswer } from './late-answers.ts'
import type { ProgramHosts, Seat } from './program-hosts.ts'

/** A host taken for one attempt. `end` or `endFull` must be called once; what comes after is ignored. */
export interface Lease {
  readonly id: string
  readonly origin: string
  /** The answer began, `firstByteMs` after the request was sent. May be left to `end`; but answers that flow for long should not wait. */
  began(firstByteMs: number): void
  end(verdict: Verdict, firstByteMs?: number): void
  /** The host has no room for this program; it is left alone for `retryAfterMs`. */
  endFull(retryAfterMs: number): void
}

/** What all leases of a balancer share. */
export interface LeaseContext {
  config: BalanceConfig
  clock: Clock
  metrics: GatewayMetrics
  health: HostHealth
}

const fullMaxMs = 60_000
/** Share of a new answer in the average over all hosts of a program. */
const typicalShare = 0.05

/** Notes what comes of an attempt in the seat of its host. */
export class SeatLease implements Lease {
  readonly #context: LeaseContext
  readonly #program: ProgramHosts
  readonly #seat: Seat
  readonly #startedMs: number
  readonly #wasCold: boolean
  #hasBegun = false
  #over = false

  constructor(context: LeaseContext, program: ProgramHosts, seat: Seat, nowMs: number) {
    this.#context = context
    this.#program = program
    this.#seat = seat
    this.#startedMs = nowMs
    this.#wasCold = !seat.isRunning(nowMs)
    seat.begin(nowMs)
    context.health.checks.use(seat.check, nowMs)
  }

  get id(): string {
    return this.#seat.host.id
  }

  get origin(): string {
    return this.#seat.host.origin
  }

  began(firstByteMs: number): void {
    if (!this.#hasBegun && !this.#over) this.#begin(firstByteMs, this.#context.clock.monotonicMs())
  }

  end(verdict: Verdict, firstByteMs?: number): void {
    if (this.#over) return
    const nowMs = this.#context.clock.monotonicMs()
    if (firstByteMs !== undefined && !this.#hasBegun) this.#begin(firstByteMs, nowMs)
    this.#finish(verdict, nowMs)
  }

  endFull(retryAfterMs: number): void {
    if (this.#over) return
    const nowMs = this.#context.clock.monotonicMs()
    this.#seat.warmUntilMs = Number.NEGATIVE_INFINITY
    this.#seat.fullUntilMs = nowMs + Math.min(fullMaxMs, retryAfterMs)
    this.#finish('unknown', nowMs)
  }

  #begin(firstByteMs: number, nowMs: number): void {
    const seat = this.#seat
    const program = this.#program
    this.#hasBegun = true
    seat.answered(nowMs)
    seat.host.flowing++
    seat.check.answeredAtMs = nowMs
    // A start says nothing about how quick the host is once the program runs.
    if (this.#wasCold) return
    program.typicalMs += (program.typicalMs === 0 ? 1 : typicalShare) * (firstByteMs - program.typicalMs)
    seat.measure(firstByteMs, nowMs, program.typicalMs, this.#context.config.latencyHalfLifeMs)
    seat.host.measure(firstByteMs, nowMs)
    countAnswer(program.late, firstByteMs)
  }

  #finish(verdict: Verdict, nowMs: number): void {
    const { config, metrics, health } = this.#context
    const seat = this.#seat
    this.#over = true
    if (this.#hasBegun) seat.host.flowing--
    else this.#giveUp(verdict, nowMs)
    if (verdict === 'unknown') return
    const failed = verdict !== 'answered'
    seat.host.failuresInRow = failed ? seat.host.failuresInRow + 1 : 0
    if (!failed) this.#keepWarm(nowMs)
    if (!this.#program.countAttempt(seat, verdict === 'refused', failed, nowMs, config)) return
    metrics.ejections.add()
    health.checks.suspect(seat.check)
  }

  /** No answer began. */
  #giveUp(verdict: Verdict, nowMs: number): void {
    const seat = this.#seat
    seat.gaveUp()
    const waitedMs = nowMs - this.#startedMs
    // It would have taken this long at least: a client that left, or a second request that was quicker, says so too. A refusal is quick, and
    // says nothing about how quick answers are.
    if (verdict === 'refused' || this.#wasCold || waitedMs <= seat.latencyMs) return
    seat.measure(waitedMs, nowMs, this.#program.typicalMs, this.#context.config.latencyHalfLifeMs)
  }

  #keepWarm(nowMs: number): void {
    const seat = this.#seat
    // It has just started: its slow start as a running host begins now.
    if (this.#wasCold && !seat.isRunning(nowMs)) seat.sinceMs = nowMs
    seat.warmUntilMs = nowMs + this.#context.config.warmMs
  }
}
