import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createServer, type TLSSocket } from 'node:tls'
import { FakeClock } from '../../../../core/clock.ts'
import type { AppError } from '../../../../core/errors.ts'
import { TimingWheel } from '../../../../core/timing-wheel.ts'
import type { AnswerHead, ClientConnection, Exchange, RequestSink } from '../../../forward/exchange.ts'
import { blockOf, type FieldBlock, releaseBlock } from '../../../http1/field-block.ts'
import { type Http2Config, http2ConfigSchema } from '../../../http2/config.ts'
import { selfSigned } from '../../../testing/self-signed.ts'
import type { OpenConnection } from '../../connections.ts'
import { Http2Connection } from '../http2-connection.ts'
import { createHttp2Context, type Http2Timeouts, type RequestLimits } from '../ports.ts'

const certificate = selfSigned(['localhost', 'app.test', 'other.test'])

/** A TLS listener that speaks HTTP/2 only and gives every exchange to `handle`. Time stands still until `clock` moves it. */
export interface TestServer extends AsyncDisposable {
  readonly port: number
  readonly clock: FakeClock
  readonly connections: Set<Http2Connection>
  /** Sockets of the connections, in the order they came. */
  readonly sockets: TLSSocket[]
  /** Exchanges whose end was told. */
  readonly ended: Exchange[]
  /** Exchanges under way by count of begin and end. */
  open: number
  /** What was reported as failed. */
  readonly failures: unknown[]
}

export interface TestServerOptions {
  limits?: Partial<Http2Config>
  requests?: Partial<RequestLimits>
  timeouts?: Partial<Http2Timeouts>
  handle(exchange: Exchange): void
  refuse?(exchange: Exchange, error: AppError): void
}

export async function startHttp2Server(options: TestServerOptions): Promise<TestServer> {
  const clock = new FakeClock()
  const wheel = new TimingWheel(clock)
  const connections = new Set<Http2Connection>()
  const [ended, failures, sockets]: [Exchange[], unknown[], TLSSocket[]] = [[], [], []]
  const counts = {
    add: (connection: OpenConnection) => void connections.add(connection as Http2Connection),
    remove: (connection: OpenConnection) => void connections.delete(connection as Http2Connection),
    begin: () => void test.open++,
    end: () => void test.open--,
  }
  const context = createHttp2Context(
    http2ConfigSchema.parse({ ...options.limits }),
    { headBytesMax: 16_384, headFieldsMax: 100, uriBytesMax: 8_192, ...options.requests },
    { headMs: 12_000, keepAliveMs: 65_000, bodyIdleMs: 60_000, answerIdleMs: 600_000, ...options.timeouts },
    {
      wheel,
      clock,
      connections: counts,
      owner: { ended: (exchange) => void ended.push(exchange) },
      handle: options.handle,
      refuse: options.refuse ?? ((exchange, error) => answerText(exchange, error.status, error.message)),
      failed: (error) => void failures.push(error),
    },
  )
  const server = createServer({
    cert: certificate.certificatePem,
    key: certificate.keyPem,
    ALPNProtocols: ['h2'],
    noDelay: true,
  })
  server.on('secureConnection', (socket) => {
    sockets.push(socket)
    new Http2Connection(socket, client, context)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const test: TestServer = {
    port: (server.address() as AddressInfo).port,
    clock,
    connections,
    sockets,
    ended,
    open: 0,
    failures,
    async [Symbol.asyncDispose]() {
      wheel[Symbol.dispose]()
      for (const connection of [...connections]) connection.destroy()
      server.close()
      await once(server, 'close')
    },
  }
  return test
}

const client: ClientConnection = {
  secure: true,
  serverName: 'app.test',
  remoteAddress: '127.0.0.1',
  remotePort: 1,
  localAddress: '127.0.0.1',
  localPort: 1,
  limitSlot: -1,
  trusted: false,
  clientVerified: false,
}

/** Answers with a whole text. */
export function answerText(exchange: Exchange, status: number, text: string, fields: readonly string[] = []): void {
  answerWith(exchange, status, fields, Buffer.from(text), true)
}

/** Begins or sends an answer; `bodyBytes` is that of a whole body, or unknown. */
export function answerWith(
  exchange: Exchange,
  status: number,
  pairs: readonly string[],
  body: Buffer | undefined,
  last: boolean,
): boolean {
  const fields = blockOf(pairs)
  const head: AnswerHead = { status, fields, extra: [], bodyBytes: last ? (body?.length ?? 0) : -1 }
  const free = exchange.answer(head, body, last)
  releaseBlock(fields)
  return free
}

/** A sink made of what a test wants to hear; takes everything by default. */
export function sink(parts: Partial<RequestSink> = {}): RequestSink {
  return { onBody: () => true, onBodyEnd() {}, onClientDrain() {}, onClientGone() {}, ...parts }
}

/** Answers with the request's body, and its trailers, as they come, at the client's pace. */
export function echo(exchange: Exchange): void {
  let begun = false
  if (exchange.bodyEnded) {
    answerText(exchange, 200, '')
    return
  }
  exchange.readBody(
    sink({
      onBody(part) {
        const free = begun ? exchange.write(part) : answerWith(exchange, 200, ['Content-Type', 'x/echo'], part, false)
        begun = true
        return free
      },
      onBodyEnd(trailers: FieldBlock | undefined) {
        if (!begun) answerWith(exchange, 200, ['Content-Type', 'x/echo'], undefined, false)
        exchange.end(trailers)
      },
      onClientDrain: () => exchange.resumeBody(),
    }),
  )
}
