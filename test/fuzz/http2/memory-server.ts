import { EventEmitter } from 'node:events'
import type { TLSSocket } from 'node:tls'
import { FakeClock } from '../../../core/clock.ts'
import { TimingWheel } from '../../../core/timing-wheel.ts'
import type { ClientConnection, Exchange, RequestSink } from '../../../gateway/forward/exchange.ts'
import { poison } from '../../../gateway/http1/message-socket.ts'
import { http2ConfigSchema } from '../../../gateway/http2/config.ts'
import { Http2Connection } from '../../../gateway/listen/http2/http2-connection.ts'
import { createHttp2Context } from '../../../gateway/listen/http2/ports.ts'
import { answerText } from '../../../gateway/listen/http2/testing/test-server.ts'
import type { ReadRequest } from '../http1/read-requests.ts'

/** A request as it was handed to whoever answers. */
export interface SeenRequest extends ReadRequest {
  id: number
}

/** What became of one connection. */
export interface Conversation {
  requests: SeenRequest[]
  /** Requests that were answered with a page: their status. */
  refused: number[]
  output: Buffer
  /** Our side ended the connection. */
  ended: boolean
  /** What was reported as a fault of ours. */
  failures: unknown[]
  /** Exchanges begun and not ended, once the connection is over. */
  left: number
  /** The connection is still there although every deadline has passed. */
  hangs: boolean
}

/** Longer than every deadline of a connection. */
const everMs = 3_600_000
/** Time passes in steps that cost a turn each. */
const tickMs = 30_000
const limits = http2ConfigSchema.parse({})
const requests = { headBytesMax: 16_384, headFieldsMax: 100, uriBytesMax: 8_192 }
const timeouts = { headMs: 12_000, keepAliveMs: 65_000, bodyIdleMs: 60_000, answerIdleMs: 600_000 }
const client: ClientConnection = {
  secure: true,
  serverName: 'app.test',
  remoteAddress: '192.0.2.1',
  remotePort: 1,
  localAddress: '192.0.2.2',
  localPort: 2,
  limitSlot: -1,
  trusted: false,
  clientVerified: false,
}

class Wire extends EventEmitter {
  ended = false
  destroyed = false
  readonly parts: Buffer[] = []

  write(bytes: Buffer, done: (error?: Error | null) => void): boolean {
    this.parts.push(Buffer.from(bytes))
    setImmediate(done)
    return true
  }

  end(): void {
    this.ended = true
  }

  destroy(): void {
    if (this.destroyed) return
    this.destroyed = true
    setImmediate(() => this.emit('close'))
  }

  pause(): void {}
  resume(): void {}
  setNoDelay(): void {}
}

/** Gives a client's bytes, in pieces, to a connection of ours without sockets. Every request is answered with a short text. */
export async function converse(pieces: readonly Buffer[]): Promise<Conversation> {
  const clock = new FakeClock()
  const wheel = new TimingWheel(clock, tickMs)
  const wire = new Wire()
  const seen: Conversation = {
    requests: [],
    refused: [],
    output: Buffer.alloc(0),
    ended: false,
    failures: [],
    left: 0,
    hangs: false,
  }
  let open = 0
  let gone = false
  const remove = (): void => {
    gone = true
  }
  const count = { add() {}, remove, begin: () => void open++, end: () => void open-- }
  const context = createHttp2Context(limits, requests, timeouts, {
    wheel,
    clock,
    connections: count,
    owner: { ended() {} },
    handle: (exchange) => answer(exchange, seen),
    refuse: (exchange, error) => {
      seen.refused.push(error.status)
      answerText(exchange, error.status, error.message)
    },
    failed: (error) => void seen.failures.push(error),
  })
  new Http2Connection(wire as unknown as TLSSocket, client, context)
  for (const piece of pieces) {
    const buffer = Buffer.from(piece)
    if (!wire.destroyed) wire.emit('data', buffer)
    buffer.fill(poison.byte)
  }
  for (let turn = 0; turn < 6; turn++) await new Promise(setImmediate)
  seen.ended = wire.ended || wire.destroyed
  seen.output = Buffer.concat(wire.parts)
  for (let ms = 0; ms < everMs && !gone; ms += tickMs) {
    await clock.advance(tickMs)
    await new Promise(setImmediate)
  }
  seen.hangs = !gone
  seen.left = open
  wire.emit('close')
  wheel[Symbol.dispose]()
  return seen
}

function answer(exchange: Exchange, seen: Conversation): void {
  const { head } = exchange
  const request: SeenRequest = {
    id: (exchange as unknown as { stream: { id: number } }).stream.id,
    method: head.upgrade ? 'CONNECT' : head.method,
    target: exchange.path,
    version: '2',
    fields: head.fields.pairs(),
    body: Buffer.alloc(0),
    trailers: [],
    complete: head.bodyBytes === 0,
  }
  seen.requests.push(request)
  const say = (): void => answerText(exchange, 200, 'ok')
  const whole = exchange.takeWholeBody()
  if (whole) Object.assign(request, { body: Buffer.from(whole), complete: true })
  if (request.complete || head.upgrade) {
    say()
    return
  }
  const parts: Buffer[] = []
  const sink: RequestSink = {
    onBody(part) {
      parts.push(Buffer.from(part))
      request.body = Buffer.concat(parts)
      return true
    },
    onBodyEnd(trailers) {
      request.complete = true
      request.trailers = trailers?.pairs() ?? []
      say()
    },
    onClientDrain() {},
    onClientGone() {},
  }
  exchange.readBody(sink)
}
