import http, { type ClientRequest, type IncomingMessage } from 'node:http'
import https from 'node:https'
import type { Socket } from 'node:net'
import type { Clock } from '../../core/clock.ts'
import type { AppError } from '../../core/errors.ts'
import type { GatewayConfig } from '../config.ts'
import { BadUpstreamAnswerError, HostTimeoutError, HostUnreachableError } from '../errors.ts'
import { trailerFields } from '../guard/header-policy.ts'
import type { ForwardJob, ForwardResult } from './forwarder.ts'

/** The head of an answer, with what is needed to go on from there. */
export interface HostAnswer {
  request: ClientRequest
  answer: IncomingMessage
  /** Set when the host switched protocols. */
  socket: Socket | undefined
  head: Buffer
  firstByteMs: number
  bodyStarted: boolean
}

/** Kept-alive connections to compute hosts, and the first half of an exchange: up to the head of the answer. */
export class HostConnections implements Disposable {
  readonly #config: GatewayConfig
  readonly #clock: Clock
  readonly #agents: { 'http:': http.Agent; 'https:': https.Agent }

  constructor(config: GatewayConfig, clock: Clock) {
    this.#config = config
    this.#clock = clock
    const options = {
      keepAlive: true,
      // The connection used last is the least likely to have been closed by the host meanwhile.
      scheduling: 'lifo',
      maxSockets: config.limits.connectionsPerHostMax,
      maxFreeSockets: 128,
      timeout: config.timeouts.hostIdleMs,
    } as const
    this.#agents = { 'http:': new http.Agent(options), 'https:': new https.Agent(options) }
  }

  open(target: Pick<ForwardJob, 'origin' | 'method' | 'path'>, headers: readonly string[]): ClientRequest {
    const url = new URL(target.origin)
    const protocol = url.protocol === 'https:' ? 'https:' : 'http:'
    const request = (protocol === 'https:' ? https : http).request({
      protocol,
      hostname: url.hostname.replace(/^\[|\]$/g, ''),
      port: url.port === '' ? (protocol === 'https:' ? 443 : 80) : Number(url.port),
      method: target.method,
      path: target.path,
      headers,
      setHost: false,
      agent: this.#agents[protocol],
      maxHeaderSize: this.#config.limits.upstreamHeadBytesMax,
      insecureHTTPParser: false,
    })
    // Node would drop surplus fields silently; none are dropped here, and the count is checked with the head.
    request.maxHeadersCount = 0
    return request
  }

  /**
   * Sends a request. Resolves with the head of the answer, or with how it failed; from then on the caller owns the exchange.
   * The deadlines: `connectMs` for the connection, `firstByteMs` from the end of the request to the head.
   */
  attempt(job: ForwardJob, fields: readonly string[]): Promise<HostAnswer | ForwardResult> {
    return new Promise((resolve) => {
      const { connectMs, firstByteMs } = this.#config.timeouts
      const startedMs = this.#clock.monotonicMs()
      const request = this.open(job, fields)
      let connected = false
      let bodyStarted = false
      let timer: Disposable | undefined
      const deadline = (ms: number, what: string): void => {
        timer?.[Symbol.dispose]()
        timer = this.#clock.schedule(ms, () => request.destroy(new HostTimeoutError(job.origin, what, ms)))
      }
      const settle = (result: HostAnswer | ForwardResult): void => {
        timer?.[Symbol.dispose]()
        job.client.response.off('close', onClientClose)
        resolve(result)
      }
      const onClientClose = (): void => {
        request.destroy()
        settle({ kind: 'gone' })
      }
      const onHead = (answer: IncomingMessage, socket?: Socket, head: Buffer = Buffer.alloc(0)): void => {
        settle({ request, answer, socket, head, firstByteMs: this.#clock.monotonicMs() - startedMs, bodyStarted })
      }
      job.client.response.once('close', onClientClose)
      deadline(connectMs, 'accept the connection')
      request.on('response', (answer) => onHead(answer))
      request.on('upgrade', onHead)
      request.on('information', (info) => relayEarlyHints(job, info.statusCode, info.rawHeaders))
      request.on('error', (error) => {
        const stale = request.reusedSocket && (error as NodeJS.ErrnoException).code === 'ECONNRESET'
        settle({ kind: 'failed', ...blame(job.origin, error, connected), stale, bodyStarted })
      })
      request.once('finish', () => deadline(firstByteMs, 'begin its answer'))
      whenConnected(request, () => {
        connected = true
        timer?.[Symbol.dispose]()
        bodyStarted = job.body.kind === 'stream'
        sendBody(job, request)
      })
    })
  }

  [Symbol.dispose](): void {
    this.#agents['http:'].destroy()
    this.#agents['https:'].destroy()
  }
}

function whenConnected(request: ClientRequest, run: () => void): void {
  request.once('socket', (socket) => {
    if (socket.connecting) socket.once(request.protocol === 'https:' ? 'secureConnect' : 'connect', run)
    else run()
  })
}

/** Nothing is sent before the connection stands: until then the request may still go to another host, whatever its method. */
function sendBody(job: ForwardJob, request: ClientRequest): void {
  if (job.body.kind === 'none') return void request.end()
  if (job.body.kind === 'bytes') return void request.end(job.body.bytes)
  const chunked = job.body.bytes === undefined
  const source = job.client.request
  source.pipe(request, { end: false })
  source.once('end', () => {
    const trailers = trailerFields(source.rawTrailers)
    if (trailers.length > 0 && chunked) request.addTrailers(trailers)
    request.end()
  })
  source.once('error', () => request.destroy())
  request.once('close', () => {
    source.unpipe(request)
    // What the client still sends has no reader any more; it must flow, or its connection never ends.
    source.resume()
  })
}

/** Passes the Link fields of a 103 on (RFC 8297): nothing else has a use before the final head. */
function relayEarlyHints(job: ForwardJob, status: number, fields: readonly string[]): void {
  const { response, request } = job.client
  if (status !== 103 || response.headersSent || request.httpVersion !== '1.1') return
  const link = fields.filter((_, i) => i % 2 === 1 && fields[i - 1]?.toLowerCase() === 'link')
  try {
    if (link.length > 0) response.writeEarlyHints({ link })
  } catch {
    // A Link that Node finds malformed is no loss: the final answer carries it again.
  }
}

/** Sorts out whose fault an error before the answer was. `refused`: the host has seen nothing of the request. */
function blame(origin: string, error: Error, connected: boolean): { error: AppError; refused: boolean } {
  const refused = !connected
  if (error instanceof HostTimeoutError) return { error, refused }
  const code = (error as NodeJS.ErrnoException).code ?? error.message
  if (code.startsWith('HPE_')) return { error: new BadUpstreamAnswerError(origin, code, { cause: error }), refused }
  const what = connected ? 'closed the connection before it answered' : `cannot be reached (${code})`
  return { error: new HostUnreachableError(origin, what, { cause: error }), refused }
}
