import http, { type IncomingMessage, type ServerOptions, type ServerResponse } from 'node:http'
import https from 'node:https'
import type { Server as NetServer, Socket } from 'node:net'
import type { SecureContext, TLSSocket } from 'node:tls'
import { AppError, describeError } from '../../core/errors.ts'
import type { Log } from '../../core/log.ts'
import type { Random } from '../../core/random.ts'
import type { GatewayConfig } from '../config.ts'
import { errorPage } from '../error-page.ts'
import { BadRequestError, HeadersTooLargeError, RequestTimeoutError } from '../errors.ts'
import { parseHost } from '../guard/host-name.ts'
import type { GatewayMetrics } from '../metrics.ts'
import { ciphers, SiteContexts, type SiteContextsPorts } from './site-contexts.ts'
import { alertFor, sendAlert } from './tls-alert.ts'

/** What a listener hands over. Neither callback may throw. */
export interface Handlers {
  request(request: IncomingMessage, response: ServerResponse): void
  upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void
}

export interface ServersPorts extends SiteContextsPorts {
  log: Log
  random: Random
  metrics: GatewayMetrics
}

const challengeProtocol = 'acme-tls/1'
/** Equal in all contexts and processes; its default would differ and tickets would not resume. */
const sessionIdContext = 'lastmile-gateway'
const ticketKeyBytes = 48
const ticketKeysMs = 12 * 3_600_000

/** The plain HTTP listener. */
export function createPlainServer(config: GatewayConfig, handlers: Handlers, metrics: GatewayMetrics): http.Server {
  return prepare(http.createServer(serverOptions(config)), config, handlers, metrics)
}

/**
 * The HTTPS listener: TLS 1.2 and 1.3, a context per certificate chosen by SNI, no default certificate. Also answers TLS-ALPN-01
 * challenges. Disposing the second value ends the rotation of ticket keys.
 */
export function createTlsServer(
  config: GatewayConfig,
  handlers: Handlers,
  ports: ServersPorts,
): { server: https.Server; rotation: Disposable } {
  const ticketKeys = (): Buffer => Buffer.from(ports.random.bytes(ticketKeyBytes))
  const shared = {
    ciphers,
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.3',
    sessionIdContext,
    ticketKeys: ticketKeys(),
  } as const
  const contexts = new SiteContexts(config, ports, shared)
  const rawSockets = new Map<string, Socket>()
  const challenged = new WeakSet<TLSSocket>()
  const server = https.createServer({
    ...serverOptions(config),
    ...shared,
    honorCipherOrder: true,
    handshakeTimeout: config.timeouts.certificateWaitMs + config.timeouts.headMs,
    // Both callbacks are called with the TLSSocket as `this`. In TLS 1.3 ALPN comes first, in TLS 1.2 SNI does.
    ALPNCallback(this: TLSSocket, { protocols }: { protocols: string[] }) {
      if (protocols.includes(challengeProtocol)) {
        challenged.add(this)
        return challengeProtocol
      }
      return protocols.includes('http/1.1') ? 'http/1.1' : undefined
    },
    SNICallback(this: TLSSocket, name: string, done: (error: Error | null, context?: SecureContext) => void) {
      selectContext(this, name).then(
        (context) => done(null, context),
        (error: unknown) => {
          const raw = rawSockets.get(peerKey(this))
          if (raw) sendAlert(raw, alertFor(error))
          logFailure(name, error)
          done(error instanceof Error ? error : new Error('no certificate'))
        },
      )
    },
  } as https.ServerOptions)

  // An async function: whatever a hostile name makes it throw becomes a rejection, never an exception inside a TLS callback.
  async function selectContext(socket: TLSSocket, name: string): Promise<SecureContext> {
    const host = parseHost(name)
    if (host?.kind !== 'name') throw new BadRequestError('The server name is not a valid host name.')
    const early = socket.getProtocol() === 'TLSv1.2'
    if (challenged.has(socket)) {
      const context = contexts.challenge(host.name)
      if (!context) throw new BadRequestError('There is no challenge for this name.')
      return context
    }
    // TLS 1.2 has not told its ALPN yet. With a challenge open and no certificate there, the caller is most likely the CA.
    const challenge = early && !ports.certificates.find(host.name) ? contexts.challenge(host.name) : undefined
    return challenge ?? contexts.find(host.name)
  }

  function logFailure(name: string, error: unknown): void {
    // The caller's fault is every day's scanner; what we or the CA did wrong is worth a line. The name is public, the requester is not told.
    if (error instanceof AppError && error.fault === 'caller') return
    ports.log.warn(`no certificate for a handshake: ${describeError(error)}`, { name })
  }

  server.on('connection', (raw: Socket) => {
    const key = peerKey(raw)
    rawSockets.set(key, raw)
    raw.once('close', () => rawSockets.delete(key))
  })
  server.on('tlsClientError', () => ports.metrics.handshakes.add({ kind: 'failed' }))
  server.prependListener('secureConnection', (socket: TLSSocket) => {
    const kind = socket.alpnProtocol === challengeProtocol ? 'challenge' : socket.isSessionReused() ? 'resumed' : 'full'
    ports.metrics.handshakes.add({ kind })
    if (kind === 'challenge') socket.end()
  })
  // Old tickets then cost their holders one full handshake; what was recorded cannot be opened with tomorrow's keys.
  let timer = ports.clock.schedule(ticketKeysMs, rotate)
  function rotate(): void {
    server.setTicketKeys(ticketKeys())
    timer = ports.clock.schedule(ticketKeysMs, rotate)
  }
  return {
    server: prepare(server, config, handlers, ports.metrics),
    rotation: { [Symbol.dispose]: () => timer[Symbol.dispose]() },
  }
}

function serverOptions(
  config: GatewayConfig,
): ServerOptions & { shouldUpgradeCallback(request: IncomingMessage): boolean } {
  const { headBytesMax, uriBytesMax } = config.limits
  return {
    // Room for our own checks, which tell 414 from 431; the parser's limit is the backstop.
    maxHeaderSize: headBytesMax + 2 * uriBytesMax,
    headersTimeout: config.timeouts.headMs,
    // Bodies have an idle limit instead of a total: a large upload over a slow line is no attack.
    requestTimeout: 0,
    keepAliveTimeout: config.timeouts.keepAliveMs,
    connectionsCheckingInterval: Math.max(50, Math.min(1_000, config.timeouts.headMs / 4)),
    insecureHTTPParser: false,
    // Our own check answers with a page that says what is wrong.
    requireHostHeader: false,
    keepAlive: true,
    noDelay: true,
    shouldUpgradeCallback: ({ method, headers }) =>
      method === 'GET' && headers.upgrade?.trim().toLowerCase() === 'websocket',
  }
}

function prepare<Server extends http.Server | https.Server>(
  server: Server,
  config: GatewayConfig,
  handlers: Handlers,
  metrics: GatewayMetrics,
): Server {
  // 0: Node drops nothing silently; the guard counts.
  server.maxHeadersCount = 0
  ;(server as NetServer).maxConnections = config.limits.connectionsMax
  /** Requests being answered per connection: with pipelining there may be several. */
  const busy = new WeakMap<object, number>()
  const count = (socket: object, change: number): void => void busy.set(socket, (busy.get(socket) ?? 0) + change)
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const { socket } = request
    count(socket, 1)
    response.once('close', () => count(socket, -1))
    handlers.request(request, response)
  })
  server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) =>
    handlers.upgrade(request, socket, head),
  )
  server.on('connect', (_request: IncomingMessage, socket: Socket) =>
    refuse(socket, new BadRequestError('CONNECT is not offered here.')),
  )
  server.on('clientError', (error: Error & { code?: string }, socket: Socket) => {
    // In the middle of an exchange a second answer would be taken for part of the first: only a cut is clear.
    if (!socket.writable || (busy.get(socket) ?? 0) > 0 || error.code === 'ECONNRESET') return void socket.destroy()
    refuse(socket, parserError(error.code))
    metrics.requests.add({ class: '4xx', fault: 'caller' })
  })
  return server
}

function parserError(code: string | undefined): AppError {
  if (code === 'HPE_HEADER_OVERFLOW') return new HeadersTooLargeError('The request head is too large.')
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return new RequestTimeoutError()
  return new BadRequestError('The request is not valid HTTP/1.1.')
}

function refuse(socket: Socket, error: AppError): void {
  const page = errorPage(error, { accept: undefined })
  const lines = [`HTTP/1.1 ${page.status} ${http.STATUS_CODES[page.status]}`]
  for (let i = 0; i + 1 < page.fields.length; i += 2) lines.push(`${page.fields[i]}: ${page.fields[i + 1]}`)
  lines.push(`Content-Length: ${Buffer.byteLength(page.body)}`, 'Connection: close')
  socket.end(`${lines.join('\r\n')}\r\n\r\n${page.body}`)
  socket.destroySoon()
}

/** Tells connections of one listener apart; kept in memory only while they last. */
function peerKey(socket: { remoteAddress?: string | undefined; remotePort?: number | undefined }): string {
  return `${socket.remoteAddress} ${socket.remotePort}`
}
