import { ErrorCode } from '../http2/error-code.ts'
import { Flood } from '../http2/flood-guard.ts'
import { clientPreface, framePayloadMax, Setting, windowMax } from '../http2/frame.ts'
import { Http2Session, type SessionContext } from '../http2/http2-session.ts'
import { Http2Stream } from '../http2/http2-stream.ts'
import type { ReceivedHead } from '../http2/received-head.ts'
import { answerFieldsMax } from './answer-limits.ts'
import type { Http2Host } from './http2-host.ts'
import type { Http2HostStream } from './http2-host-stream.ts'

/** What each field counts in a header list beside its bytes (RFC 9113 §6.5.2). */
const fieldOverhead = 32
const noPreface = Buffer.alloc(0)

/** The client's side of an HTTP/2 connection: opens streams, and hands what comes back to them. */
export class ClientSession extends Http2Session {
  readonly towardServer = true
  readonly #host: Http2Host
  #nextId = 1
  /** Streams whose answer began in the chunk being read. Handed on at its end: by then small answers are whole. */
  readonly #fresh: Http2HostStream[] = []

  constructor(context: SessionContext, host: Http2Host, headBytesMax: number) {
    super(context, host, noPreface)
    this.#host = host
    const { output, limits } = this
    output.reserve(clientPreface.length)
    output.commit(output.at + clientPreface.copy(output.bytes, output.at))
    this.begin([
      Setting.enablePush,
      0,
      Setting.initialWindowSize,
      limits.streamWindowBytes,
      Setting.headerTableSize,
      limits.headerTableBytes,
      Setting.maxFrameSize,
      framePayloadMax,
      Setting.maxHeaderListSize,
      headBytesMax + fieldOverhead * answerFieldsMax,
    ])
  }

  /** No identifier is left for another stream (RFC 9113 §5.1.1). */
  get exhausted(): boolean {
    return this.#nextId > windowMax
  }

  /** A new stream. Its HEADERS must follow before another one is opened. */
  open(handler: Http2HostStream): Http2Stream {
    const stream = new Http2Stream(this, this.#nextId, handler)
    this.#nextId += 2
    this.streams.set(stream.id, stream)
    return stream
  }

  override receive(chunk: Buffer): void {
    super.receive(chunk)
    const fresh = this.#fresh
    for (let i = 0; i < fresh.length; i++) (fresh[i] as Http2HostStream).onReadEnd()
    fresh.length = 0
  }

  /** The stream's answer has begun; `onReadEnd` is called when the chunk has been read. */
  noteFresh(stream: Http2HostStream): void {
    this.#fresh.push(stream)
  }

  override onHead(stream: Http2Stream | undefined, id: number, endStream: boolean, head: ReceivedHead): number {
    if (stream !== undefined) return (stream.handler as Http2HostStream).onHead(head, endStream)
    head.drop()
    // The answer to a stream that we gave up.
    return this.isIdle(id) ? ErrorCode.protocol : this.spend(Flood.other, 1)
  }

  /** Even identifiers would be pushes, which we never allow. */
  override isIdle(id: number): boolean {
    return (id & 1) === 0 || id >= this.#nextId
  }

  override onGoaway(lastId: number, code: number): void {
    this.#host.leave(code)
    for (const stream of [...this.streams.values()]) if (stream.id > lastId) this.close(stream, ErrorCode.refusedStream)
  }

  override onPong(): void {}

  override onForgotten(): void {}

  override onFailed(error: unknown): void {
    this.#host.onFault(error)
  }
}
