import type { TLSSocket } from 'node:tls'
import { inMoment } from '../../core/moment.ts'
import { Deadline, type TimingWheel } from '../../core/timing-wheel.ts'
import { sendPing } from '../http2/control-frames.ts'
import { ErrorCode } from '../http2/error-code.ts'
import type { SessionContext } from '../http2/http2-session.ts'
import type { FrameTransport } from '../http2/output-buffer.ts'
import type { Settings } from '../listen/listen-context.ts'
import { ClientSession } from './client-session.ts'
import type { AnswerSink } from './host-stream.ts'
import { Http2HostStream } from './http2-host-stream.ts'
import { hostStreamsMax, streamsBeforeSettings } from './http2-limits.ts'

/** A connection on which nothing has come for this long is asked for a sign of life with the next request. */
const quietMs = 10_000

/** Whoever keeps the HTTP/2 connections to an origin. */
export interface Http2HostOwner {
  readonly wheel: TimingWheel
  readonly timeouts: Settings['config']['timeouts']
  /** How many exchanges a connection probably takes at a time. */
  readonly expectedStreams: number
  /** There may be room for more requests, on this connection or (it takes no more) on none. */
  roomChanged(host: Http2Host): void
  hostGone(host: Http2Host): void
  /** Something threw that should not have. The connection ends. */
  failed(error: unknown): void
}

/**
 * A connection to a host on HTTP/2, over a TLS socket whose handshake has chosen `h2`. Carries many exchanges at a time; is kept for
 * `hostIdleMs` after the last one.
 */
export class Http2Host implements FrameTransport {
  readonly owner: Http2HostOwner
  readonly session: ClientSession
  /** Exchanges under way. One whose stream is over counts until its client has taken all of the answer, for it holds memory. */
  open = 0
  /** Exchanges that ended with a whole answer. */
  answered = 0
  /** Chunks read so far. */
  reads = 0
  /** The host takes no further requests on this connection: the error code of its GOAWAY, -1 before. */
  goawayCode = -1
  readonly #socket: TLSSocket
  readonly #deadline: HostDeadline
  #settled = false
  /** When something was read last. */
  #readMs: number
  /** A PING is out, and nothing has been read since. */
  #pinging = false
  #ending = false
  #over = false
  /** Nobody is to hear of what becomes of the exchanges. */
  #silent = false

  constructor(socket: TLSSocket, owner: Http2HostOwner, context: SessionContext, headBytesMax: number) {
    this.#socket = socket
    this.owner = owner
    this.#deadline = new HostDeadline(this)
    this.session = new ClientSession(context, this, headBytesMax)
    this.#readMs = owner.wheel.nowMs
    owner.wheel.set(this.#deadline, owner.timeouts.connectMs)
    socket.on('data', (chunk: Buffer) => inMoment(Http2Host.#received, this, chunk.length, chunk))
    socket.on('end', () => this.#gone())
    socket.on('close', () => this.#gone())
    // 'close' follows and says all that matters.
    socket.on('error', () => {})
  }

  /** How many more exchanges it takes now. */
  get room(): number {
    return this.#takes(streamsBeforeSettings) - this.open
  }

  /** The same, once the host has told how many it takes. */
  get roomSoon(): number {
    return this.#takes(hostStreamsMax) - this.open
  }

  get silent(): boolean {
    return this.#silent
  }

  /** Takes a place for one exchange, whose `send` is to follow. */
  take(sink: AnswerSink): Http2HostStream {
    this.open++
    if (this.#settled && !this.#pinging && this.owner.wheel.nowMs - this.#readMs >= quietMs) this.#ping()
    return new Http2HostStream(this, sink)
  }

  /** An exchange is over. */
  release(answered: boolean): void {
    this.open--
    if (answered) this.answered++
    if (this.open === 0 && !this.session.closing && !this.#over) this.#rest()
    this.owner.roomChanged(this)
  }

  /** The host wants no further requests here (GOAWAY). */
  leave(code: number): void {
    this.goawayCode = code
    if (this.open === 0) this.close(ErrorCode.none)
    this.owner.roomChanged(this)
  }

  /** Ends the connection; exchanges under way fail. */
  close(code: number): void {
    this.session.fail(code)
    this.#afterwards()
  }

  /** Ends the connection at once. Whoever has an exchange on it hears nothing. */
  destroy(): void {
    this.#silent = true
    this.#gone()
  }

  /** Something threw while this connection was at work. */
  onFault(error: unknown): void {
    this.owner.failed(error)
    try {
      this.close(ErrorCode.internal)
    } catch (another) {
      this.owner.failed(another)
    }
  }

  /** The deadline has passed: of the first SETTINGS, of a PING, of the rest without exchanges, or of the last frame. */
  expire(): void {
    if (this.#ending) return void this.#gone()
    if (!this.session.peer.known) return void this.close(ErrorCode.settingsTimeout)
    if (this.#pinging) this.#gone()
    else if (this.open === 0) this.close(ErrorCode.none)
  }

  // --- FrameTransport

  write(bytes: Buffer, done: (error?: Error | null) => void): void {
    this.#socket.write(bytes, done)
  }

  end(): void {
    this.#socket.end()
    this.#afterwards()
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  #takes(unknown: number): number {
    const { session } = this
    if (this.goawayCode >= 0 || session.closing || session.closed || session.exhausted) return 0
    if (session.peer.known) return Math.min(hostStreamsMax, session.peer.streamsMax)
    return Math.min(unknown, this.owner.expectedStreams)
  }

  static #received(this: void, host: Http2Host, _count: number, chunk: Buffer): void {
    host.#receive(chunk)
  }

  #receive(chunk: Buffer): void {
    this.reads++
    this.#readMs = this.owner.wheel.nowMs
    if (this.#pinging) this.#heard()
    try {
      this.session.receive(chunk)
      if (this.session.closing) return void this.#afterwards()
      if (this.#settled || !this.session.peer.known) return
      this.#settled = true
      if (this.open === 0) this.#rest()
      this.owner.roomChanged(this)
    } catch (error) {
      this.onFault(error)
    }
  }

  /** Asks whether anybody is there: a connection that broke without a word would swallow request after request. */
  #ping(): void {
    this.#pinging = true
    sendPing(this.session.output)
    this.owner.wheel.set(this.#deadline, this.owner.timeouts.connectMs)
  }

  /** Whatever came, it shows that somebody is there. */
  #heard(): void {
    this.#pinging = false
    this.owner.wheel.clear(this.#deadline)
    if (this.open === 0) this.#rest()
  }

  #rest(): void {
    if (this.goawayCode >= 0) this.close(ErrorCode.none)
    else if (this.#settled && !this.#pinging) this.owner.wheel.set(this.#deadline, this.owner.timeouts.hostIdleMs)
  }

  /** The last frame is on its way: the host gets a moment to take it. */
  #afterwards(): void {
    if (this.#ending || this.#over) return
    this.#ending = true
    this.owner.wheel.set(this.#deadline, this.session.limits.lingerMs)
  }

  #gone(): void {
    if (this.#over) return
    this.#over = true
    this.owner.wheel.clear(this.#deadline)
    try {
      this.session.disconnected()
    } catch (error) {
      this.owner.failed(error)
    }
    this.#socket.destroy()
    this.owner.hostGone(this)
  }
}

class HostDeadline extends Deadline {
  readonly #host: Http2Host

  constructor(host: Http2Host) {
    super()
    this.#host = host
  }

  override expire(): void {
    this.#host.expire()
  }
}
