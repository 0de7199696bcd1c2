import type { AppError } from '../../../core/errors.ts'
import type { ClientConnection } from '../../forward/exchange.ts'
import { sendGoaway, sendPing } from '../../http2/control-frames.ts'
import { ErrorCode } from '../../http2/error-code.ts'
import { Flood } from '../../http2/flood-guard.ts'
import { clientPreface, framePayloadMax, Setting, windowMax } from '../../http2/frame.ts'
import { Http2Session } from '../../http2/http2-session.ts'
import type { Http2Stream } from '../../http2/http2-stream.ts'
import type { FrameTransport } from '../../http2/output-buffer.ts'
import type { ReceivedHead } from '../../http2/received-head.ts'
import { Http2Exchange } from './http2-exchange.ts'
import type { Http2Context } from './ports.ts'

/** A client has this long to answer the PING of a drain; then the last stream is named all the same. */
const drainPingMs = 1_000

/** The server's side of a connection: which streams a client may open, what they ask, how the connection comes to its end. */
export class ServerSession extends Http2Session {
  readonly towardServer = false
  readonly #context: Http2Context
  readonly #client: ClientConnection
  /** Requests of the chunk being read. Shown at its end: by then small bodies are whole, and what was taken back at once is gone. */
  readonly #fresh: Http2Exchange[] = []
  readonly #errors: (AppError | undefined)[] = []
  /** A drain has begun: 1 after the first GOAWAY, 2 after the one that names the last stream. */
  #drain: 0 | 1 | 2 = 0
  #drainSinceMs = 0
  #writesSeen = 0
  #stalledSinceMs = 0

  constructor(context: Http2Context, client: ClientConnection, transport: FrameTransport) {
    super(context, transport, clientPreface)
    this.#context = context
    this.#client = client
    const { limits, requests } = context
    this.begin([
      Setting.maxConcurrentStreams,
      limits.streamsMax,
      Setting.initialWindowSize,
      limits.streamWindowBytes,
      Setting.headerTableSize,
      limits.headerTableBytes,
      Setting.maxFrameSize,
      framePayloadMax,
      Setting.maxHeaderListSize,
      requests.headBytesMax + requests.uriBytesMax + 32 * requests.headFieldsMax,
      Setting.enableConnectProtocol,
      1,
      Setting.noRfc7540Priorities,
      1,
    ])
  }

  override receive(chunk: Buffer): void {
    super.receive(chunk)
    if (this.#fresh.length > 0) this.#show()
  }

  /** A drain has begun, and requests that the client sent before it knew may still come. */
  get settling(): boolean {
    return this.#drain === 1 && !this.closing && !this.closed
  }

  /** Says that no further requests are taken; those that came are answered, then the connection ends. */
  drain(): void {
    if (this.#drain !== 0 || this.closing || this.closed) return
    this.#drain = 1
    this.#drainSinceMs = this.time.nowMs
    // Requests may be under way: first a warning, then, when its answer shows that the client knows, the last stream (RFC 9113 §6.8).
    sendGoaway(this.output, windowMax, ErrorCode.none)
    sendPing(this.output)
  }

  /** Looks for what has taken too long. Called every now and then. @returns false when the connection is of no more use */
  review(): boolean {
    const { timeouts } = this.#context
    const { nowMs } = this.time
    if (this.closing || this.closed) return true
    if (this.midwaySinceMs >= 0 && nowMs - this.midwaySinceMs >= timeouts.headMs) {
      this.fail(ErrorCode.enhanceYourCalm)
      return true
    }
    if (this.#drain === 1 && nowMs - this.#drainSinceMs >= drainPingMs) this.#nameLast()
    const idle = this.streams.size === 0 && this.output.queued === 0
    if (idle && nowMs - this.idleSinceMs >= timeouts.keepAliveMs) this.fail(ErrorCode.none)
    for (const stream of [...this.streams.values()]) if (!stream.closed) this.#reviewStream(stream, nowMs)
    return !this.#isStalled(nowMs)
  }

  override onHead(stream: Http2Stream | undefined, id: number, endStream: boolean, head: ReceivedHead): number {
    // Only our own pushes could have even ids, and there are none.
    const fault = stream !== undefined || (id & 1) === 0 ? ErrorCode.protocol : this.#admit(id)
    if (fault !== admitted) {
      head.drop()
      return fault
    }
    if (!this.#context.parser.parse(head, endStream, this.#client.secure)) return this.refuse(id, ErrorCode.protocol)
    const request = this.#context.parser.head
    const exchange = new Http2Exchange(this, id, request, this.#client, this.#context.ports)
    this.streams.set(id, exchange.stream)
    if (endStream) exchange.stream.remoteEnded = true
    this.#fresh.push(exchange)
    this.#errors.push(this.#context.parser.error)
    return ErrorCode.none
  }

  override isIdle(id: number): boolean {
    return (id & 1) === 0 || id > this.lastPeerId
  }

  /** The client goes, but wants its answers. */
  override onGoaway(): void {}

  override onPong(): void {
    if (this.#drain === 1) this.#nameLast()
  }

  override onForgotten(): void {
    if (this.#drain === 2 && this.streams.size === 0) this.#finish()
  }

  override onFailed(error: unknown): void {
    this.#context.ports.failed(error)
    try {
      this.fail(ErrorCode.internal)
    } catch (another) {
      this.#context.ports.failed(another)
    }
  }

  /** Whether a stream may be opened. @returns `admitted`; 0 to ignore it, or the code that ends the connection */
  #admit(id: number): number {
    if (id <= this.lastPeerId) return this.wasReset(id) ? this.spend(Flood.other, 1) : ErrorCode.streamClosed
    // After the last stream was named, later ones do not exist; the client knows that it may repeat them elsewhere.
    if (this.#drain === 2) return this.spend(Flood.other, 1)
    this.lastPeerId = id
    return this.streams.size < this.limits.streamsMax ? admitted : this.refuse(id, ErrorCode.refusedStream)
  }

  #show(): void {
    const { ports } = this.#context
    for (let i = 0; i < this.#fresh.length; i++) {
      const exchange = this.#fresh[i] as Http2Exchange
      if (exchange.over) continue
      exchange.show()
      const error = this.#errors[i]
      if (error === undefined) ports.handle(exchange)
      else ports.refuse(exchange, error)
    }
    this.#fresh.length = 0
    this.#errors.length = 0
  }

  /** The client's socket has taken nothing of what waits for it, for too long. */
  #isStalled(nowMs: number): boolean {
    if (this.output.queued === 0 || this.output.writes !== this.#writesSeen) {
      this.#writesSeen = this.output.writes
      this.#stalledSinceMs = nowMs
    }
    return nowMs - this.#stalledSinceMs >= this.#context.timeouts.answerIdleMs
  }

  #reviewStream(stream: Http2Stream, nowMs: number): void {
    const exchange = stream.handler as Http2Exchange
    const { bodyIdleMs, answerIdleMs } = this.#context.timeouts
    const received = nowMs - stream.lastReceivedMs
    const sent = nowMs - stream.lastSentMs
    const late = exchange.over
      ? received >= bodyIdleMs
      : (stream.waiting && sent >= answerIdleMs) ||
        (exchange.isTunnel
          ? Math.min(received, sent) >= (exchange.idleMs ?? answerIdleMs)
          : exchange.awaitsClient && received >= bodyIdleMs)
    if (late) exchange.expire()
  }

  #nameLast(): void {
    this.#drain = 2
    sendGoaway(this.output, this.lastPeerId, ErrorCode.none)
    if (this.streams.size === 0) this.#finish()
  }

  #finish(): void {
    this.closing = true
    this.output.end()
  }
}

/** A stream may be opened: no error code has this number. */
const admitted = -1
