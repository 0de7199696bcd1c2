import net from 'node:net'
import tls, { type TLSSocket } from 'node:tls'
import { Deadline } from '../../core/timing-wheel.ts'
import type { HostAddress } from './connect-host.ts'
import type { HostFailure } from './host-stream.ts'
import type { OriginMemory } from './host-tls.ts'

/** Hears what becomes of a dial: one of these, once. */
export interface DialOwner {
  /** The handshake is complete, and the certificate verified. Nobody listens to the socket any more. */
  dialed(dial: TlsDial, socket: TLSSocket): void
  dialFailed(dial: TlsDial, failure: HostFailure): void
}

export interface DialOptions {
  address: HostAddress
  secureContext: tls.SecureContext
  memory: OriginMemory
  protocols: string[]
  /** Bytes that go before the handshake (a PROXY header). */
  preface: Buffer | undefined
}

/** A TLS connection to a host in the making. */
export class TlsDial extends Deadline {
  readonly #options: DialOptions
  readonly #owner: DialOwner
  /** What fails: the TCP connection while that is made for the preface, then the TLS socket. */
  #socket: net.Socket
  #ticket: Buffer | undefined = undefined
  #verified = false
  #over = false
  readonly #onError = (error: Error): void => this.#failed(error)
  readonly #onClose = (): void => this.#failed(undefined)

  constructor(options: DialOptions, owner: DialOwner) {
    super()
    this.#options = options
    this.#owner = owner
    const { host, port } = options.address
    const { preface } = options
    if (preface === undefined) this.#socket = this.#connectTls({ host, port, noDelay: true, keepAlive: true })
    else {
      const raw = net.connect({ host, port, noDelay: true, keepAlive: true })
      this.#socket = this.#watch(raw)
      // Once TLS runs over it, that tells of errors; this socket's own must not go unheard either.
      raw.on('error', () => {})
      raw.once('connect', () => {
        if (this.#over) return
        raw.write(preface)
        this.#unwatch()
        this.#socket = this.#connectTls({ socket: raw, host })
      })
    }
  }

  /** The time for the connection is over. */
  override expire(): void {
    this.#end({ kind: 'timeout', what: 'accept the connection', refused: true, stale: false })
  }

  /** Gives up; the owner hears nothing. */
  destroy(): void {
    this.#over = true
    this.#unwatch()
    this.#socket.on('error', () => {})
    this.#socket.destroy()
  }

  #connectTls(options: tls.ConnectionOptions & Pick<net.TcpNetConnectOpts, 'noDelay' | 'keepAlive'>): TLSSocket {
    const { address, memory, secureContext, protocols } = this.#options
    const named = net.isIP(address.host) === 0 ? { servername: address.host } : {}
    const session = memory.ticket === undefined ? {} : { session: memory.ticket }
    const socket = tls.connect({ ...options, ...named, ...session, secureContext, ALPNProtocols: protocols })
    this.#watch(socket)
    // Over TLS 1.2 tickets come before the certificate has been looked at; only those of verified hosts are used again.
    socket.on('session', (ticket: Buffer) => {
      if (this.#verified) memory.ticket = ticket
      else this.#ticket = ticket
    })
    socket.once('secureConnect', () => this.#secured(socket))
    return socket
  }

  #watch<Kind extends net.Socket>(socket: Kind): Kind {
    socket.on('error', this.#onError)
    socket.on('close', this.#onClose)
    return socket
  }

  #unwatch(): void {
    this.#socket.off('error', this.#onError)
    this.#socket.off('close', this.#onClose)
  }

  #secured(socket: TLSSocket): void {
    if (this.#over) return
    this.#over = true
    this.#verified = true
    if (this.#ticket) this.#options.memory.ticket = this.#ticket
    this.#unwatch()
    this.#owner.dialed(this, socket)
  }

  #failed(error: Error | undefined): void {
    const code = (error as NodeJS.ErrnoException | undefined)?.code ?? error?.message ?? 'closed at once'
    this.#options.memory.ticket = undefined
    this.#end({ kind: 'unreachable', what: `cannot be reached (${code})`, cause: error, refused: true, stale: false })
  }

  #end(failure: HostFailure): void {
    if (this.#over) return
    this.destroy()
    this.#owner.dialFailed(this, failure)
  }
}
