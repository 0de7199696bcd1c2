import type { Socket } from 'node:net'
import type { ClientConnection } from '../forward/exchange.ts'

/** What is known of a client from its socket alone. Addresses are read when somebody asks: each costs a call into the kernel. */
export class SocketClient implements ClientConnection {
  secure = false
  serverName: string | undefined = undefined
  clientVerified = false
  trusted = false
  limitSlot = -1
  readonly #socket: Socket
  #address: string | undefined = undefined
  #port: number | undefined = undefined

  /** @param socket - the TCP connection, also where TLS is spoken on it */
  constructor(socket: Socket) {
    this.#socket = socket
  }

  /** Notes what the TLS handshake has settled. */
  secured(serverName: string, clientVerified: boolean): void {
    this.secure = true
    this.serverName = serverName
    this.clientVerified = clientVerified
  }

  get remoteAddress(): string {
    this.#address ??= this.#socket.remoteAddress ?? ''
    return this.#address
  }

  get remotePort(): number {
    this.#port ??= this.#socket.remotePort ?? 0
    return this.#port
  }

  get localAddress(): string {
    return this.#socket.localAddress ?? ''
  }

  get localPort(): number {
    return this.#socket.localPort ?? 0
  }

  /** Takes what a trusted proxy in front of us says of the client. */
  tell(address: string, port: number): void {
    this.#address = address
    this.#port = port
  }
}
