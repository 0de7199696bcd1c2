import type { Socket } from 'node:net'
import type { ClientConnection } from '../forward/exchange.ts'

/** What is known of a client from its socket alone. Addresses are read when somebody asks: each costs a call into the kernel. */
export class SocketClient implements ClientConnection {
  readonly secure: boolean
  readonly serverName: string | undefined
  readonly clientVerified: boolean
  trusted = false
  readonly #socket: Socket
  #address: string | undefined = undefined
  #port: number | undefined = undefined

  constructor(socket: Socket, secure: boolean, serverName: string | undefined, clientVerified: boolean) {
    this.#socket = socket
    this.secure = secure
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

  /** Takes what a trusted proxy in front of us says of the client. */
  tell(address: string, port: number): void {
    this.#address = address
    this.#port = port
  }
}
