import { createHash, randomBytes } from 'node:crypto'
import type { Lease, ProgramHosts } from '../balance/balancer.ts'
import type { Verdict } from '../balance/host-health.ts'
import { BadUpstreamAnswerError, HostsFullError, HostTimeoutError, HostUnreachableError, NoHostError } from '../errors.ts'
import type { AppError } from '../../core/errors.ts'
import type { AnswerHead, Exchange, RequestSink } from '../forward/exchange.ts'
import { type FailedAttempt, isIdempotent, mayTryAnother } from '../forward/retry-rule.ts'
import { applyAnswerPolicy } from '../guard/answer-policy.ts'
import { dropNominated } from '../http1/connection-options.ts'
import { type FieldBlock, releaseBlock } from '../http1/field-block.ts'
import { dropToHost, Field } from '../http1/known-fields.ts'
import type { AnswerSink, HostAnswer, HostFailure, HostRequest, HostStream } from '../upstream/host-stream.ts'
import { problemBytesMax, fullRetryAfterMs, isFullCandidate } from './host-full.ts'
import type { ProgramPorts } from './serve-program.ts'

const retryAfterDefaultMs = 2_000
const webSocketGuid = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

const empty = Buffer.alloc(0)

/** Consumed within one call, so one for the whole worker is enough. */
const answerHead: AnswerHead = { status: 0, fields: undefined as unknown as FieldBlock, extra: [], bodyBytes: 0 }

/**
 * Answers one exchange from a program: the best host first, then others while the request may be repeated and the retry budget lasts. It
 * is the request as it goes to hosts, too. Everything happens in the calls of the two sides; nothing is waited for by promises once the
 * hosts are known.
 */
export class ProgramExchange implements RequestSink, HostRequest {
  readonly exchange: Exchange
  readonly ports: ProgramPorts
  readonly method: string
  readonly pathPrefix: Buffer
  readonly pathStart: number
  readonly pathEnd: number
  readonly host: string
  readonly fields: FieldBlock
  extraLines: Buffer = empty
  readonly bodyBytes: number
  readonly upgrade: { key: string | undefined } | undefined
  readonly #itemHash: string
  readonly #sharedZone: string | undefined
  #program: ProgramHosts | undefined = undefined
  readonly #tried: string[] = []
  #attempts = 0
  #current: Attempt | undefined = undefined
  /** The whole body, where it is kept for another host. */
  #body: Buffer | undefined = undefined
  #parts: Buffer[] | undefined = undefined
  #streaming = false
  #bodyStarted = false
  #failure: AppError | undefined = undefined
  #fullMs: number | undefined = undefined
  #relaying = false

  constructor(exchange: Exchange, itemHash: string, pathPrefix: Buffer, ports: ProgramPorts) {
    const { head } = exchange
    this.exchange = exchange
    this.ports = ports
    this.method = head.method
    this.pathPrefix = pathPrefix
    this.pathStart = head.pathStart
    this.pathEnd = head.pathEnd
    this.host = head.host
    this.fields = head.fields
    this.bodyBytes = head.bodyBytes
    this.upgrade = head.upgrade ? { key: head.fields.find(Field.secWebsocketKey) < 0 ? newKey() : undefined } : undefined
    this.#itemHash = itemHash
    const { zone } = ports.settings.config
    this.#sharedZone = head.host.endsWith(zone) && head.host.length > zone.length ? zone : undefined
    head.fields.dropBy(dropToHost)
    if (head.nominates) dropNominated(head.fields)
  }

  /** Begins, with the hosts that may run the program. */
  begin(program: ProgramHosts): void {
    this.#program = program
    this.extraLines = this.ports.lines.of(this.fields)
    this.ports.balancer.budget.countRequest()
    const { bodyBytes, exchange } = this
    if (bodyBytes === 0) return this.#attempt()
    this.#body = exchange.takeWholeBody()
    if (this.#body) return this.#attempt()
    if (bodyBytes > 0 && bodyBytes <= this.ports.settings.config.limits.replayBytesMax) {
      // Small bodies are kept, so that a host that is full or gone does not lose them.
      this.#parts = []
      return exchange.readBody(this)
    }
    this.#streaming = true
    exchange.listen(this)
    this.#attempt()
  }

  // --- the client's side

  onBody(part: Buffer): boolean {
    if (this.#parts) {
      this.#parts.push(part)
      return true
    }
    return this.#current?.stream?.write(part) ?? true
  }

  onBodyEnd(trailers: FieldBlock | undefined): void {
    if (!this.#parts) return this.#current?.stream?.end(trailers)
    this.#body = Buffer.concat(this.#parts)
    this.#parts = undefined
    this.#attempt()
  }

  onClientDrain(): void {
    this.#current?.stream?.resumeAnswer()
  }

  onClientGone(): void {
    const attempt = this.#current
    this.#current = undefined
    attempt?.abandon()
    this.ports.metrics.attemptCells.gone.add()
  }

  // --- what an attempt tells

  hostReady(): void {
    if (!this.#streaming) return
    if (this.#bodyStarted) return this.exchange.resumeBody()
    this.#bodyStarted = true
    this.exchange.readBody(this)
  }

  /** Whether an answer may still be taken back when its host dies in the middle of it. */
  mayHold(bodyBytes: number): boolean {
    const { holdBytesMax } = this.ports.settings.config.limits
    return bodyBytes >= 0 && bodyBytes <= holdBytesMax && !this.#bodyStarted && isIdempotent(this.method)
  }

  inform(status: number, fields: FieldBlock): void {
    applyAnswerPolicy(fields, this.#sharedZone)
    this.exchange.inform(status, fields)
  }

  /** Passes the head of the answer on. Returns as `Exchange.answer` does. */
  relay(answer: HostAnswer, part: Buffer | undefined, last: boolean): boolean {
    this.#relaying = true
    if (answer.nominates) dropNominated(answer.fields)
    applyAnswerPolicy(answer.fields, this.#sharedZone)
    answerHead.status = answer.status
    answerHead.fields = answer.fields
    answerHead.extra = this.ports.extraOf(answer.fields)
    answerHead.bodyBytes = answer.bodyBytes < 0 ? -1 : answer.bodyBytes
    return this.exchange.answer(answerHead, part, last)
  }

  /** Joins a WebSocket, when the host really agreed to this one (RFC 6455 §4.1). Returns what is wrong otherwise. */
  join(fields: FieldBlock): string | undefined {
    const key = this.upgrade?.key ?? keyOf(this.fields)
    const expected = createHash('sha1').update(`${key}${webSocketGuid}`).digest('base64')
    if (fields.valueOf(Field.secWebsocketAccept) !== expected) return 'a 101 with a wrong Sec-WebSocket-Accept'
    applyAnswerPolicy(fields, this.#sharedZone)
    if (this.exchange.head.version === '2') dropAccept(fields)
    this.#relaying = true
    this.exchange.upgrade(fields, [])
    this.exchange.readBody(this)
    return undefined
  }

  /** An attempt ended with a whole answer. */
  done(): void {
    this.#current = undefined
    this.ports.metrics.attemptCells.answered.add()
  }

  /** An attempt came to nothing. */
  failed(failed: FailedAttempt['kind'], error: AppError | undefined, fullMs: number | undefined, stale: boolean): void {
    const attempt = this.#current
    this.#current = undefined
    const { metrics, balancer } = this.ports
    if (this.#relaying) {
      metrics.attemptCells.cut.add()
      return this.exchange.cut()
    }
    metrics.attemptCells[failed === 'full' ? 'full' : 'failed'].add()
    // A connection that had died while it was idle says nothing of the host, so the same one may be asked again.
    if (attempt && !stale) this.#tried.push(attempt.lease.id)
    if (error) this.#failure = error
    if (fullMs !== undefined) this.#fullMs = Math.min(this.#fullMs ?? fullMs, fullMs)
    const again =
      mayTryAnother(this.method, { kind: failed, bodyStarted: this.#bodyStarted }) &&
      this.#attempts < this.ports.settings.config.balance.attemptsMax &&
      balancer.budget.takeRetry()
    if (!again) return this.#giveUp()
    metrics.retryCells[failed === 'full' ? 'full' : failed === 'refused' ? 'connect' : 'answer'].add()
    this.#attempt()
  }

  #attempt(): void {
    const { balancer, pools } = this.ports
    this.#attempts++
    const lease = balancer.take(this.#program as ProgramHosts, { tried: this.#tried })
    if (!lease) return this.#giveUp()
    const attempt = new Attempt(this, lease)
    this.#current = attempt
    const stream = pools.acquire(lease.origin, attempt)
    if (!stream) {
      attempt.end('unknown')
      const error = new HostUnreachableError(lease.origin, 'has no free connection')
      return this.failed('refused', error, undefined, false)
    }
    attempt.stream = stream
    const ready = stream.send(this, this.#body, !this.#streaming)
    if (ready && this.#streaming) this.hostReady()
  }

  #giveUp(): void {
    const { exchange } = this
    if (exchange.over) return
    if (this.#failure) return this.ports.fail(exchange, this.#failure)
    const known = this.#program?.size ?? 0
    if (known === 0) return this.ports.fail(exchange, new NoHostError(this.#itemHash, 0))
    this.ports.fail(exchange, new HostsFullError(this.#itemHash, known, this.#fullMs ?? retryAfterDefaultMs))
  }
}

/** A small answer that is read whole before any of it is passed on. */
interface Held {
  answer: HostAnswer
  parts: Buffer[]
}

/** One attempt at one host. */
class Attempt implements AnswerSink {
  readonly owner: ProgramExchange
  readonly lease: Lease
  readonly startedMs: number
  stream: HostStream | undefined = undefined
  #held: Held | undefined = undefined
  #firstByteMs: number | undefined = undefined

  constructor(owner: ProgramExchange, lease: Lease) {
    this.owner = owner
    this.lease = lease
    this.startedMs = owner.ports.clock.monotonicMs()
  }

  onInformational(status: number, fields: FieldBlock): void {
    if (status === 103) this.owner.inform(status, fields)
  }

  onAnswer(answer: HostAnswer, part: Buffer | undefined, last: boolean): boolean {
    this.#firstByteMs = this.owner.ports.clock.monotonicMs() - this.startedMs
    if (last) this.stream = undefined
    const perhapsFull = answer.status === 503 && isFullCandidate(answer)
    if (perhapsFull || (!last && this.owner.mayHold(answer.bodyBytes))) {
      if (last && perhapsFull) return this.#decide(answer, part ?? empty)
      this.#hold(answer, part)
      return true
    }
    if (!last) this.lease.began(this.#firstByteMs)
    const free = this.owner.relay(answer, part, last)
    if (last) this.#answered()
    return free
  }

  onSwitched(fields: FieldBlock): void {
    this.#firstByteMs = this.owner.ports.clock.monotonicMs() - this.startedMs
    const wrong = this.owner.join(fields)
    if (wrong !== undefined) this.#refuse(wrong)
  }

  onAnswerBody(part: Buffer): boolean {
    if (!this.#held) return this.owner.exchange.write(part)
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
    this.owner.exchange.end(trailers)
    this.#answered()
  }

  onHostDrain(): void {
    this.owner.hostReady()
  }

  onHostFailed(failure: HostFailure): void {
    this.stream = undefined
    this.#drop()
    const { origin } = this.lease
    const { what, cause } = failure
    this.end(failure.refused ? 'refused' : failure.stale ? 'unknown' : 'failed')
    const kind = failure.refused ? 'refused' : failure.kind === 'timeout' ? 'timeout' : 'failed'
    this.owner.failed(kind, errorOf(failure.kind, origin, what, cause, this.owner), undefined, failure.stale)
  }

  /** The client is gone: the host need not go on. */
  abandon(): void {
    const { stream } = this
    this.stream = undefined
    this.#drop()
    stream?.cancel()
    this.end('unknown')
  }

  end(verdict: Verdict): void {
    this.lease.end(verdict, verdict === 'answered' ? this.#firstByteMs : undefined)
  }

  #answered(): void {
    this.end('answered')
    this.owner.done()
  }

  #hold(answer: HostAnswer, part: Buffer | undefined): void {
    const { status, bodyBytes, nominates } = answer
    this.#held = {
      answer: { status, fields: answer.fields.copy(), bodyBytes, nominates },
      parts: part ? [Buffer.from(part)] : [],
    }
  }

  #drop(): void {
    if (this.#held) releaseBlock(this.#held.answer.fields)
    this.#held = undefined
  }

  /** A whole small answer: the host's word that it is full, or the program's answer. */
  #decide(answer: HostAnswer, body: Buffer): boolean {
    const fullMs = answer.status === 503 && body.length <= problemBytesMax ? fullRetryAfterMs(answer, body) : undefined
    if (fullMs === undefined) {
      this.owner.relay(answer, answer.bodyBytes === 0 ? undefined : body, true)
      this.#answered()
      return true
    }
    this.lease.endFull(fullMs)
    this.owner.failed('full', undefined, fullMs, false)
    return true
  }

  #refuse(what: string): void {
    const { stream } = this
    this.stream = undefined
    stream?.cancel()
    this.end('failed')
    this.owner.failed('failed', new BadUpstreamAnswerError(this.lease.origin, what), undefined, false)
  }
}

function errorOf(
  kind: HostFailure['kind'],
  origin: string,
  what: string,
  cause: unknown,
  owner: ProgramExchange,
): AppError {
  if (kind === 'invalid') return new BadUpstreamAnswerError(origin, what, { cause })
  if (kind === 'unreachable') return new HostUnreachableError(origin, what, { cause })
  const { connectMs, firstByteMs } = owner.ports.settings.config.timeouts
  return new HostTimeoutError(origin, what, what.startsWith('accept') ? connectMs : firstByteMs)
}

/** A WebSocket that came over HTTP/2 has no key; towards the host it needs one (RFC 8441 §5.1, RFC 6455 §4.1). */
function newKey(): string {
  return randomBytes(16).toString('base64')
}

function keyOf(fields: FieldBlock): string {
  return fields.valueOf(Field.secWebsocketKey) ?? ''
}

function dropAccept(fields: FieldBlock): void {
  const index = fields.find(Field.secWebsocketAccept)
  if (index >= 0) fields.dropped[index] = 1
}
