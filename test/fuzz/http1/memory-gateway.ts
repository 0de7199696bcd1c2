import { FakeClock } from '../../../core/clock.ts'
import { TimingWheel } from '../../../core/timing-wheel.ts'
import { gatewayConfigSchema } from '../../../gateway/config.ts'
import { errorPage } from '../../../gateway/error-page.ts'
import type { ClientConnection, Exchange, RequestSink } from '../../../gateway/forward/exchange.ts'
import { applyAnswerPolicy } from '../../../gateway/guard/answer-policy.ts'
import { dropNominated } from '../../../gateway/http1/connection-options.ts'
import { blockOf, type FieldBlock } from '../../../gateway/http1/field-block.ts'
import { dropToHost } from '../../../gateway/http1/known-fields.ts'
import { poison } from '../../../gateway/http1/message-socket.ts'
import { Connections } from '../../../gateway/listen/connections.ts'
import { Http1Connection } from '../../../gateway/listen/http1/http1-connection.ts'
import { type ListenContext, settingsOf } from '../../../gateway/listen/listen-context.ts'
import { HostConnection } from '../../../gateway/upstream/host-connection.ts'
import type { HostPool } from '../../../gateway/upstream/host-pool.ts'
import type { AnswerSink, HostAnswer, HostFailure, HostRequest } from '../../../gateway/upstream/host-stream.ts'
import { FakeSocket } from './fake-socket.ts'

const settings = settingsOf(gatewayConfigSchema.parse({ zone: 'zone.test' }))
const clock = new FakeClock()
const wheel = new TimingWheel(clock)
export const pathPrefix = '/vm/hash'
export const extraLines = 'Via: 1.1 zone.test\r\nCDN-Loop: zone.test\r\n'

const client: ClientConnection = {
  secure: false,
  serverName: undefined,
  remoteAddress: '192.0.2.1',
  remotePort: 1,
  localAddress: '192.0.2.2',
  localPort: 2,
  limitSlot: -1,
  trusted: false,
  clientVerified: false,
}

/** What was seen of one connection of a client. */
export interface Passage {
  /** One line for each request that reached whoever answers: everything that was known of it, body included. */
  requests: string[]
  /** What went to the host for each request, in the same order. */
  upstream: Buffer[]
  /** What the client got. */
  downstream: Buffer
  /** What became of the client's connection after what was written; `reset` shows as an error. */
  closed: 'no' | 'closed' | 'reset'
}

/**
 * Sends a client's bytes, cut into pieces, through our listener and our host connection, without sockets, and answers every request with the
 * same bytes, cut likewise. Everything happens within the call.
 * @param answerEnds - the host closes its connection after its bytes
 */
export function pass(pieces: readonly Buffer[], answer: readonly Buffer[], answerEnds = false): Passage {
  const passage: Passage = { requests: [], upstream: [], downstream: Buffer.alloc(0), closed: 'no' }
  const context: ListenContext = {
    settings,
    clock,
    wheel,
    owner: { ended() {} },
    connections: new Connections(clock, { set() {} }),
    handle: (exchange) => new Relay(exchange, answer, answerEnds, passage).begin(),
    refuse: (error) => errorPage(error, { accept: undefined }),
  }
  const fake = new FakeSocket()
  const connection = new Http1Connection(fake.socket, client, context)
  for (const piece of pieces) {
    // As a socket does: a buffer that is read into again.
    const buffer = Buffer.from(piece)
    if (!fake.destroyed) connection.onData(buffer, 0, buffer.length)
    buffer.fill(poison.byte)
  }
  passage.downstream = fake.written
  passage.closed = fake.reset ? 'reset' : fake.destroyed || fake.ended ? 'closed' : 'no'
  connection.destroy()
  return passage
}

/** Joins one exchange with one host, as the gateway does for programs, but without a choice of hosts. */
class Relay implements RequestSink, AnswerSink {
  readonly #exchange: Exchange
  readonly #answer: readonly Buffer[]
  readonly #answerEnds: boolean
  readonly #passage: Passage
  readonly #index: number
  readonly #fake = new FakeSocket()
  readonly #host: HostConnection
  readonly #shown: string
  #body = ''
  #requestEnded = false
  #over = false

  constructor(exchange: Exchange, answer: readonly Buffer[], answerEnds: boolean, passage: Passage) {
    this.#exchange = exchange
    this.#answer = answer
    this.#answerEnds = answerEnds
    this.#passage = passage
    this.#index = passage.requests.length
    const { method, host, bodyBytes, upgrade, version, fields } = exchange.head
    this.#shown = JSON.stringify([method, exchange.path, host, version, bodyBytes, upgrade, fields.pairs()])
    passage.requests.push(this.#shown)
    passage.upstream.push(Buffer.alloc(0))
    this.#host = new HostConnection(
      this.#fake.socket,
      poolOf(() => {}),
      false,
    )
    this.#host.onConnected()
  }

  begin(): void {
    const { head } = this.#exchange
    const { fields, bodyBytes } = head
    fields.dropBy(dropToHost)
    if (head.nominates) dropNominated(fields)
    const request: HostRequest = {
      method: head.method,
      pathPrefix: Buffer.from(pathPrefix),
      pathStart: head.pathStart,
      pathEnd: head.pathEnd,
      host: head.host,
      fields,
      extraLines: Buffer.from(extraLines),
      bodyBytes,
      upgrade: head.upgrade ? { key: undefined, idleMs: 1_000 } : undefined,
    }
    this.#host.take(this)
    const whole = bodyBytes > 0 ? this.#exchange.takeWholeBody() : undefined
    this.#host.send(request, whole, bodyBytes === 0 || whole !== undefined)
    if (whole) this.#body = whole.toString('latin1')
    if (bodyBytes === 0 || whole) {
      this.#exchange.listen(this)
      this.#ended(undefined)
    } else this.#exchange.readBody(this)
  }

  onBody(part: Buffer): boolean {
    this.#body += part.toString('latin1')
    this.#host.write(part)
    this.#note()
    return true
  }

  onBodyEnd(trailers: FieldBlock | undefined): void {
    this.#host.end(trailers)
    this.#ended(trailers)
  }

  onClientDrain(): void {
    this.#host.resumeAnswer()
  }

  onClientGone(): void {
    this.#note()
    this.#host.cancel()
    this.#over = true
  }

  onInformational(status: number, fields: FieldBlock): void {
    applyAnswerPolicy(fields, undefined)
    this.#exchange.inform(status, fields)
  }

  onAnswer(answer: HostAnswer, part: Buffer | undefined, last: boolean): boolean {
    if (answer.nominates) dropNominated(answer.fields)
    applyAnswerPolicy(answer.fields, undefined)
    const { status, fields } = answer
    const bodyBytes = answer.bodyBytes < 0 ? -1 : answer.bodyBytes
    if (last) this.#over = true
    return this.#exchange.answer({ status, fields, extra: [], bodyBytes }, part, last)
  }

  onSwitched(fields: FieldBlock): void {
    applyAnswerPolicy(fields, undefined)
    this.#exchange.upgrade(fields, [])
  }

  onAnswerBody(part: Buffer): boolean {
    return this.#exchange.write(part)
  }

  onAnswerEnd(trailers: FieldBlock | undefined): void {
    this.#over = true
    this.#exchange.end(trailers)
  }

  onHostDrain(): void {}

  onHostFailed(failure: HostFailure): void {
    this.#over = true
    if (this.#exchange.answered) this.#exchange.cut()
    else this.#sayFailed(failure)
  }

  #sayFailed(failure: HostFailure): void {
    const text = Buffer.from(failure.kind)
    const fields = blockOf(['X-Failed', failure.kind])
    this.#exchange.answer({ status: 502, fields, extra: [], bodyBytes: text.length }, text, true)
  }

  #note(): void {
    this.#passage.requests[this.#index] =
      `${this.#shown} ${JSON.stringify(this.#body)}${this.#requestEnded ? ' end' : ''}`
    this.#passage.upstream[this.#index] = this.#fake.written
  }

  #ended(trailers: FieldBlock | undefined): void {
    this.#requestEnded = true
    this.#note()
    if (trailers) this.#passage.requests[this.#index] += JSON.stringify(trailers.pairs())
    for (const piece of this.#answer) {
      // As a socket does: a buffer of its own, of which nobody may keep anything once it counts as free.
      const buffer = Buffer.from(piece)
      if (!this.#fake.destroyed && this.#host.onBytes(buffer, 0, buffer.length)) buffer.fill(poison.byte)
    }
    if (this.#answerEnds && !this.#over) this.#host.onEnd()
    if (!this.#over) this.#host.cancel()
    this.#host.destroy()
  }
}

function poolOf(gone: () => void): HostPool {
  const { timeouts, limits } = settings.config
  const pool = { wheel, timeouts, headBytesMax: limits.upstreamHeadBytesMax, gone, putBack() {} }
  return pool as unknown as HostPool
}
