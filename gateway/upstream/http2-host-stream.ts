import { Deadline } from '../../core/timing-wheel.ts'
import { FieldBlock } from '../http1/field-block.ts'
import { joinedBytesMax } from '../http1/message-socket.ts'
import { ErrorCode } from '../http2/error-code.ts'
import type { Http2Stream, StreamHandler } from '../http2/http2-stream.ts'
import { type ReceivedHead, releaseFields } from '../http2/received-head.ts'
import { informationalMax } from './answer-limits.ts'
import { HeldBody } from './held-body.ts'
import type { AnswerSink, HostAnswer, HostFailure, HostRequest, HostStream } from './host-stream.ts'
import { readAnswerHead } from './http2-answer-head.ts'
import type { Http2Host } from './http2-host.ts'
import { writeRequestHead } from './http2-request-head.ts'

/**
 * One exchange as a stream of an HTTP/2 connection; is the head of its answer, too. A sink that wants no more holds up this stream alone: what
 * the host sends meanwhile is kept, at most a window of it.
 */
export class Http2HostStream extends Deadline implements HostStream, StreamHandler, HostAnswer {
  status = 0
  fields: FieldBlock = noFields
  bodyBytes = 0
  readonly nominates = false
  readonly #host: Http2Host
  #sink: AnswerSink | undefined
  #stream: Http2Stream = unsent
  #method = ''
  /** Of `Http2Host.reads`, when the request was sent. */
  #readsBefore = 0
  #informational = 0
  /** The head has been handed on. */
  #begun = false
  /** Body that came in the same read as the head. */
  #first: Buffer | undefined = undefined
  #flowing = true
  /** Bytes that the sink got when it wanted no more: they count as read when it goes on. */
  #withheld = 0
  #held: HeldBody | undefined = undefined
  /** The answer is complete, as far as the host is concerned. */
  #ended = false
  #trailers: FieldBlock | undefined = undefined
  /** What the host did wrong. */
  #wrong: string | undefined = undefined

  constructor(host: Http2Host, sink: AnswerSink) {
    super()
    this.#host = host
    this.#sink = sink
  }

  // --- HostStream

  send(request: HostRequest, body: Buffer | undefined, last: boolean): boolean {
    const { session, reads } = this.#host
    const empty = body === undefined || body.length === 0
    this.#method = request.method
    this.#readsBefore = reads
    const stream = session.open(this)
    this.#stream = stream
    writeRequestHead(session.headers, request, stream.id, last && empty)
    if (last && empty) stream.noteLocalEnd()
    else if (!empty) return this.#noteSent(stream.send(body as Buffer, last))
    return true
  }

  write(part: Buffer): boolean {
    if (this.#sink === undefined || part.length === 0) return true
    const stream = this.#stream
    const free = stream.send(part, false)
    if (!free) stream.keepPending()
    return this.#noteSent(free)
  }

  end(trailers?: FieldBlock): void {
    if (this.#sink !== undefined) this.#stream.end(trailers)
  }

  resumeAnswer(): void {
    if (this.#flowing || this.#sink === undefined) return
    this.#flowing = true
    const bytes = this.#withheld
    this.#withheld = 0
    this.#stream.consumed(bytes)
    const held = this.#held
    if (held !== undefined && held.bytes > 0) this.#give(held.take())
    if (this.#ended && this.#flowing && this.#sink !== undefined) this.#complete()
  }

  cancel(): void {
    if (this.#sink !== undefined) this.#finish(false)
  }

  // --- what the session tells

  /** A header block of the answer. @returns 0, or the error code that ends the connection */
  onHead(head: ReceivedHead, endStream: boolean): number {
    const wrong = readAnswerHead(head, endStream, this.#method, this)
    if (wrong !== undefined) return this.#fault(wrong)
    if (this.status < 200) return this.#inform()
    const stream = this.#stream
    stream.headReceived = true
    stream.expectedBytes = this.bodyBytes
    this.#moved()
    if (endStream) {
      stream.remoteEnded = true
      if (stream.localEnded) stream.session.forget(stream)
      this.onRemoteEnd(undefined)
    } else this.#host.session.noteFresh(this)
    return ErrorCode.none
  }

  /** The chunk in which the answer began has been read. */
  onReadEnd(): void {
    if (!this.#begun && this.#sink !== undefined) this.#begin(false)
  }

  onData(part: Buffer): void {
    const stream = this.#stream
    if (this.#sink === undefined) return void stream.consumed(part.length)
    if (!stream.headReceived) {
      const error = this.#fault('a body without a head')
      if (error !== ErrorCode.none) stream.session.fail(error)
      return
    }
    this.#moved()
    if (this.#begun) this.#pass(part)
    else this.#gather(part)
  }

  onRemoteEnd(trailers: FieldBlock | undefined): void {
    this.#trailers = trailers
    if (this.#sink === undefined) return void this.#dropTrailers()
    if (!this.#stream.headReceived) {
      this.#wrong = 'an end without a head'
      return void this.#fail(this.#invalid())
    }
    this.#ended = true
    if (!this.#begun) {
      if (trailers === undefined) return void this.#begin(true)
      this.#begin(false)
    }
    if (this.#flowing && this.#sink !== undefined) this.#complete()
  }

  onWritable(): void {
    this.#host.owner.wheel.clear(this)
    if (this.#begun) this.#moved()
    this.#sink?.onHostDrain()
  }

  onSent(): void {
    const { wheel, timeouts } = this.#host.owner
    if (this.#sink !== undefined && !this.#begun) wheel.set(this, timeouts.firstByteMs)
  }

  onClosed(code: number): void {
    // A host that has answered need not read what is left of the request (RFC 9113 §8.1).
    if (this.#sink === undefined || this.#ended) return
    this.#fail(this.#failureOf(code))
  }

  expire(): void {
    if (this.#sink === undefined) return
    // It is the client that keeps the answer waiting; a deadline of its own counts that.
    if (!this.#flowing) return void this.#moved()
    const what = this.#begun
      ? 'go on with its answer'
      : this.#stream.localEnded
        ? 'begin its answer'
        : 'take the request'
    this.#fail({ kind: 'timeout', what, refused: false, stale: false })
  }

  // --- inside

  #inform(): number {
    const { fields } = this
    // Not this stream's any more, whatever the sink does.
    this.fields = noFields
    if (this.status !== 100) this.#sink?.onInformational(this.status, fields)
    releaseFields(fields)
    return ++this.#informational > informationalMax ? this.#fault('too many informational answers') : ErrorCode.none
  }

  /** While the body waits for the host, that one's deadline counts; while it flows, the client's. */
  #noteSent(free: boolean): boolean {
    const { wheel, timeouts } = this.#host.owner
    if (!free && !this.#begun) wheel.set(this, timeouts.bodyIdleMs)
    return free
  }

  #moved(): void {
    const { wheel, timeouts } = this.#host.owner
    wheel.set(this, timeouts.answerIdleMs)
  }

  /** What comes in the same read as the head travels together with it. */
  #gather(part: Buffer): void {
    const first = this.#first
    if (first === undefined) this.#first = part
    else if (first.length + part.length <= joinedBytesMax) this.#first = Buffer.concat([first, part])
    else {
      this.#begin(false)
      if (this.#sink !== undefined) this.#pass(part)
    }
  }

  /** @param whole - the answer is complete, without trailers */
  #begin(whole: boolean): void {
    const first = this.#first
    this.#first = undefined
    this.#begun = true
    const bytes = first === undefined ? 0 : first.length
    const last = whole && bytes <= joinedBytesMax
    // Now that its length is known, whoever passes it on may say so.
    if (last && this.bodyBytes < 0) this.bodyBytes = bytes
    const sink = this.#sink as AnswerSink
    if (last) this.#finish(true)
    const free = sink.onAnswer(this, first, last)
    this.#dropFields()
    if (last || this.#sink === undefined) return
    this.#account(bytes, free)
    if (whole && this.#flowing) this.#complete()
  }

  #pass(part: Buffer): void {
    if (this.#flowing) return void this.#give(part)
    this.#held ??= new HeldBody(this.#stream.session.limits.streamWindowBytes)
    this.#held.add(part)
  }

  #give(part: Buffer): void {
    const sink = this.#sink as AnswerSink
    const free = sink.onAnswerBody(part)
    if (this.#sink !== undefined) this.#account(part.length, free)
  }

  #account(bytes: number, free: boolean): void {
    if (free) return void this.#stream.consumed(bytes)
    this.#flowing = false
    this.#withheld = bytes
  }

  #complete(): void {
    const sink = this.#sink as AnswerSink
    const trailers = this.#trailers
    this.#trailers = undefined
    this.#finish(true)
    sink.onAnswerEnd(trailers)
    if (trailers !== undefined) releaseFields(trailers)
  }

  /** The host broke a rule. @returns 0, or the error code that ends the connection */
  #fault(what: string): number {
    this.#wrong = what
    return this.#stream.session.streamFault(this.#stream, ErrorCode.protocol)
  }

  #failureOf(code: number): HostFailure {
    const { goawayCode, session, answered, reads } = this.#host
    const when = this.#stream.headReceived ? ' in the middle of its answer' : ' before it answered'
    if (session.closed) {
      const stale = answered > 0 && reads === this.#readsBefore
      return { kind: 'unreachable', what: `closed the connection${when}`, refused: false, stale }
    }
    if (code === ErrorCode.settingsTimeout && session.closing)
      return { kind: 'timeout', what: 'accept the connection', refused: false, stale: false }
    if (session.closing || session.wasReset(this.#stream.id)) return this.#invalid()
    if (code !== ErrorCode.refusedStream || this.#stream.headReceived)
      return { kind: 'unreachable', what: `gave up the request${when} (error ${code})`, refused: false, stale: false }
    // The host has not looked at it. One that ends its connections now and then is as well as before.
    const stale = goawayCode === ErrorCode.none && answered > 0
    return { kind: 'unreachable', what: 'turned the request away', refused: true, stale, declined: true }
  }

  #invalid(): HostFailure {
    const what = this.#wrong ?? 'it broke the rules of HTTP/2'
    return { kind: 'invalid', what, refused: false, stale: false }
  }

  #fail(failure: HostFailure): void {
    const sink = this.#sink
    const { silent } = this.#host
    this.#finish(false)
    if (!silent) sink?.onHostFailed(failure)
  }

  /** Nothing of the exchange is wanted any more, on either side. */
  #finish(answered: boolean): void {
    this.#sink = undefined
    this.#host.owner.wheel.clear(this)
    this.#held?.drop()
    this.#first = undefined
    this.#dropTrailers()
    // Once handed on they are given back by whoever does that: the sink may still look at them.
    if (!this.#begun) this.#dropFields()
    if (this.#stream !== unsent) this.#stream.reset(ErrorCode.cancel)
    this.#host.release(answered)
  }

  #dropFields(): void {
    const { fields } = this
    this.fields = noFields
    if (fields !== noFields) releaseFields(fields)
  }

  #dropTrailers(): void {
    if (this.#trailers !== undefined) releaseFields(this.#trailers)
    this.#trailers = undefined
  }
}

const noFields = new FieldBlock()
const unsent = undefined as unknown as Http2Stream
