import type { TLSSocket } from 'node:tls'
import { Deadline } from '../../../core/timing-wheel.ts'
import type { ClientConnection } from '../../forward/exchange.ts'
import type { FrameTransport } from '../../http2/output-buffer.ts'
import type { OpenConnection } from '../connections.ts'
import type { Http2Context } from './ports.ts'
import { ServerSession } from './server-session.ts'

/** Connections are looked at this often, for what takes too long; less often when all times are longer. */
const reviewMsMin = 250
const reviewMsMax = 3_000

/**
 * An HTTP/2 connection from a client, over a TLS socket whose handshake has chosen `h2`. It serves from its construction on, and stands among
 * `ports.connections` until its end. The listener has set `noDelay` on the socket.
 */
export class Http2Connection implements FrameTransport, OpenConnection {
  readonly client: ClientConnection
  readonly #socket: TLSSocket
  readonly #context: Http2Context
  readonly #session: ServerSession
  readonly #deadline: Review
  readonly #reviewMs: number
  #ending = false
  #over = false

  constructor(socket: TLSSocket, client: ClientConnection, context: Http2Context) {
    this.client = client
    this.#socket = socket
    this.#context = context
    const { headMs, keepAliveMs, bodyIdleMs, answerIdleMs } = context.timeouts
    const shortest = Math.min(headMs, keepAliveMs, bodyIdleMs, answerIdleMs)
    this.#reviewMs = Math.max(reviewMsMin, Math.min(reviewMsMax, shortest / 4))
    this.#session = new ServerSession(context, client, this)
    this.#deadline = new Review(this)
    context.ports.wheel.set(this.#deadline, this.#reviewMs)
    context.ports.connections.add(this)
    socket.on('data', (chunk: Buffer) => this.#receive(chunk))
    socket.on('end', () => this.#gone())
    socket.on('close', () => this.#gone())
    // 'close' follows and says all that matters.
    socket.on('error', () => {})
  }

  /** No request is being answered. */
  get idle(): boolean {
    return this.#session.streams.size === 0
  }

  /** Told to leave, but its answer to that has not come yet. */
  get settling(): boolean {
    return this.#session.settling
  }

  /** Takes no further requests; the connection ends when those that came are answered. */
  drain(): void {
    this.#session.drain()
  }

  /** Ends the connection at once; answers break off. */
  destroy(): void {
    this.#socket.destroy()
    this.#gone()
  }

  write(bytes: Buffer, done: (error?: Error | null) => void): void {
    this.#socket.write(bytes, done)
  }

  end(): void {
    this.#ending = true
    this.#socket.end()
    // Were the socket closed at once, input still under way would reset it, and our last frame be lost on its way.
    this.#context.ports.wheel.clear(this.#deadline)
    this.#context.ports.wheel.set(this.#deadline, this.#context.limits.lingerMs)
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  /** The time of the last look is over. Called by the deadline. */
  review(): void {
    if (this.#over) return
    try {
      if (this.#ending || !this.#session.review()) {
        this.destroy()
        return
      }
      // A connection that could not even write its last frame is not waited for longer than one that could.
      const wait = this.#session.closing ? this.#context.limits.lingerMs : this.#reviewMs
      if (this.#session.closing) this.#ending = true
      this.#context.ports.wheel.set(this.#deadline, wait)
    } catch (error) {
      this.#session.onFailed(error)
      this.destroy()
    }
  }

  #receive(chunk: Buffer): void {
    try {
      this.#session.receive(chunk)
    } catch (error) {
      this.#session.onFailed(error)
    }
  }

  #gone(): void {
    if (this.#over) return
    this.#over = true
    this.#context.ports.wheel.clear(this.#deadline)
    try {
      this.#session.disconnected()
    } catch (error) {
      this.#context.ports.failed(error)
    }
    this.#socket.destroy()
    this.#context.ports.connections.remove(this)
  }
}

class Review extends Deadline {
  readonly #connection: Http2Connection

  constructor(connection: Http2Connection) {
    super()
    this.#connection = connection
  }

  override expire(): void {
    this.#connection.review()
  }
}
