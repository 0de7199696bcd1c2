import { BadRequestError, RequestTimeoutError } from '../../errors.ts'
import { type AnswerHead, Exchange, type RequestSink } from '../../forward/exchange.ts'
import { ChunkedDecoder, lastChunk, writeChunkSize } from '../../http1/chunked.ts'
import { dateBlock, hasDate } from '../../http1/date-block.ts'
import { type FieldBlock, releaseBlock } from '../../http1/field-block.ts'
import { dropInTrailer, Field } from '../../http1/known-fields.ts'
import { joinedBytesMax, putBytes, putNumber, scratch } from '../../http1/message-socket.ts'
import type { ScannedRequest } from '../../http1/scan-request.ts'
import { statusLine } from '../../http1/status-lines.ts'
import type { Http1Connection } from './http1-connection.ts'

const continueLine = Buffer.from('HTTP/1.1 100 Continue\r\n\r\n')
const lengthName = Buffer.from('Content-Length: ')
const chunkedLine = Buffer.from('Transfer-Encoding: chunked\r\n')
const closeLine = Buffer.from('Connection: close\r\n')
const keepAliveLine = Buffer.from('Connection: keep-alive\r\n')
const upgradeLines = Buffer.from('Connection: Upgrade\r\nUpgrade: websocket\r\n')
const lineEnd = Buffer.from('\r\n')
const zeroChunk = Buffer.from('0\r\n')

const deaf: RequestSink = { onBody: () => true, onBodyEnd() {}, onClientDrain() {}, onClientGone() {} }

/** Room for everything in a head besides the fields: status line, date, framing, connection. */
const headExtraBytes = 256

/** One exchange on an HTTP/1 connection. */
export class Http1Exchange extends Exchange {
  declare readonly head: ScannedRequest
  readonly #connection: Http1Connection
  #sink: RequestSink = deaf
  #chunks: ChunkedDecoder | undefined
  #bodyLeft: number
  #bodyEnded: boolean
  #reading = false
  #paused = false
  #tunnel = false
  #mayGoOn: boolean
  /** Bytes of the answer's body still to come; -1: in chunks; -2: until the connection closes. */
  #answerLeft = 0
  #headSent = false
  /** The request's body was malformed or too slow: a page could still be sent, but nothing after it. */
  #failed = false

  constructor(head: ScannedRequest, connection: Http1Connection) {
    super(head, connection.client, connection.context.owner, connection.context.clock.monotonicMs())
    this.#connection = connection
    this.#bodyLeft = head.bodyBytes
    this.#bodyEnded = head.bodyBytes === 0
    this.#chunks = head.bodyBytes < 0 ? new ChunkedDecoder() : undefined
    this.#mayGoOn = head.keepAlive
  }

  get bodyEnded(): boolean {
    return this.#bodyEnded
  }

  /** Whether bytes that come now go to the sink; otherwise the connection keeps them. */
  get wantsData(): boolean {
    return this.#tunnel ? !this.#paused : this.#reading && !this.#paused && !this.#bodyEnded
  }

  // --- what the connection tells

  onData(bytes: Buffer, start: number, end: number): void {
    this.#connection.context.wheel.set(this.#connection, this.#idleMs())
    if (this.#tunnel) {
      if (!this.#sink.onBody(bytes.subarray(start, end))) this.#pause()
      return
    }
    if (this.#chunks) this.#chunked(this.#chunks, bytes, start, end)
    else this.#counted(bytes, start, end)
  }

  clientEnded(): void {
    if (this.#tunnel) {
      this.#bodyEnded = true
      return void this.#sink.onBodyEnd(undefined)
    }
    if (!this.#bodyEnded) this.clientGone()
    // A client that closed its half after a whole request still gets its answer; the connection ends with it.
    this.#mayGoOn = false
  }

  clientGone(): void {
    if (this.over) return
    const sink = this.#sink
    this.#break()
    sink.onClientGone()
  }

  clientDrained(): void {
    if (this.over) return
    this.#connection.context.wheel.set(this.#connection, this.#idleMs())
    this.#sink.onClientDrain()
  }

  /** The deadline passed: the client is too slow with its body, or nothing moved for too long. */
  expired(): void {
    if (!this.#bodyEnded && !this.answered) return void this.#refuse(new RequestTimeoutError())
    // Whoever answers has to hear of it, or the host would go on with an answer that nobody gets.
    this.clientGone()
  }

  // --- the request's body

  takeWholeBody(): Buffer | undefined {
    const connection = this.#connection
    const length = this.#bodyLeft
    if (length <= 0 || this.#reading || connection.restBytes < length) return undefined
    this.#bodyLeft = 0
    this.#bodyEnded = true
    connection.context.wheel.set(connection, this.#idleMs())
    return connection.takeRest(length)
  }

  readBody(sink: RequestSink): void {
    this.#sink = sink
    if (this.#reading || this.#bodyEnded || this.over) return
    this.#reading = true
    if (this.#connection.restBytes === 0 && this.head.expectsContinue && !this.answered)
      this.#connection.sendOwned(continueLine)
    this.#feed()
  }

  resumeBody(): void {
    if (!this.#paused || this.over) return
    this.#paused = false
    const connection = this.#connection
    connection.context.wheel.set(connection, this.#idleMs())
    this.#feed()
  }

  listen(sink: RequestSink): void {
    this.#sink = sink
  }

  // --- the answer

  inform(status: number, fields: FieldBlock): void {
    if (this.#headSent || this.over || this.head.version === '1.0') return
    const out = scratch.ensure(fieldBytes(fields) + headExtraBytes)
    let at = putBytes(out, 0, statusLine(status))
    at = fields.writeKept(out, at)
    this.#connection.sendScratch(putBytes(out, at, lineEnd))
  }

  answer(answer: AnswerHead, body: Buffer | undefined, last: boolean): boolean {
    if (this.#headSent || this.over) return true
    this.#headSent = true
    this.status = answer.status
    if (this.#isBodyless(answer.status)) body = undefined
    if (!last) this.#connection.sendAtOnce()
    const { fields, extra } = answer
    const joinedBytes = body === undefined ? 0 : body.length <= joinedBytesMax ? body.length : -1
    let room = fieldBytes(fields) + headExtraBytes + Math.max(0, joinedBytes)
    for (let i = 0; i < extra.length; i++) room += fieldBytes(extra[i] as FieldBlock)
    const out = scratch.ensure(room)
    let at = putBytes(out, 0, statusLine(answer.status))
    at = fields.writeKept(out, at)
    for (let i = 0; i < extra.length; i++) at = (extra[i] as FieldBlock).writeKept(out, at)
    if (!hasDate(fields, extra)) at = dateBlock(this.#connection.context.clock).writeKept(out, at)
    at = this.#frame(out, at, answer)
    at = putBytes(out, at, lineEnd)
    const fits = this.#count(body?.length ?? 0)
    if (body === undefined || joinedBytes >= 0) {
      if (body !== undefined) at = this.#putPart(out, at, body)
      if (last && this.#answerLeft === -1) at = putBytes(out, at, lastChunk)
      const more = this.#connection.sendScratch(at)
      if (last || !fits) this.#finish(fits)
      return more
    }
    this.#connection.sendScratch(at)
    const free = this.#sendLarge(body)
    if (last && this.#answerLeft === -1) this.#connection.sendOwned(lastChunk)
    if (last || !fits) this.#finish(fits)
    return free
  }

  write(part: Buffer): boolean {
    if (this.over || part.length === 0) return true
    const connection = this.#connection
    connection.context.wheel.set(connection, this.#idleMs())
    if (this.#tunnel) return connection.sendBorrowed(part)
    if (!this.#count(part.length)) {
      this.#finish(false)
      return true
    }
    if (this.#answerLeft !== -1 || part.length > joinedBytesMax) return this.#sendLarge(part)
    const out = scratch.ensure(part.length + headExtraBytes)
    return connection.sendScratch(this.#putPart(out, 0, part))
  }

  end(trailers?: FieldBlock): void {
    if (this.over) return
    if (this.#tunnel) {
      this.#over('whole', false)
      return
    }
    if (this.#answerLeft === -1) this.#sendEnd(trailers)
    this.#finish(true)
  }

  upgrade(fields: FieldBlock, extra: readonly FieldBlock[]): void {
    if (this.#headSent || this.over) return
    this.#headSent = true
    this.#tunnel = true
    this.#connection.sendAtOnce()
    this.#mayGoOn = false
    this.status = 101
    let room = fieldBytes(fields) + headExtraBytes
    for (let i = 0; i < extra.length; i++) room += fieldBytes(extra[i] as FieldBlock)
    const out = scratch.ensure(room)
    let at = putBytes(out, 0, statusLine(101))
    at = putBytes(out, at, upgradeLines)
    at = fields.writeKept(out, at)
    for (let i = 0; i < extra.length; i++) at = (extra[i] as FieldBlock).writeKept(out, at)
    this.#connection.sendScratch(putBytes(out, at, lineEnd))
    this.#connection.context.wheel.set(this.#connection, this.#idleMs())
    this.#feed()
  }

  cut(): void {
    if (!this.over) this.#break()
  }

  // --- inside

  /** Ends the exchange in the middle. */
  #break(): void {
    const hidden = this.#answerLeft === -2 && this.#headSent
    this.#over(this.answered ? 'cut' : 'gone', false)
    // A body that ends with its connection looks whole whenever that closes cleanly, so it must not.
    if (hidden && !this.client.secure) this.#connection.socket.resetAndDestroy()
    this.#connection.destroy()
  }

  #counted(bytes: Buffer, start: number, end: number): void {
    const next = Math.min(end, start + this.#bodyLeft)
    this.#bodyLeft -= next - start
    this.#bodyEnded = this.#bodyLeft === 0
    // First, since the sink may end the exchange, and the connection then goes on with what it kept.
    this.#connection.stash(bytes, next, end)
    if (!this.#sink.onBody(bytes.subarray(start, next)) && !this.#bodyEnded) this.#pause()
    if (this.#bodyEnded) this.#endBody(undefined)
  }

  #chunked(chunks: ChunkedDecoder, bytes: Buffer, at: number, end: number): void {
    while (at < end && !chunks.done && !this.#paused && !this.over) {
      const next = chunks.step(bytes, at, end)
      if (next < 0) return void this.#refuse(new BadRequestError('A chunk of the body is malformed.'))
      at = next
      if (chunks.dataEnd > chunks.dataStart && !this.#sink.onBody(bytes.subarray(chunks.dataStart, chunks.dataEnd)))
        this.#pause()
    }
    this.#bodyEnded = chunks.done
    if (!this.over) this.#connection.stash(bytes, at, end)
    if (chunks.done) this.#endBody(chunks.trailers)
  }

  #endBody(trailers: FieldBlock | undefined): void {
    if (this.over) return
    trailers?.dropBy(dropInTrailer)
    this.#connection.context.wheel.set(this.#connection, this.#idleMs())
    this.#sink.onBodyEnd(trailers)
    if (trailers) releaseBlock(trailers)
  }

  #pause(): void {
    const connection = this.#connection
    this.#paused = true
    connection.pause()
    // It is not the client that is slow now: whoever reads the body keeps a deadline of its own, and comes first.
    if (!this.#tunnel) connection.context.wheel.set(connection, 2 * this.#idleMs())
  }

  /** Hands on what the connection kept, then lets the socket flow. */
  #feed(): void {
    const connection = this.#connection
    const there = connection.restBytes
    if (there > 0 && this.wantsData) {
      const rest = connection.takeRest(there)
      this.onData(rest, 0, rest.length)
    }
    if (!this.over && this.wantsData) connection.resume()
  }

  /** The request's body is not what its head promised: whoever answers hears that the client is gone; the client gets a page if it can. */
  #refuse(error: BadRequestError | RequestTimeoutError): void {
    this.#failed = true
    const sink = this.#sink
    const answered = this.answered
    this.fault = 'caller'
    if (!answered) this.status = error.status
    this.#over(answered ? 'cut' : 'whole', false, answered)
    sink.onClientGone()
    if (answered) this.#connection.destroy()
    else this.#connection.refuse(error)
  }

  #idleMs(): number {
    const { timeouts } = this.#connection.context.settings.config
    if (this.#tunnel) return this.idleMs ?? timeouts.answerIdleMs
    return this.#bodyEnded ? timeouts.answerIdleMs : timeouts.bodyIdleMs
  }

  #isBodyless(status: number): boolean {
    return this.head.method === 'HEAD' || status === 204 || status === 304
  }

  /** Writes what frames the answer and says how the connection goes on. */
  #frame(out: Buffer, at: number, answer: AnswerHead): number {
    const { head } = this
    if (this.#isBodyless(answer.status)) this.#answerLeft = 0
    else if (answer.bodyBytes >= 0) {
      this.#answerLeft = answer.bodyBytes
      if (!hasLength(answer)) {
        at = putBytes(out, at, lengthName)
        at = putBytes(out, putNumber(out, at, answer.bodyBytes), lineEnd)
      }
    } else if (head.version === '1.1') {
      this.#answerLeft = -1
      at = putBytes(out, at, chunkedLine)
    } else {
      this.#answerLeft = -2
      this.#mayGoOn = false
    }
    // Nobody reads the rest of the request: where the next one begins will not be known.
    if (!this.#bodyEnded && !this.#reading) this.#mayGoOn = false
    if (this.#connection.context.connections.draining) this.#mayGoOn = false
    if (!this.#mayGoOn) return putBytes(out, at, closeLine)
    return head.version === '1.0' ? putBytes(out, at, keepAliveLine) : at
  }

  /** Counts bytes of the answer. False when they are more than its head promised. */
  #count(bytes: number): boolean {
    if (this.#answerLeft < 0) return true
    this.#answerLeft -= bytes
    return this.#answerLeft >= 0
  }

  #putPart(out: Buffer, at: number, part: Buffer): number {
    if (this.#answerLeft !== -1) return at + part.copy(out, at)
    if (part.length === 0) return at
    at = writeChunkSize(out, at, part.length)
    at += part.copy(out, at)
    return putBytes(out, at, lineEnd)
  }

  /** A part too large to copy. */
  #sendLarge(part: Buffer): boolean {
    const connection = this.#connection
    if (this.#answerLeft !== -1) return connection.sendBorrowed(part)
    const line = Buffer.allocUnsafe(12)
    return connection.sendFramed(line.subarray(0, writeChunkSize(line, 0, part.length)), part, lineEnd)
  }

  #sendEnd(trailers: FieldBlock | undefined): void {
    if (!trailers || trailers.count === 0) return void this.#connection.sendOwned(lastChunk)
    const out = scratch.ensure(fieldBytes(trailers) + headExtraBytes)
    let at = putBytes(out, 0, zeroChunk)
    at = trailers.writeKept(out, at)
    this.#connection.sendScratch(putBytes(out, at, lineEnd))
  }

  /** The answer is written. Where less (or more) came than its head promised, the client must see that. */
  #finish(fits: boolean): void {
    if (this.#answerLeft > 0 || !fits) {
      this.#over('cut', false)
      this.#connection.destroy()
      return
    }
    this.#over('whole', this.#mayGoOn && this.#bodyEnded)
  }

  #over(ending: 'whole' | 'cut' | 'gone', mayGoOn: boolean, silent = false): void {
    this.ending = ending
    this.#sink = deaf
    this.#connection.context.connections.end()
    this.owner.ended(this)
    this.head.release()
    // Old clients send an empty line behind a body: unread, it would reset the connection before the answer is read.
    const { keepAlive, bodyBytes } = this.head
    if (!silent && ending === 'whole' && !this.#failed)
      this.#connection.finished(mayGoOn, !keepAlive && bodyBytes === 0 && !this.#tunnel)
    else this.#connection.exchange = undefined
  }
}

function fieldBytes(fields: FieldBlock): number {
  return fields.count === 0 ? 0 : fields.end - fields.lineStart(0)
}

function hasLength(answer: AnswerHead): boolean {
  const { fields, extra } = answer
  const index = fields.find(Field.contentLength)
  if (index >= 0 && fields.dropped[index] === 0) return true
  for (let i = 0; i < extra.length; i++) if ((extra[i] as FieldBlock).find(Field.contentLength) >= 0) return true
  return false
}
