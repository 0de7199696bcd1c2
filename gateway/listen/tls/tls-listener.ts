import { createServer, type Server, type Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { AppError, describeError } from '../../../core/errors.ts'
import type { Log } from '../../../core/log.ts'
import type { Random } from '../../../core/random.ts'
import { Deadline, type TimingWheel } from '../../../core/timing-wheel.ts'
import { BadRequestError } from '../../errors.ts'
import { parseHost } from '../../guard/host-name.ts'
import type { SiteCertificate, TicketKeySource } from '../../ports.ts'
import type { Settings } from '../listen-context.ts'
import { CertificateWait, type CertificateWaitPorts } from './certificate-wait.ts'
import { type ClientHello, parseClientHello } from './client-hello.ts'
import { probeTickets } from './probe-tickets.ts'
import { SessionTickets } from './session-tickets.ts'
import { type ClientCa, type SiteServer, SiteServers } from './site-servers.ts'
import { alertFor, alerts, refuseHandshake } from './tls-alert.ts'

/** What a finished handshake has settled. */
export interface SecureInfo {
  protocol: 'h2' | 'http/1.1'
  /** Lower case, without final dot, valid; known for resumed sessions too. It chose the certificate, and whether one was asked for. */
  serverName: string
  resumed: boolean
  /** The site of `serverName` demands client certificates, and a valid one was shown. */
  clientVerified: boolean
  /** The TCP connection beneath, for what belongs to it: address, PROXY header. TLS owns its bytes. */
  raw: Socket
}

export interface TlsListenerPorts extends CertificateWaitPorts {
  ticketKeys: TicketKeySource
  wheel: TimingWheel
  random: Random
  log: Log
  /** The authorities whose clients a site takes; undefined where everybody may come. Asked for every connection. */
  clientCaFor?(serverName: string): ClientCa | undefined
  /**
   * Hears of each TCP connection in place of the listener, for what comes before TLS: a PROXY header, limits per address. It hands the
   * connection on with `accept`. Until then errors of the socket are its own to hear.
   */
  connected?(raw: Socket): void
  /** Whether sessions can be renewed; found out if absent. */
  probeTickets?(): Promise<boolean>
}

/** Gets every connection whose handshake is done. The socket has no listeners but one that swallows errors. Must not throw. */
export type OnSecure = (socket: TLSSocket, info: SecureInfo) => void

/** A listener for TLS. Disposing ends handshakes in progress; connections that are established are not its business any more. */
export interface TlsListener extends Disposable {
  /** Not listening yet. Its `connection` events and its count are of TCP connections. */
  readonly server: Server
  /** Handshakes in progress, those that wait for a certificate included. */
  readonly handshakes: number
  /**
   * Begins the handshake on a TCP connection.
   * @param first - bytes that were read from it already; they stay unchanged. The socket is paused then
   */
  accept(raw: Socket, first?: Buffer): void
}

/** Most reads that a ClientHello may arrive in. Networks cut it into two or three; a sender of single bytes is up to something. */
const helloReadsMax = 64

const handshakeOf = Symbol('handshake')

interface Incoming extends Socket {
  /** Set until the handshake is over. */
  [handshakeOf]?: Handshake | undefined
}

/**
 * Makes a listener for TLS 1.2 and 1.3 that picks certificate, client authorities and ticket keys by the server name, and answers
 * TLS-ALPN-01 challenges by itself.
 *
 * The ClientHello is read before TLS begins, and the connection then goes to a TLS server of its own site. So nothing of one site (tickets,
 * demands on clients) reaches another, the name is known for resumed sessions, and no callback runs within OpenSSL but that for tickets.
 */
export async function createTlsListener(
  settings: Settings,
  ports: TlsListenerPorts,
  onSecure: OnSecure,
): Promise<TlsListener> {
  const renewing = await (ports.probeTickets ?? probeTickets)()
  if (!renewing)
    ports.log.warn('this Node cannot renew session tickets: clients resume less often, and not after a change of keys')
  return new SiteListener(settings, ports, onSecure, renewing)
}

class SiteListener implements TlsListener {
  readonly server: Server
  readonly #settings: Settings
  readonly #ports: TlsListenerPorts
  readonly #onSecure: OnSecure
  readonly #sites: SiteServers
  readonly #wait: CertificateWait
  readonly #handshakes = new Set<Handshake>()

  constructor(settings: Settings, ports: TlsListenerPorts, onSecure: OnSecure, renewing: boolean) {
    this.#settings = settings
    this.#ports = ports
    this.#onSecure = onSecure
    const tickets = new SessionTickets(ports.ticketKeys.current(), renewing, ports.random)
    this.#sites = new SiteServers(tickets, (site) => this.#listenTo(site))
    this.#wait = new CertificateWait(settings, ports)
    ports.ticketKeys.onChange((keys) => {
      tickets.setKeys(keys)
      this.#sites.rekey()
    })
    this.server = createServer({ noDelay: true }, (raw) => (ports.connected ? ports.connected(raw) : this.accept(raw)))
    this.server.maxConnections = settings.config.limits.connectionsMax
  }

  get handshakes(): number {
    return this.#handshakes.size
  }

  accept(raw: Incoming, first?: Buffer): void {
    const { limits, timeouts } = this.#settings.config
    // A reload may have changed it.
    this.server.maxConnections = limits.connectionsMax
    if (this.#handshakes.size >= limits.handshakesMax) {
      this.#ports.metrics.handshakeCells.failed.add()
      return void raw.destroy()
    }
    const handshake = new Handshake(this, raw)
    this.#handshakes.add(handshake)
    this.#ports.wheel.set(handshake, timeouts.handshakeMs)
    raw[handshakeOf] = handshake
    raw.on('error', ignoreError)
    raw.on('close', onRawClose)
    if (first) this.read(handshake, first)
    if (!first || handshake.bytes) raw.on('data', onRawData).resume()
  }

  /** Takes bytes of the ClientHello. */
  read(handshake: Handshake, part: Buffer): void {
    const { raw } = handshake
    const bytes = handshake.bytes ? Buffer.concat([handshake.bytes, part]) : part
    const hello = parseClientHello(bytes)
    handshake.bytes = bytes
    if (hello === 'more' && ++handshake.reads < helloReadsMax) return
    handshake.bytes = undefined
    raw.removeListener('data', onRawData)
    raw.pause()
    if (typeof hello === 'string') return void refuseHandshake(raw, alerts.decodeError)
    raw.unshift(bytes)
    this.#choose(handshake, hello)
  }

  /** Ends the accounting of a handshake, however it went. */
  over(handshake: Handshake): void {
    handshake.raw[handshakeOf] = undefined
    this.#handshakes.delete(handshake)
    this.#ports.wheel.clear(handshake)
  }

  failed(handshake: Handshake): void {
    this.over(handshake)
    this.#ports.metrics.handshakeCells.failed.add()
  }

  [Symbol.dispose](): void {
    for (const { raw } of this.#handshakes) raw.destroy()
  }

  #choose(handshake: Handshake, { serverName, challenge }: ClientHello): void {
    const { raw } = handshake
    if (serverName === undefined) return void refuseHandshake(raw, alerts.missingExtension)
    // A colon would be taken for a port, which a server name does not have.
    const host = serverName.includes(':') ? undefined : parseHost(serverName)
    if (host?.kind !== 'name') return void refuseHandshake(raw, alerts.unrecognizedName)
    handshake.serverName = host.name
    try {
      const ready = challenge ? undefined : this.#ready(host.name)
      if (ready) return void this.#begin(handshake, this.#site(host.name, ready))
    } catch (error) {
      return void this.#refuse(handshake, error)
    }
    const { certificateWaitMs, handshakeMs } = this.#settings.config.timeouts
    this.#ports.wheel.set(handshake, certificateWaitMs + handshakeMs)
    const site = challenge ? this.#challenge(host.name) : this.#ordered(host.name)
    site.then((found) => this.#begin(handshake, found)).catch((error: unknown) => this.#refuse(handshake, error))
  }

  #ready(serverName: string): SiteCertificate | undefined {
    const certificate = this.#ports.certificates.find(serverName)
    return certificate && certificate.notAfterMs > this.#ports.clock.nowMs() ? certificate : undefined
  }

  #site(serverName: string, certificate: SiteCertificate): SiteServer {
    return this.#sites.site(serverName, certificate, this.#ports.clientCaFor?.(serverName))
  }

  async #ordered(serverName: string): Promise<SiteServer> {
    return this.#site(serverName, await this.#wait.obtain(serverName))
  }

  async #challenge(serverName: string): Promise<SiteServer> {
    const certificate = await this.#ports.certificates.alpnChallenge(serverName)
    if (!certificate) throw new BadRequestError('There is no challenge for this name.')
    return this.#sites.challenge(serverName, certificate)
  }

  #begin(handshake: Handshake, { server }: SiteServer): void {
    // The client may have left during the wait.
    if (!handshake.raw.destroyed) server.emit('connection', handshake.raw)
  }

  #refuse({ raw, serverName }: Handshake, error: unknown): void {
    if (raw.destroyed) return
    refuseHandshake(raw, alertFor(error))
    // The caller's fault is every day's scanner; what we or the CA did wrong is worth a line. The name is public, the requester is not told.
    if (error instanceof AppError && error.fault === 'caller') return
    this.#ports.log.warn(`no certificate for a handshake: ${describeError(error)}`, { name: serverName })
  }

  #listenTo(site: SiteServer): void {
    site.server.on('secureConnection', (socket) => this.#secured(site, socket))
    site.server.on('tlsClientError', (_error, socket) => socket.destroy())
  }

  #secured(site: SiteServer, socket: TLSSocket): void {
    const handshake = tcpOf(socket)[handshakeOf]
    if (!handshake) return void socket.destroy()
    socket.on('error', ignoreError)
    const resumed = socket.isSessionReused()
    if (site.kind === 'mutual' && !this.#clientIsValid(socket, resumed)) return void socket.destroy()
    this.over(handshake)
    const cells = this.#ports.metrics.handshakeCells
    if (site.kind === 'challenge') {
      cells.challenge.add()
      return void socket.end()
    }
    if (resumed) cells.resumed.add()
    else cells.full.add()
    const info: SecureInfo = {
      protocol: socket.alpnProtocol === 'h2' ? 'h2' : 'http/1.1',
      serverName: handshake.serverName,
      resumed,
      clientVerified: site.kind === 'mutual',
      raw: handshake.raw,
    }
    this.#handOver(socket, info)
  }

  /** Within a callback of OpenSSL: an exception here would end the process. */
  #handOver(socket: TLSSocket, info: SecureInfo): void {
    try {
      this.#onSecure(socket, info)
    } catch (error) {
      socket.destroy()
      this.#ports.log.error(`a connection could not be taken over: ${describeError(error)}`)
    }
  }

  /** A resumed session keeps the client's certificate, but nobody looks again whether it is still in date. */
  #clientIsValid(socket: TLSSocket, resumed: boolean): boolean {
    if (!socket.authorized) return false
    const certificate = resumed ? socket.getPeerX509Certificate() : undefined
    return !resumed || (certificate !== undefined && certificate.validToDate.getTime() > this.#ports.clock.nowMs())
  }
}

/** One connection from its acceptance to the end of the handshake. The deadline is for all of it: single bytes do not move it. */
class Handshake extends Deadline {
  readonly listener: SiteListener
  readonly raw: Incoming
  serverName = ''
  /** Of an incomplete ClientHello. */
  bytes: Buffer | undefined = undefined
  reads = 0

  constructor(listener: SiteListener, raw: Incoming) {
    super()
    this.listener = listener
    this.raw = raw
  }

  expire(): void {
    this.raw.destroy()
  }
}

// The listeners are shared by all connections: a closure for each would cost memory and time.
function onRawData(this: Incoming, part: Buffer): void {
  const handshake = this[handshakeOf]
  handshake?.listener.read(handshake, part)
}

function onRawClose(this: Incoming): void {
  const handshake = this[handshakeOf]
  handshake?.listener.failed(handshake)
}

/** What ended a connection shows in its closing. */
function ignoreError(): void {}

/** The TCP socket that was given to a TLS server. Node keeps it on the TLS socket, and offers no public way to it. */
function tcpOf(socket: TLSSocket): Incoming {
  return (socket as unknown as { _parent: Incoming })._parent
}
