import type { IncomingMessage } from 'node:http'
import { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { Clock } from '../../core/clock.ts'
import { AppError, describeError, toProblem } from '../../core/errors.ts'
import type { Log } from '../../core/log.ts'
import type { Balancer } from '../balance/balancer.ts'
import type { GatewayConfig } from '../config.ts'
import { errorPage, sendPage } from '../error-page.ts'
import { BadRequestError, MisdirectedError, PageNotFoundError } from '../errors.ts'
import type { ClientSide, Forwarder } from '../forward/forwarder.ts'
import { checkRequest, type RequestHead } from '../guard/check-request.ts'
import type { Drain } from '../listen/drain.ts'
import type { Handlers } from '../listen/servers.ts'
import type { GatewayMetrics } from '../metrics.ts'
import { reportUrl, type ZonePages } from '../pages/zone-pages.ts'
import type { CertificateSource, Resolution } from '../ports.ts'
import type { Routes, Site } from '../route/routes.ts'
import { serveStatic } from '../static/serve-static.ts'
import type { VerifiedBlocks } from '../static/verified-blocks.ts'
import { serveProgram } from './serve-program.ts'

export interface AnswerPorts {
  config: GatewayConfig
  certificates: CertificateSource
  routes: Routes
  balancer: Balancer
  forwarder: Forwarder
  blocks: VerifiedBlocks
  pages: ZonePages
  drain: Drain
  clock: Clock
  log: Log
  metrics: GatewayMetrics
  /** The port in redirects and links; known once the HTTPS listener is bound. */
  publicHttpsPort(): number
}

type Upgrade = { socket: Socket; head: Buffer }
type Serve = (head: RequestHead, client: ClientSide, upgrade?: Upgrade) => Promise<void>

/** The handlers of both listeners: plain HTTP (redirects, challenges, error pages) and HTTPS (the sites). */
export function answerRequests(ports: AnswerPorts): { plain: Handlers; secure: Handlers } {
  return { plain: handlers(servePlain(ports), ports), secure: handlers(serveSecure(ports), ports) }
}

function handlers(serve: Serve, ports: AnswerPorts): Handlers {
  return {
    request: (request, response) => void exchange(serve, { request, response }, ports),
    upgrade: (request, socket, head) => {
      const response = new ServerResponse(request)
      response.shouldKeepAlive = false
      response.assignSocket(socket)
      // Node no longer looks after this socket: the answer, if it is no 101, ends it.
      response.once('finish', () => socket.destroySoon())
      socket.on('error', () => socket.destroy())
      void exchange(serve, { request, response }, ports, { socket, head })
    },
  }
}

/** One exchange from head to end. Every error of the gateway meets here: one page, one metric, at most one line in the log. */
async function exchange(serve: Serve, client: ClientSide, ports: AnswerPorts, upgrade?: Upgrade): Promise<void> {
  const { config, clock, drain, metrics } = ports
  const { request, response } = client
  const startedMs = clock.monotonicMs()
  let fault = 'none'
  drain.begin()
  metrics.inFlight.set(drain.open)
  watchSilence(client, config)
  if (drain.draining) response.shouldKeepAlive = false
  try {
    const raw = {
      method: request.method ?? '',
      target: request.url ?? '',
      version: request.httpVersion,
      fields: request.rawHeaders,
    }
    const head = checkRequest(raw, config.limits)
    if (upgrade && head.body.kind !== 'none') throw new BadRequestError('A request to upgrade has no body.')
    await serve(head, client, upgrade)
    if (!upgrade || !response.socket?.destroyed) await ended(response, upgrade?.socket)
  } catch (error) {
    fault = toProblem(error).fault
    failed(error, client, ports)
  }
  const status = upgrade && !response.headersSent ? '1xx' : `${Math.floor(response.statusCode / 100)}xx`
  const cut = !upgrade && !response.writableFinished && response.headersSent && response.destroyed
  metrics.requests.add({ class: cut ? 'cut' : status, fault })
  metrics.requestSeconds.observe((clock.monotonicMs() - startedMs) / 1_000)
  drain.end()
  metrics.inFlight.set(drain.open)
}

function ended(response: ServerResponse, socket: Socket | undefined): Promise<void> {
  if (response.destroyed || response.writableFinished || (socket?.destroyed ?? false)) return Promise.resolve()
  if (socket && !response.headersSent) return Promise.resolve()
  return new Promise((resolve) => void response.once('close', resolve))
}

/** Sends the error's page, or cuts the connection when an answer has begun already. */
function failed(error: unknown, { request, response }: ClientSide, ports: AnswerPorts): void {
  if (!(error instanceof AppError)) ports.log.error(`a request failed unexpectedly: ${describeError(error)}`)
  if (response.headersSent || response.destroyed) return void response.destroy()
  const page = errorPage(error, { accept: request.headers.accept, ...reportFor(request, error, ports) })
  sendPage(response, page, !request.complete || ports.drain.draining)
  // What is left of the body is read and thrown away, so that the client gets to see the page.
  request.resume()
}

function reportFor(request: IncomingMessage, error: unknown, ports: AnswerPorts): { reportUrl?: string } {
  const about = error instanceof AppError && Array.isArray(error.details) && error.details.length > 0
  const host = request.headers.host?.replace(/:\d*$/, '').toLowerCase()
  return about && host ? { reportUrl: reportUrl(ports.config.zone, ports.publicHttpsPort(), host) } : {}
}

/** A request body may pause for `bodyIdleMs`; afterwards the answer may be silent for `answerIdleMs`. */
function watchSilence({ request, response }: ClientSide, { timeouts }: GatewayConfig): void {
  const { socket } = request
  socket.setTimeout(request.complete ? timeouts.answerIdleMs : timeouts.bodyIdleMs)
  request.once('end', () => socket.setTimeout(timeouts.answerIdleMs))
  response.once('close', () => socket.setTimeout(timeouts.keepAliveMs))
}

function servePlain(ports: AnswerPorts): Serve {
  const challenge = /^\/\.well-known\/acme-challenge\/([A-Za-z0-9_-]{1,256})$/
  return async (head, { response }) => {
    const token = challenge.exec(head.path)?.[1]
    if (token !== undefined) {
      const body = ports.certificates.httpChallenge(head.host, token)
      if (body === undefined)
        throw new PageNotFoundError('There is no such challenge.', 'The order that asked for it may have ended.')
      return void response
        .writeHead(200, { 'Content-Type': 'application/octet-stream', 'Content-Length': Buffer.byteLength(body) })
        .end(body)
    }
    // A name that leads nowhere throws here: it has no certificate, so plain HTTP is where its owner sees why.
    if (head.host !== ports.config.zone) await ports.routes.match(head.host)
    const refusal = refusalOf(head.host, ports.certificates)
    if (refusal) throw refusal
    const port = ports.publicHttpsPort()
    const location = `https://${head.host}${port === 443 ? '' : `:${port}`}${head.path === '*' ? '/' : head.path}`
    response.writeHead(308, { Location: location, 'Content-Length': '0' }).end()
  }
}

/** Why the name has no certificate, if that is known. A source that fails itself must not take the redirect away. */
function refusalOf(host: string, certificates: CertificateSource): AppError | undefined {
  try {
    return certificates.find(host) ? undefined : certificates.refusal?.(host)
  } catch {
    return undefined
  }
}

function serveSecure(ports: AnswerPorts): Serve {
  const { config, routes, pages } = ports
  return async (head, client, upgrade) => {
    const { response, request } = client
    if (head.host === config.zone) {
      await checkServerName(request.socket as TLSSocket, head.host, undefined, routes)
      const page = await pages.answer(head, request.headers.accept)
      return sendPage(response, head.method === 'HEAD' ? { ...page, body: '' } : page, false)
    }
    const site = await routes.match(head.host)
    await checkServerName(request.socket as TLSSocket, head.host, site, routes)
    const { resolution } = site
    const { target } = resolution
    switch (target.kind) {
      case 'program':
        return serveProgram({ itemHash: target.itemHash, head, client, ...(upgrade ? { upgrade } : {}) }, ports)
      case 'static':
        return serveStatic(
          { head, client, site: resolution as Resolution & { target: typeof target } },
          ports.blocks,
          config.static,
        )
      case 'redirect':
        return void response.writeHead(target.status, { Location: target.location, 'Content-Length': '0' }).end()
    }
  }
}

/**
 * A connection made for one site must not carry requests for another (421), or a certificate would vouch for content it was not shown for.
 * Two names of one target may share a connection.
 */
async function checkServerName(socket: TLSSocket, host: string, site: Site | undefined, routes: Routes): Promise<void> {
  const name: unknown = (socket as { servername?: unknown }).servername
  // Node does not know the server name of a resumed TLS 1.2 session; OpenSSL has resumed it for its own name only.
  if (typeof name !== 'string') return
  const server = name.toLowerCase().replace(/\.$/, '')
  if (server === host) return
  const other = site && (await routes.match(server).catch(() => undefined))
  if (site && other && JSON.stringify(other.resolution.target) === JSON.stringify(site.resolution.target)) return
  throw new MisdirectedError(`This connection was made for "${server}", the request is for "${host}".`)
}
