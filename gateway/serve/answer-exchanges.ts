import type { Clock } from '../../core/clock.ts'
import { AppError, describeError, toProblem } from '../../core/errors.ts'
import type { Log } from '../../core/log.ts'
import { MisdirectedError, PageNotFoundError, siteMethods } from '../errors.ts'
import type { Exchange, RequestSink } from '../forward/exchange.ts'
import { sendError, sendPage, sendWhole } from '../forward/send-page.ts'
import type { Admission } from '../guard/admission.ts'
import { hopsLeft } from '../guard/max-forwards.ts'
import { Field } from '../http1/known-fields.ts'
import type { Settings } from '../listen/listen-context.ts'
import { reportUrl, type ZonePages } from '../pages/zone-pages.ts'
import type { CertificateSource, Resolution } from '../ports.ts'
import type { Routes, Site } from '../route/routes.ts'
import { serveStatic } from '../static/serve-static.ts'
import type { VerifiedBlocks } from '../static/verified-blocks.ts'
import { type ProgramPorts, serveProgram } from './serve-program.ts'

export interface AnswerPorts {
  settings: Settings
  certificates: CertificateSource
  routes: Routes
  blocks: VerifiedBlocks
  pages: ZonePages
  program: ProgramPorts
  admission: Admission
  clock: Clock
  log: Log
  /** The port in redirects and links; known once the HTTPS listener is bound. */
  publicHttpsPort(): number
}

/** Nobody reads a body here: it is thrown away, and the client may leave as it likes. */
const noReader: RequestSink = { onBody: () => true, onBodyEnd() {}, onClientDrain() {}, onClientGone() {} }

const challengePrefix = '/.well-known/acme-challenge/'
const challengePath = /^\/\.well-known\/acme-challenge\/([A-Za-z0-9_-]{1,256})$/

/** Decides what becomes of each exchange, on either listener. Every error of the gateway meets here: one page, at most one line in the log. */
export class Answerer {
  readonly #ports: AnswerPorts

  constructor(ports: AnswerPorts) {
    this.#ports = ports
  }

  /** An exchange on the HTTPS listener, or on one that serves sites over plain HTTP. Never throws. */
  secure(exchange: Exchange): void {
    try {
      const { host } = exchange.head
      this.#ports.admission.admit(exchange)
      const site = this.#ports.routes.find(host)
      if (site && (!exchange.client.secure || exchange.client.serverName === host))
        return void this.#serve(exchange, site)
      exchange.listen(noReader)
      void this.#secureSlowly(exchange).catch((error: unknown) => this.fail(exchange, error))
    } catch (error) {
      this.fail(exchange, error)
    }
  }

  /** An exchange on the plain listener: challenges, redirects, pages that say why a name is not served. Never throws. */
  plain(exchange: Exchange): void {
    if (this.#ports.settings.config.listen.plainSites && !exchange.path.startsWith(challengePrefix))
      return void this.secure(exchange)
    exchange.listen(noReader)
    void this.#plain(exchange).catch((error: unknown) => this.fail(exchange, error))
  }

  fail(exchange: Exchange, error: unknown): void {
    const { log } = this.#ports
    if (!(error instanceof AppError)) log.error(`a request failed unexpectedly: ${describeError(error)}`)
    exchange.fault = toProblem(error).fault
    try {
      sendError(exchange, error, this.#reportFor(exchange, error))
    } catch (cause) {
      log.error(`the page of an error could not be sent: ${describeError(cause)}`)
      exchange.cut()
    }
  }

  /** The name is not known yet, or the connection was made for another one. */
  async #secureSlowly(exchange: Exchange): Promise<void> {
    const { settings, routes, pages } = this.#ports
    const { head } = exchange
    if (head.host === settings.config.zone) {
      await this.#checkServerName(exchange, undefined)
      return sendPage(exchange, await pages.answer(head.method, exchange.path, head.fields.valueOf(Field.accept)))
    }
    const site = await routes.match(head.host)
    await this.#checkServerName(exchange, site)
    if (!exchange.over) this.#serve(exchange, site)
  }

  #serve(exchange: Exchange, site: Site): void {
    exchange.site = site
    if (exchange.head.method === 'OPTIONS' && isForUs(exchange))
      return void sendWhole(exchange, 204, ['Allow', siteMethods])
    const { target } = site.resolution
    const rate = this.#ports.admission.admitToSite(exchange)
    switch (target.kind) {
      case 'program':
        return void serveProgram(exchange, target.itemHash, rate, this.#ports.program)
      case 'static': {
        exchange.listen(noReader)
        const { blocks, settings, program } = this.#ports
        const resolution = site.resolution as Resolution & { target: typeof target }
        const compression = settings.compression[settings.sites.optionsFor(site.host).compress]
        const ports = { blocks, config: settings.config.static, shaping: program, compression, rate }
        serveStatic(exchange, resolution, ports).catch((error: unknown) => this.fail(exchange, error))
        return
      }
      case 'redirect':
        return void sendWhole(exchange, target.status, ['Location', target.location])
    }
  }

  async #plain(exchange: Exchange): Promise<void> {
    const { certificates, routes, settings } = this.#ports
    const { host } = exchange.head
    const { path } = exchange
    const token = challengePath.exec(path)?.[1]
    if (token !== undefined) {
      const body = await certificates.httpChallenge(host, token)
      if (body === undefined)
        throw new PageNotFoundError('There is no such challenge.', 'The order that asked for it may have ended.')
      return sendWhole(exchange, 200, ['Content-Type', 'application/octet-stream'], Buffer.from(body))
    }
    // A challenge always passes: without it there would be no certificate.
    this.#ports.admission.admit(exchange)
    // A name that leads nowhere throws here: it has no certificate, so plain HTTP is where its owner sees why.
    if (host !== settings.config.zone) await routes.match(host)
    const refusal = await this.#refusalOf(host)
    if (refusal) throw refusal
    const port = this.#ports.publicHttpsPort()
    const location = `https://${host}${port === 443 ? '' : `:${port}`}${path === '*' ? '/' : path}`
    sendWhole(exchange, 308, ['Location', location])
  }

  /** Why the name has no certificate, if that is known. A source that fails itself must not take the redirect away. */
  async #refusalOf(host: string): Promise<AppError | undefined> {
    const { certificates } = this.#ports
    try {
      return certificates.find(host) ? undefined : await certificates.refusal?.(host)
    } catch {
      return undefined
    }
  }

  /**
   * A connection made for one site must not carry requests for another (421), or a certificate would vouch for content it was not shown
   * for. Two names of one target may share a connection.
   */
  async #checkServerName(exchange: Exchange, site: Site | undefined): Promise<void> {
    const { client, head } = exchange
    const { serverName } = client
    if (!client.secure || serverName === undefined || serverName === head.host) return
    const other = site && (await this.#ports.routes.match(serverName).catch(() => undefined))
    if (site && other && sameTarget(site, other)) return
    throw new MisdirectedError(`This connection was made for "${serverName}", the request is for "${head.host}".`)
  }

  #reportFor(exchange: Exchange, error: unknown): string | undefined {
    const about = error instanceof AppError && Array.isArray(error.details) && error.details.length > 0
    const { host } = exchange.head
    const { settings, publicHttpsPort } = this.#ports
    return about && host ? reportUrl(settings.config.zone, publicHttpsPort(), host) : undefined
  }
}

/** An OPTIONS about the server as a whole, or one that may not be forwarded any more (RFC 9110 §9.3.7, §7.6.2). */
function isForUs({ head, path }: Exchange): boolean {
  return path === '*' || hopsLeft(head) === 0
}

function sameTarget(site: Site, other: Site): boolean {
  return JSON.stringify(other.resolution.target) === JSON.stringify(site.resolution.target)
}
