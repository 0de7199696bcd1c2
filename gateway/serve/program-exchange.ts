import { createHash, randomBytes } from 'node:crypto'
import type { AppError } from '../../core/errors.ts'
import type { ProgramHosts } from '../balance/balancer.ts'
import { planCompression } from '../compress/plan-compression.ts'
import { HostsFullError, HostUnreachableError, NoHostError } from '../errors.ts'
import type { AnswerHead, Exchange, RequestSink } from '../forward/exchange.ts'
import { isIdempotent, mayTryAnother } from '../forward/retry-rule.ts'
import { applyAnswerPolicy } from '../guard/answer-policy.ts'
import type { SiteOptions } from '../guard/config.ts'
import { clientAddress } from '../guard/forwarded.ts'
import type { SiteRate } from '../guard/site-rates.ts'
import { dropNominated } from '../http1/connection-options.ts'
import type { FieldBlock } from '../http1/field-block.ts'
import { dropToHost, Field } from '../http1/known-fields.ts'
import type { ConnectionNeeds } from '../upstream/host-pool.ts'
import type { HostAnswer, HostRequest } from '../upstream/host-stream.ts'
import { keepBody, letGoBody } from './kept-bodies.ts'
import { type Failed, ProgramAttempt } from './program-attempt.ts'
import { proxyPreface } from './proxy-preface.ts'
import type { ProgramPorts } from './serve-program.ts'
import { type AnswerFeeder, ShapedAnswer } from './shaped-answer.ts'

const retryAfterDefaultMs = 2_000
const webSocketGuid = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
const empty = Buffer.alloc(0)
const webSocketNeeds: ConnectionNeeds = { preface: undefined, upgrade: true }

const noExtra: readonly FieldBlock[] = []
/** Consumed within one call, so one for the whole worker is enough. */
const answerHead: AnswerHead = { status: 0, fields: undefined as unknown as FieldBlock, extra: [], bodyBytes: 0 }

/**
 * Answers one exchange from a program: the best host first, then others while the request may be repeated and the retry budget lasts. It
 * is the request as it goes to hosts, too. Everything happens in the calls of the two sides; nothing is waited for by promises once the
 * hosts are known.
 */
export class ProgramExchange implements RequestSink, HostRequest, AnswerFeeder {
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
  readonly upgrade: HostRequest['upgrade']
  readonly #itemHash: string
  readonly #options: SiteOptions
  readonly #rate: SiteRate | undefined
  readonly #sharedZone: string | undefined
  #program: ProgramHosts | undefined = undefined
  readonly #tried: string[] = []
  #attempts = 0
  /** The attempt that answers, or that was begun last. */
  #current: ProgramAttempt | undefined = undefined
  /** A slow attempt that a second one tries to overtake. */
  #slower: ProgramAttempt | undefined = undefined
  #hedgeTimer: Disposable | undefined = undefined
  /** The whole body, where it is kept for another host. */
  #body: Buffer | undefined = undefined
  #parts: Buffer[] | undefined = undefined
  #streaming = false
  #bodyStarted = false
  #failure: AppError | undefined = undefined
  #fullMs: number | undefined = undefined
  #relaying = false
  #shaped: ShapedAnswer | undefined = undefined
  #sawStale = false
  #tunnel = false
  #tunnelBytes = 0

  constructor(
    exchange: Exchange,
    itemHash: string,
    pathPrefix: Buffer,
    ports: ProgramPorts,
    rate: SiteRate | undefined,
  ) {
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
    this.#itemHash = itemHash
    this.#rate = rate
    const { config, sites } = ports.settings
    this.#options = sites.optionsFor(head.host)
    this.#sharedZone = isBelow(head.host, config.zone) ? config.zone : undefined
    this.upgrade = head.upgrade ? this.#webSocket(head.fields) : undefined
    head.fields.dropBy(dropToHost)
    if (head.nominates) dropNominated(head.fields)
  }

  /** Begins, with the hosts that may run the program. @throws LoopError */
  begin(program: ProgramHosts): void {
    const { bodyBytes, exchange, ports } = this
    this.#program = program
    this.extraLines = ports.lines.of(exchange, this.#options.tellClient)
    ports.balancer.budget.countRequest()
    exchange.listen(this)
    if (bodyBytes === 0) return void this.#attempt()
    const { replayBytesMax } = ports.settings.config.limits
    const whole = bodyBytes <= replayBytesMax ? exchange.takeWholeBody() : undefined
    if (whole) {
      this.#body = keepBody(whole)
      return void this.#attempt()
    }
    if (bodyBytes > 0 && bodyBytes <= replayBytesMax) {
      // Small bodies are kept, so that a host that is full or gone does not lose them.
      this.#parts = []
      return void exchange.readBody(this)
    }
    this.#streaming = true
    this.#attempt()
  }

  // --- the client's side

  onBody(part: Buffer): boolean {
    if (this.#parts) {
      this.#parts.push(Buffer.from(part))
      return true
    }
    if (this.#tunnel && this.#isTooMuch(part.length)) return true
    return this.#current?.stream?.write(part) ?? true
  }

  onBodyEnd(trailers: FieldBlock | undefined): void {
    if (!this.#parts) return void this.#current?.stream?.end(trailers)
    this.#body = Buffer.concat(this.#parts)
    this.#parts = undefined
    this.#attempt()
  }

  onClientDrain(): void {
    if (this.#shaped) this.#shaped.clientDrained()
    else this.#current?.stream?.resumeAnswer()
  }

  onClientGone(): void {
    this.#end()
    if (this.#current) this.ports.metrics.attemptCells.gone.add()
    this.#abandonAll()
    this.#dropBody()
  }

  // --- what shaping tells

  resumeHost(): void {
    this.#current?.stream?.resumeAnswer()
  }

  shapingFailed(): void {
    this.#abandonAll()
    this.exchange.cut()
  }

  // --- what an attempt tells

  hostReady(): void {
    if (this.upgrade) return void this.exchange.resumeBody()
    if (!this.#streaming) return
    if (this.#bodyStarted) return void this.exchange.resumeBody()
    this.#bodyStarted = true
    this.exchange.readBody(this)
  }

  /** Whether an answer may still be taken back when its host dies in the middle of it. */
  mayHold(bodyBytes: number): boolean {
    const { holdBytesMax } = this.ports.settings.config.limits
    return bodyBytes >= 0 && bodyBytes <= holdBytesMax && !this.#bodyStarted && isIdempotent(this.method)
  }

  inform(attempt: ProgramAttempt, status: number, fields: FieldBlock): void {
    // With two attempts under way it is open whose hints count.
    if (attempt !== this.#current || this.#slower) return
    applyAnswerPolicy(fields, this.#sharedZone)
    this.exchange.inform(status, fields)
  }

  /** Passes the head of the answer on. Returns as `Exchange.answer` does. */
  relay(attempt: ProgramAttempt, answer: HostAnswer, part: Buffer | undefined, last: boolean): boolean {
    this.#wins(attempt)
    const { fields } = answer
    if (answer.nominates) dropNominated(fields)
    applyAnswerPolicy(fields, this.#sharedZone)
    const bodyBytes = answer.bodyBytes < 0 ? -1 : answer.bodyBytes
    const rules = this.ports.settings.compression[this.#options.compress]
    const { head } = this.exchange
    const encoding = rules && planCompression(head, answer.status, fields, bodyBytes, rules)
    answerHead.status = answer.status
    answerHead.fields = fields
    answerHead.extra = noExtra
    answerHead.bodyBytes = bodyBytes
    if (!encoding && !this.#rate) return this.exchange.answer(answerHead, part, last)
    this.#shaped = new ShapedAnswer(this.exchange, this, this.#rate, this.ports)
    return this.#shaped.answer(answerHead, part, last, encoding)
  }

  relayBody(part: Buffer): boolean {
    if (this.#tunnel && this.#isTooMuch(part.length)) return true
    if (this.#shaped) return this.#shaped.write(part)
    return this.exchange.write(part)
  }

  relayEnd(trailers: FieldBlock | undefined): void {
    if (this.#shaped) this.#shaped.end(trailers)
    else this.exchange.end(trailers)
  }

  /** Joins a WebSocket, when the host really agreed to this one (RFC 6455 §4.1). Returns what is wrong otherwise. */
  join(attempt: ProgramAttempt, fields: FieldBlock): string | undefined {
    if (fields.valueOf(Field.upgrade)?.toLowerCase() !== 'websocket') return 'a 101 to another protocol than websocket'
    const key = this.upgrade?.key ?? this.fields.valueOf(Field.secWebsocketKey) ?? ''
    const expected = createHash('sha1').update(`${key}${webSocketGuid}`).digest('base64')
    if (fields.valueOf(Field.secWebsocketAccept) !== expected) return 'a 101 with a wrong Sec-WebSocket-Accept'
    this.#wins(attempt)
    this.#tunnel = true
    if (this.#rate) this.#shaped = new ShapedAnswer(this.exchange, this, this.#rate, this.ports)
    applyAnswerPolicy(fields, this.#sharedZone)
    if (this.exchange.head.version === '2') drop(fields, Field.secWebsocketAccept)
    this.exchange.idleMs = this.#options.webSocketIdleMs
    this.exchange.upgrade(fields, [])
    this.exchange.readBody(this)
    return undefined
  }

  /** The host's part in the exchange is over, with a whole answer. */
  done(): void {
    this.#current = undefined
    this.#end()
    this.ports.metrics.attemptCells.answered.add()
  }

  /** An attempt came to nothing. */
  failed(attempt: ProgramAttempt, failed: Failed): void {
    const { metrics } = this.ports
    if (this.#relaying) {
      metrics.attemptCells.cut.add()
      this.#current = undefined
      this.exchange.cut()
      return void this.#end()
    }
    metrics.attemptCells[failed.kind === 'full' ? 'full' : 'failed'].add()
    // A connection that had died while it was idle says nothing of the host, so the same one may be asked again; but only once: when a host
    // goes away, all its connections are dead, and trying them one by one would use up the attempts.
    if (!failed.stale || this.#sawStale) this.#tried.push(attempt.lease.id)
    this.#sawStale ||= failed.stale
    if (failed.error) this.#failure = failed.error
    if (failed.fullMs !== undefined) this.#fullMs = Math.min(this.#fullMs ?? failed.fullMs, failed.fullMs)
    if (this.#leaves(attempt)) return
    if (!this.#mayGoOn(failed.kind)) return void this.#giveUp()
    metrics.retryCells[failed.kind === 'full' ? 'full' : failed.kind === 'refused' ? 'connect' : 'answer'].add()
    this.#attempt()
  }

  // --- inside

  #attempt(): void {
    const { balancer, pools, settings } = this.ports
    this.#attempts++
    const affinityKey = this.#options.affinity === 'address' ? this.#clientAddress() : undefined
    const lease = balancer.take(this.#program as ProgramHosts, { tried: this.#tried, affinityKey })
    if (!lease) return void this.#giveUp()
    const attempt = new ProgramAttempt(this, lease)
    this.#current = attempt
    const stream = pools.acquire(lease.origin, attempt, this.#needs())
    if (!stream) {
      lease.end('unknown')
      const what = `has ${settings.config.limits.connectionsPerHostMax} connections open, which is as many as may be`
      const error = new HostUnreachableError(lease.origin, what)
      return void this.failed(attempt, { kind: 'refused', error, fullMs: undefined, stale: false })
    }
    attempt.stream = stream
    const ready = stream.send(this, this.#body, !this.#streaming)
    if (ready && this.#streaming) this.hostReady()
    if (this.#options.hedge && this.method === 'GET' && this.bodyBytes === 0 && !this.upgrade) this.#planHedge()
  }

  #clientAddress(): string {
    const { remoteAddress, trusted } = this.exchange.client
    return clientAddress(remoteAddress, trusted, this.fields)
  }

  /** When the answer takes longer than nearly all others do, a second host is asked, and the first to answer wins. */
  #planHedge(): void {
    const { balancer, clock } = this.ports
    if (this.#hedgeTimer || this.#attempts > 1) return
    const afterMs = balancer.hedgeAfterMs(this.#program as ProgramHosts)
    if (afterMs === undefined) return
    this.#hedgeTimer = clock.schedule(afterMs, () => {
      this.#hedgeTimer = undefined
      const slow = this.#current
      if (!slow || this.#relaying || this.exchange.over) return
      const lease = balancer.take(this.#program as ProgramHosts, { tried: [...this.#tried, slow.lease.id] })
      if (!lease) return
      if (!balancer.budget.takeHedge()) {
        lease.end('unknown')
        // The budget is used up for now; a request that still waits may find it filled.
        return void this.#planHedge()
      }
      const attempt = new ProgramAttempt(this, lease)
      const stream = this.ports.pools.acquire(lease.origin, attempt, this.#needs())
      if (!stream) return lease.end('unknown')
      attempt.stream = stream
      this.#slower = slow
      this.#current = attempt
      this.ports.metrics.hedges.add()
      stream.send(this, undefined, true)
    })
  }

  /** What the connection to a host must have that not every one has. */
  #needs(): ConnectionNeeds | undefined {
    const { proxyProtocolOut } = this.#options
    if (proxyProtocolOut === 'off') return this.upgrade ? webSocketNeeds : undefined
    return { preface: proxyPreface(proxyProtocolOut, this.exchange.client), upgrade: this.upgrade !== undefined }
  }

  /** The attempt answers; another one that is under way is not needed any more. */
  #wins(attempt: ProgramAttempt): void {
    this.#relaying = true
    this.#dropBody()
    this.#hedgeTimer?.[Symbol.dispose]()
    const other = attempt === this.#current ? this.#slower : this.#current
    this.#current = attempt
    this.#slower = undefined
    other?.abandon()
  }

  /** An attempt is out. True when another one is still under way. */
  #leaves(attempt: ProgramAttempt): boolean {
    if (attempt === this.#slower) this.#slower = undefined
    else {
      this.#current = this.#slower
      this.#slower = undefined
    }
    return this.#current !== undefined
  }

  #mayGoOn(kind: Failed['kind']): boolean {
    return (
      !this.exchange.over &&
      mayTryAnother(this.method, { kind, bodyStarted: this.#bodyStarted }) &&
      this.#attempts < this.ports.settings.config.balance.attemptsMax &&
      this.ports.balancer.budget.takeRetry()
    )
  }

  #webSocket(fields: FieldBlock): HostRequest['upgrade'] {
    // One that came over HTTP/2 has no key; towards the host it needs one (RFC 8441 §5.1, RFC 6455 §4.1).
    const key = fields.find(Field.secWebsocketKey) < 0 ? randomBytes(16).toString('base64') : undefined
    return { key, idleMs: this.#options.webSocketIdleMs }
  }

  /** Counts bytes of a WebSocket; one that carries more than the site allows is ended. */
  #isTooMuch(bytes: number): boolean {
    const { webSocketBytesMax } = this.#options
    this.#tunnelBytes += bytes
    if (webSocketBytesMax === 0 || this.#tunnelBytes <= webSocketBytesMax) return false
    this.#abandonAll()
    this.exchange.cut()
    return true
  }

  #abandonAll(): void {
    const [current, slower] = [this.#current, this.#slower]
    this.#current = undefined
    this.#slower = undefined
    current?.abandon()
    slower?.abandon()
  }

  #end(): void {
    this.#hedgeTimer?.[Symbol.dispose]()
    if (this.exchange.over) this.#shaped?.destroy()
  }

  /** The request will not be sent again. */
  #dropBody(): void {
    if (this.#body) letGoBody(this.#body)
    this.#body = undefined
  }

  #giveUp(): void {
    const { exchange, ports } = this
    this.#dropBody()
    this.#end()
    if (exchange.over) return
    if (this.#failure) return void ports.fail(exchange, this.#failure)
    const known = this.#program?.size ?? 0
    if (known === 0) return void ports.fail(exchange, new NoHostError(this.#itemHash, 0))
    ports.fail(exchange, new HostsFullError(this.#itemHash, known, this.#fullMs ?? retryAfterDefaultMs))
  }
}

/** Whether a host name is one of the zone, the zone's own name apart. */
function isBelow(host: string, zone: string): boolean {
  return host.endsWith(zone) && host.charCodeAt(host.length - zone.length - 1) === 0x2e
}

function drop(fields: FieldBlock, code: number): void {
  const index = fields.find(code)
  if (index >= 0) fields.dropped[index] = 1
}
