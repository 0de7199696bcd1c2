import type { Clock } from '../../../core/clock.ts'
import {
  type AnswerHead,
  type ClientConnection,
  type Ending,
  Exchange,
  type RequestHead,
  type RequestSink,
} from '../../forward/exchange.ts'
import { dateBlock, hasDate } from '../../http1/date-block.ts'
import { FieldBlock } from '../../http1/field-block.ts'
import { dropToClient, Field } from '../../http1/known-fields.ts'
import { ErrorCode } from '../../http2/error-code.ts'
import { roomFor } from '../../http2/header-writer.ts'
import type { Http2Session } from '../../http2/http2-session.ts'
import { Http2Stream, type StreamHandler } from '../../http2/http2-stream.ts'
import { releaseFields } from '../../http2/received-head.ts'
import type { Http2Ports, OpenCounts } from './ports.ts'

/** What an exchange needs of the ports of its connection. */
type ExchangePorts = Pick<Http2Ports, 'owner' | 'clock' | 'connections'>

/** One request on one stream. What of the body nobody reads yet is put together in memory, at most the stream's window. */
export class Http2Exchange extends Exchange implements StreamHandler {
  readonly stream: Http2Stream
  /** Body that came before somebody read it, or while its reader paused. */
  #held: Buffer = none
  #heldBytes = 0
  #sink: RequestSink | undefined = undefined
  /** Somebody reads the body, and has not told to pause. */
  #flowing = false
  #reading = false
  /** Bytes that the sink got when it asked for a pause: it has not done with them. */
  #withheld = 0
  #trailers: FieldBlock | undefined = undefined
  /** The end of the body has been handed over. */
  #bodyEnded: boolean
  /** Bytes of the answer that were promised and are not written; -1 when nothing was promised. */
  #promised = -1
  #tunnel = false
  readonly #connections: OpenCounts
  readonly #clock: Clock
  /** Somebody answers this: the end is told to the owner. */
  #shown = false

  constructor(session: Http2Session, id: number, head: RequestHead, client: ClientConnection, ports: ExchangePorts) {
    super(head, client, ports.owner, ports.clock.monotonicMs())
    this.#connections = ports.connections
    this.#clock = ports.clock
    this.stream = new Http2Stream(session, id, this)
    this.stream.headReceived = true
    // A tunnel's bytes are no body: there is none before it is agreed to, and no length to hold it to.
    if (head.upgrade === undefined && head.bodyBytes >= 0) this.stream.expectedBytes = head.bodyBytes
    this.#bodyEnded = head.bodyBytes === 0
  }

  override get bodyEnded(): boolean {
    return this.#bodyEnded
  }

  /** The exchange is about to be given to whoever answers it. */
  show(): void {
    this.#shown = true
    this.#connections.begin()
  }

  /** Whether bytes may flow both ways. */
  get isTunnel(): boolean {
    return this.#tunnel
  }

  /** The client is expected to send, and nothing of ours keeps it from that. */
  get awaitsClient(): boolean {
    return this.#flowing && !this.stream.remoteEnded
  }

  override takeWholeBody(): Buffer | undefined {
    if (this.over || this.#bodyEnded || this.#reading || this.head.upgrade !== undefined) return undefined
    if (!this.stream.remoteEnded || this.#trailers !== undefined) return undefined
    this.#bodyEnded = true
    return this.#takeHeld()
  }

  override readBody(sink: RequestSink): void {
    if (this.over) return
    this.#sink = sink
    this.#reading = true
    if (this.head.upgrade !== undefined && !this.#tunnel) return
    if (this.head.upgrade === undefined && this.#bodyEnded) return
    if (this.status === 0 && this.#heldBytes === 0 && !this.stream.remoteEnded && this.#expectsContinue()) {
      this.#writeHead(100, noFields, [], false)
    }
    this.#flowing = true
    this.#deliver()
  }

  override resumeBody(): void {
    if (this.over || !this.#reading || this.#flowing) return
    const bytes = this.#withheld
    this.#withheld = 0
    this.stream.consumed(bytes)
    if (this.head.upgrade !== undefined && !this.#tunnel) return
    this.#flowing = true
    this.#deliver()
  }

  override listen(sink: RequestSink): void {
    if (!this.over) this.#sink = sink
  }

  override inform(status: number, fields: FieldBlock): void {
    if (!this.over && this.status === 0) this.#writeHead(status, fields, [], false)
  }

  override answer(head: AnswerHead, body: Buffer | undefined, last: boolean): boolean {
    if (this.over || this.status !== 0) return true
    this.status = head.status
    const empty = this.head.method === 'HEAD' || head.status === 204 || head.status === 304
    const length = empty || body === undefined ? 0 : body.length
    this.#promised = empty ? 0 : head.bodyBytes
    // Clients take it for a fault (RFC 9110 §8.6).
    if (head.status === 204) dropLength(head.fields)
    const ends = last && length === 0
    if (ends && this.#promised > 0) {
      this.#writeHead(head.status, head.fields, head.extra, false)
      this.cut()
      return true
    }
    this.#writeHead(head.status, head.fields, head.extra, ends, !empty && !hasLength(head) ? head.bodyBytes : -1)
    if (ends) this.stream.noteLocalEnd()
    else if (length > 0) return this.#send(body as Buffer, last)
    return true
  }

  override write(part: Buffer): boolean {
    if (this.over || this.status === 0 || part.length === 0) return true
    return this.#send(part, false)
  }

  override end(trailers?: FieldBlock): void {
    if (this.over || this.status === 0) return
    if (this.#promised > 0) this.cut()
    else this.stream.end(trailers)
  }

  override upgrade(fields: FieldBlock, extra: readonly FieldBlock[]): void {
    if (this.over || this.status !== 0 || this.head.upgrade === undefined) return
    // RFC 8441 §5: 200 says all that the key and its answer say in HTTP/1.1.
    for (let i = 0; i < fields.count; i++) if (fields.code[i] === Field.secWebsocketAccept) fields.dropped[i] = 1
    this.status = 200
    this.#tunnel = true
    this.#bodyEnded = false
    this.#writeHead(200, fields, extra, false)
    this.#reading = this.#sink !== undefined
    this.#flowing = this.#reading
    this.#deliver()
  }

  override cut(): void {
    if (this.over) return
    this.stream.reset(this.#tunnel ? ErrorCode.cancel : ErrorCode.internal)
    this.#finish(this.answered ? 'cut' : 'gone')
  }

  /** The client kept us waiting too long, for its bytes or for its window. */
  expire(): void {
    this.stream.reset(ErrorCode.cancel)
    this.onClosed(ErrorCode.cancel)
  }

  // What the stream says.

  onData(part: Buffer): void {
    if (this.over) this.stream.consumed(part.length)
    else if (this.#flowing) this.#give(part)
    else this.#hold(part)
  }

  onRemoteEnd(trailers: FieldBlock | undefined): void {
    if (this.over) {
      if (trailers !== undefined) releaseFields(trailers)
      return
    }
    this.#trailers = trailers
    if (this.#flowing) this.#giveEnd()
  }

  onWritable(): void {
    if (!this.over) this.#sink?.onClientDrain()
  }

  onSent(): void {
    if (this.over) return
    // A client that still sends its body need not (RFC 9113 §8.1); a tunnel ends each way for itself.
    if (!this.stream.remoteEnded && !this.#tunnel) this.stream.reset(ErrorCode.none)
    this.#finish('whole')
  }

  onClosed(_code: number): void {
    if (this.over) return
    const sink = this.#sink
    const ending = this.status === 0 ? 'gone' : 'cut'
    this.ending = ending
    sink?.onClientGone()
    this.#finish(ending)
  }

  #send(part: Buffer, last: boolean): boolean {
    if (this.#promised >= 0 && !this.#tunnel) {
      this.#promised -= part.length
      // More than was promised, or all there is and less: either way the client must not take it for whole.
      if (this.#promised < 0 || (last && this.#promised > 0)) {
        this.cut()
        return true
      }
    }
    return this.stream.send(part, last)
  }

  /** @param length - Content-Length to add; -1 for none */
  #writeHead(status: number, fields: FieldBlock, extra: readonly FieldBlock[], endStream: boolean, length = -1): void {
    const { headers } = this.stream.session
    const date = status >= 200 && !hasDate(fields, extra) ? dateBlock(this.#clock) : undefined
    let room = roomFor(fields) + (date ? roomFor(date) : 0)
    for (let i = 0; i < extra.length; i++) room += roomFor(extra[i] as FieldBlock)
    const encoder = headers.begin(room)
    encoder.status(status)
    encoder.fields(fields, dropToClient)
    if (length >= 0) encoder.contentLength(length)
    for (let i = 0; i < extra.length; i++) encoder.fields(extra[i] as FieldBlock, dropToClient)
    if (date) encoder.fields(date, dropToClient)
    headers.finish(this.stream.id, endStream)
  }

  #expectsContinue(): boolean {
    return this.head.fields.valueOf(Field.expect)?.toLowerCase() === '100-continue'
  }

  /** Hands over what was held, and the end if that is all. */
  #deliver(): void {
    if (this.#flowing && this.#heldBytes > 0) this.#give(this.#takeHeld())
    if (this.#flowing && this.stream.remoteEnded && !this.over) this.#giveEnd()
  }

  #give(part: Buffer): void {
    if ((this.#sink as RequestSink).onBody(part)) this.stream.consumed(part.length)
    else if (!this.over) {
      this.#flowing = false
      this.#withheld = part.length
    }
  }

  #giveEnd(): void {
    if (this.#bodyEnded) return
    this.#bodyEnded = true
    const trailers = this.#trailers
    this.#trailers = undefined
    ;(this.#sink as RequestSink).onBodyEnd(trailers)
    if (trailers !== undefined) releaseFields(trailers)
  }

  #hold(part: Buffer): void {
    // TLS gives every chunk memory of its own, so a first part can be kept as it is.
    if (this.#heldBytes === 0) this.#held = part
    else {
      const windowBytes = this.stream.session.limits.streamWindowBytes
      const length = this.#heldBytes + part.length
      if (length > this.#held.length || this.#held.length === this.#heldBytes) {
        const larger = Buffer.allocUnsafeSlow(Math.max(length, Math.min(this.#heldBytes * 2, windowBytes)))
        this.#held.copy(larger, 0, 0, this.#heldBytes)
        this.#held = larger
      }
      part.copy(this.#held, this.#heldBytes)
    }
    this.#heldBytes += part.length
  }

  /** What was held. It counts as held until whoever takes it has consumed it. */
  #takeHeld(): Buffer {
    const held = this.#held.length === this.#heldBytes ? this.#held : this.#held.subarray(0, this.#heldBytes)
    this.#held = none
    this.#heldBytes = 0
    return held
  }

  #finish(ending: Ending): void {
    this.ending = ending
    this.#sink = undefined
    this.#flowing = false
    this.#held = none
    this.#heldBytes = 0
    if (this.#shown) {
      this.#connections.end()
      this.owner.ended(this)
    }
    const { head } = this
    if (this.#trailers !== undefined) releaseFields(this.#trailers)
    this.#trailers = undefined
    releaseFields(head.fields)
    // Late looks at the head find it empty, not another request's.
    head.fields = noFields
    head.pathStart = 0
    head.pathEnd = 0
  }
}

const none = Buffer.alloc(0)
const noFields = new FieldBlock()

function hasLength(head: AnswerHead): boolean {
  const { fields, extra } = head
  const index = fields.find(Field.contentLength)
  if (index >= 0 && fields.dropped[index] === 0) return true
  for (let i = 0; i < extra.length; i++) if ((extra[i] as FieldBlock).find(Field.contentLength) >= 0) return true
  return false
}

function dropLength(fields: FieldBlock): void {
  const index = fields.find(Field.contentLength)
  if (index >= 0) fields.dropped[index] = 1
}
