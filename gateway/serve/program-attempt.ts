import type { AppError } from '../../core/errors.ts'
import type { Lease } from '../balance/balancer.ts'
import type { Verdict } from '../balance/host-health.ts'
import { BadUpstreamAnswerError, HostTimeoutError, HostUnreachableError } from '../errors.ts'
import type { FailedAttempt } from '../forward/retry-rule.ts'
import { type FieldBlock, releaseBlock } from '../http1/field-block.ts'
import type { AnswerSink, HostAnswer, HostFailure, HostStream } from '../upstream/host-stream.ts'
import { fullRetryAfterMs, isFullCandidate } from './host-full.ts'
import type { ProgramExchange } from './program-exchange.ts'

/** How an attempt came to nothing. */
export interface Failed {
  kind: FailedAttempt['kind']
  error: AppError | undefined
  /** After how long a host that is full may be asked again. */
  fullMs: number | undefined
  /** A kept connection had died, which says nothing of the host. */
  stale: boolean
}

/** A small answer that is read whole before any of it is passed on. */
interface Held {
  answer: HostAnswer
  parts: Buffer[]
}

const empty = Buffer.alloc(0)

/** One attempt at one host. Tells its owner what becomes of it; at most one attempt of a request gets to answer. */
export class ProgramAttempt implements AnswerSink {
  readonly lease: Lease
  stream: HostStream | undefined = undefined
  readonly #owner: ProgramExchange
  readonly #startedMs: number
  #firstByteMs: number | undefined = undefined
  #held: Held | undefined = undefined
  #tunnel = false

  constructor(owner: ProgramExchange, lease: Lease) {
    this.#owner = owner
    this.lease = lease
    this.#startedMs = owner.ports.clock.monotonicMs()
  }

  onInformational(status: number, fields: FieldBlock): void {
    this.#owner.inform(this, status, fields)
  }

  onAnswer(answer: HostAnswer, part: Buffer | undefined, last: boolean): boolean {
    this.#measure()
    if (last) this.stream = undefined
    const perhapsFull = answer.status === 503 && isFullCandidate(answer)
    if (last && perhapsFull) return this.#decide(answer, part ?? empty)
    if (perhapsFull || (!last && this.#owner.mayHold(answer.bodyBytes))) return this.#hold(answer, part)
    if (!last) this.lease.began(this.#firstByteMs as number)
    return this.#answer(answer, part, last)
  }

  onSwitched(fields: FieldBlock): void {
    this.#measure()
    const wrong = this.#owner.join(this, fields)
    if (wrong === undefined) {
      this.#tunnel = true
      return void this.lease.began(this.#firstByteMs as number)
    }
    const { stream } = this
    this.stream = undefined
    stream?.cancel()
    this.#fail('failed', new BadUpstreamAnswerError(this.lease.origin, wrong), 'failed', false)
  }

  onAnswerBody(part: Buffer): boolean {
    if (!this.#held) return this.#owner.relayBody(part)
    this.#held.parts.push(Buffer.from(part))
    return true
  }

  onAnswerEnd(trailers: FieldBlock | undefined): void {
    this.stream = undefined
    const held = this.#held
    this.#held = undefined
    if (held) {
      this.#decide(held.answer, Buffer.concat(held.parts))
      releaseBlock(held.answer.fields)
      return
    }
    this.#owner.relayEnd(trailers)
    this.#done()
  }

  onHostDrain(): void {
    this.#owner.hostReady()
  }

  onHostFailed(failure: HostFailure): void {
    this.stream = undefined
    this.#drop()
    const kind = failure.refused ? 'refused' : failure.kind === 'timeout' ? 'timeout' : 'failed'
    this.#fail(kind, this.#errorOf(failure), this.#verdictOn(failure), failure.stale)
  }

  /** Nobody wants the answer any more: the client is gone, or another host was faster. */
  abandon(): void {
    const { stream } = this
    this.stream = undefined
    this.#drop()
    stream?.cancel()
    this.lease.end('unknown')
  }

  #measure(): void {
    this.#firstByteMs = this.#owner.ports.clock.monotonicMs() - this.#startedMs
  }

  #answer(answer: HostAnswer, part: Buffer | undefined, last: boolean): boolean {
    const free = this.#owner.relay(this, answer, part, last)
    if (last) this.#done()
    return free
  }

  #done(): void {
    this.lease.end('answered', this.#firstByteMs)
    this.#owner.done()
  }

  #hold(answer: HostAnswer, part: Buffer | undefined): true {
    const { status, bodyBytes, nominates } = answer
    this.#held = {
      answer: { status, fields: answer.fields.copy(), bodyBytes, nominates },
      parts: part ? [Buffer.from(part)] : [],
    }
    return true
  }

  #drop(): void {
    if (this.#held) releaseBlock(this.#held.answer.fields)
    this.#held = undefined
  }

  /** A whole small answer: the host's word that it is full, or the program's answer. */
  #decide(answer: HostAnswer, body: Buffer): true {
    const fullMs = answer.status === 503 ? fullRetryAfterMs(answer, body) : undefined
    if (fullMs === undefined) {
      this.#answer(answer, answer.bodyBytes === 0 ? undefined : body, true)
      return true
    }
    this.lease.endFull(fullMs)
    this.#owner.failed(this, { kind: 'full', error: undefined, fullMs, stale: false })
    return true
  }

  #fail(kind: FailedAttempt['kind'], error: AppError, verdict: Verdict, stale: boolean): void {
    this.lease.end(verdict)
    this.#owner.failed(this, { kind, error, fullMs: undefined, stale })
  }

  #verdictOn({ stale, refused, declined }: HostFailure): Verdict {
    // A WebSocket that is silent for too long, or ends abruptly, is no fault of the host.
    if (this.#tunnel) return 'answered'
    if (stale) return 'unknown'
    return refused && !declined ? 'refused' : 'failed'
  }

  #errorOf({ kind, what, cause }: HostFailure): AppError {
    const { origin } = this.lease
    if (kind === 'invalid') return new BadUpstreamAnswerError(origin, what, { cause })
    if (kind === 'unreachable') return new HostUnreachableError(origin, what, { cause })
    const { connectMs, bodyIdleMs, firstByteMs } = this.#owner.ports.settings.config.timeouts
    const ms = what.startsWith('accept') ? connectMs : what.startsWith('take') ? bodyIdleMs : firstByteMs
    return new HostTimeoutError(origin, what, ms)
  }
}
