import type { Socket } from 'node:net'
import { inMoment } from '../../core/moment.ts'
import { ChunkedDecoder, lastChunk, writeChunkSize } from '../http1/chunked.ts'
import { type FieldBlock, releaseBlock } from '../http1/field-block.ts'
import { dropInTrailer } from '../http1/known-fields.ts'
import { joinedBytesMax, MessageSocket, putBytes, scratch } from '../http1/message-socket.ts'
import { inChunks, ScannedAnswer, scanAnswer, untilClose } from '../http1/scan-answer.ts'
import { needMore, refusalTexts } from '../http1/scan-fields.ts'
import { wholeChunks } from '../http1/whole-chunks.ts'
import { answerFieldsMax, informationalMax } from './answer-limits.ts'
import type { HostPool } from './host-pool.ts'
import type { AnswerSink, HostFailure, HostRequest, HostStream } from './host-stream.ts'
import { putRequest } from './put-request.ts'

const lineEnd = Buffer.from('\r\n')
const zeroChunk = Buffer.from('0\r\n')
/** Room beside the fields of a trailer section. */
const sectionExtraBytes = 16

type Phase = 'connecting' | 'idle' | 'head' | 'body' | 'tunnel' | 'closed'

interface Queued {
  request: HostRequest
  body: Buffer | undefined
  last: boolean
}

/** A connection to a host on HTTP/1.1: one exchange at a time, kept for the next one where the answer allows. Never pipelines. */
export class HostConnection extends MessageSocket implements HostStream {
  readonly pool: HostPool
  /** Serves one client alone and is not kept. */
  dedicated = false
  /** Has carried an exchange before. */
  reused = false
  #phase: Phase = 'connecting'
  #sink: AnswerSink | undefined = undefined
  #queued: Queued | undefined = undefined
  #request: HostRequest | undefined = undefined
  readonly #answer = new ScannedAnswer()
  #chunks: ChunkedDecoder | undefined = undefined
  /** Bytes of body to come, `inChunks` or `untilClose`. */
  #left = 0
  /** The request's body goes out in chunks. */
  #chunked = false
  #requestSent = false
  #sawBytes = false
  #informational = 0
  #keepAlive = false
  /** The beginning of a head whose rest has not come. */
  #held: Buffer | undefined = undefined
  /** Read but not handed on, since the sink said stop. */
  #rest: Buffer | undefined = undefined
  #reading = true

  /** @param secure - the socket speaks TLS */
  constructor(socket: Socket, pool: HostPool, secure: boolean) {
    super(socket, secure)
    this.pool = pool
    pool.wheel.set(this, pool.timeouts.connectMs)
  }

  get usable(): boolean {
    return this.#phase === 'idle' && !this.socket.destroyed
  }

  /** Takes the connection for one exchange. */
  take(sink: AnswerSink): void {
    this.#sink = sink
    this.#requestSent = false
    this.#sawBytes = false
    this.#informational = 0
  }

  // --- HostStream

  send(request: HostRequest, body: Buffer | undefined, last: boolean): boolean {
    this.#request = request
    if (this.#phase === 'connecting') {
      this.#queued = { request, body, last }
      return false
    }
    this.#phase = 'head'
    this.#chunked = request.bodyBytes === -1 && !last
    const joined = body !== undefined && body.length <= joinedBytesMax
    const framing = this.#chunked ? inChunks : last ? (body?.length ?? 0) : request.bodyBytes
    const more = this.writeScratch(putRequest(request, joined ? body : undefined, framing))
    const all = body !== undefined && !joined ? this.#sendOwn(body) : more
    if (last) this.#sent()
    // While the body flows the client's own deadline counts.
    else this.pool.wheel.clear(this)
    return all
  }

  write(part: Buffer): boolean {
    if (this.#phase === 'tunnel') {
      this.#tunnelMoved()
      return this.writeOwned(Buffer.from(part))
    }
    if (this.#phase === 'closed') return true
    const free = this.#sendPart(part)
    // While the body waits for the host, that one's deadline counts.
    if (!free && this.#phase === 'head') this.pool.wheel.set(this, this.pool.timeouts.bodyIdleMs)
    return free
  }

  end(trailers?: FieldBlock): void {
    if (this.#phase === 'tunnel') return void this.socket.end()
    if (this.#phase === 'closed' || this.#requestSent) return
    if (this.#chunked) this.#sendEnd(trailers)
    this.#sent()
  }

  resumeAnswer(): void {
    if (this.#reading || this.#phase === 'closed') return
    const rest = this.#rest
    this.#rest = undefined
    if (rest && rest.length > 0 && !this.#receive(rest, 0, rest.length)) return void this.pool.wheel.clear(this)
    if (this.#left === 0 && this.#phase === 'body') this.#complete(undefined)
    else if (this.#phase === 'body') this.pool.wheel.set(this, this.pool.timeouts.answerIdleMs)
    else if (this.#phase === 'tunnel') this.#tunnelMoved()
    this.#reading = true
    this.socket.resume()
  }

  cancel(): void {
    this.#sink = undefined
    this.destroy()
  }

  // --- what the socket tells

  onConnected(): void {
    if (this.#phase !== 'connecting') return
    this.#phase = 'idle'
    this.pool.wheel.clear(this)
    const queued = this.#queued
    this.#queued = undefined
    if (queued && this.send(queued.request, queued.body, queued.last) && !queued.last) this.#sink?.onHostDrain()
  }

  /** Bytes in a buffer that is read into again once this returns true. */
  onBytes(bytes: Buffer, start: number, end: number): boolean {
    if (start === 0 ? inMoment(HostConnection.#received, this, end, bytes) : this.#receive(bytes, start, end))
      return true
    this.#reading = false
    // It is not the host that is silent now.
    this.pool.wheel.clear(this)
    return false
  }

  static #received(this: void, connection: HostConnection, count: number, bytes: Buffer): boolean {
    return connection.#receive(bytes, 0, count)
  }

  onEnd(): void {
    if (this.#phase === 'body' && this.#left === untilClose) return void this.#complete(undefined)
    if (this.#phase === 'tunnel') {
      const sink = this.#sink
      this.#sink = undefined
      sink?.onAnswerEnd(undefined)
      return void this.destroy()
    }
    this.#broken('closed the connection')
  }

  onError(error: Error): void {
    const code = (error as NodeJS.ErrnoException).code ?? error.message
    this.#broken(this.#phase === 'connecting' ? `cannot be reached (${code})` : 'closed the connection', error)
  }

  expire(): void {
    switch (this.#phase) {
      case 'connecting':
        return void this.#fail({ kind: 'timeout', what: 'accept the connection', ...this.#blame() })
      case 'head':
        return void this.#fail({
          kind: 'timeout',
          what: this.#requestSent ? 'begin its answer' : 'take the request',
          ...this.#blame(),
        })
      case 'body':
      case 'tunnel':
        return void this.#fail({ kind: 'timeout', what: 'go on with its answer', ...this.#blame() })
      default:
        this.destroy()
    }
  }

  destroy(): void {
    if (this.#phase === 'closed') return
    this.#phase = 'closed'
    this.pool.wheel.clear(this)
    this.#answer.release()
    this.#rest = undefined
    this.#held = undefined
    this.#queued = undefined
    this.pool.gone(this)
    this.socket.destroy()
  }

  protected onWritable(): void {
    if (this.#phase === 'head' && !this.#requestSent) this.pool.wheel.clear(this)
    this.#sink?.onHostDrain()
  }

  // --- sending

  /** A part that its giver wants back: it is copied, since the host takes it when it likes. */
  #sendPart(part: Buffer): boolean {
    return this.#sendOwn(Buffer.from(part))
  }

  #sendOwn(part: Buffer): boolean {
    if (!this.#chunked) return this.writeOwned(part)
    const line = Buffer.allocUnsafe(12)
    return this.writeFramed(line.subarray(0, writeChunkSize(line, 0, part.length)), part, lineEnd)
  }

  #sendEnd(trailers: FieldBlock | undefined): void {
    if (!trailers || trailers.count === 0) return void this.writeOwned(lastChunk)
    const out = scratch.ensure(trailers.end - trailers.lineStart(0) + sectionExtraBytes)
    const at = trailers.writeKept(out, putBytes(out, 0, zeroChunk))
    this.writeScratch(putBytes(out, at, lineEnd))
  }

  #sent(): void {
    this.#requestSent = true
    if (this.#phase === 'head') this.pool.wheel.set(this, this.pool.timeouts.firstByteMs)
  }

  // --- receiving

  /** Returns false when the sink wants no more for now. */
  #receive(bytes: Buffer, at: number, end: number): boolean {
    switch (this.#phase) {
      case 'head':
        return this.#receiveHead(bytes, at, end)
      case 'body':
        this.pool.wheel.set(this, this.pool.timeouts.answerIdleMs)
        return this.#receiveBody(bytes, at, end)
      case 'tunnel':
        this.#tunnelMoved()
        return this.#sink ? this.#sink.onAnswerBody(bytes.subarray(at, end)) : true
      default:
        // Nobody asked: whatever this is, it must not become the answer to somebody's next request.
        this.destroy()
        return true
    }
  }

  #receiveHead(bytes: Buffer, at: number, end: number): boolean {
    this.#sawBytes = true
    if (this.#held) {
      bytes = Buffer.concat([this.#held, bytes.subarray(at, end)])
      this.#held = undefined
      at = 0
      end = bytes.length
    }
    const answer = this.#answer
    const limits = { headBytesMax: this.pool.headBytesMax, headFieldsMax: answerFieldsMax }
    for (;;) {
      const next = scanAnswer(bytes, at, end, answer, limits, this.#request?.method ?? '')
      if (next === needMore) {
        this.#held = Buffer.from(bytes.subarray(at, end))
        return true
      }
      if (next < 0) return this.#invalid(refusalTexts[next] ?? 'its head')
      if (answer.status >= 200) return this.#begin(bytes, next, end)
      if (answer.status === 101) return this.#switch(bytes, next, end)
      if (++this.#informational > informationalMax) return this.#invalid('too many informational answers')
      if (answer.status !== 100) this.#sink?.onInformational(answer.status, answer.fields)
      at = next
      if (at >= end) return true
      if (this.#phase !== 'head') return true
    }
  }

  #begin(bytes: Buffer, at: number, end: number): boolean {
    const answer = this.#answer
    this.#keepAlive = answer.keepAlive
    this.#left = answer.bodyBytes
    if (answer.bodyBytes === 0) {
      if (at < end) this.#keepAlive = false
      return this.#answerWhole(undefined)
    }
    if (answer.bodyBytes > 0 && answer.bodyBytes <= joinedBytesMax && end - at >= answer.bodyBytes) {
      if (end - at > answer.bodyBytes) this.#keepAlive = false
      return this.#answerWhole(bytes.subarray(at, at + answer.bodyBytes))
    }
    if (answer.bodyBytes === inChunks) {
      const whole = wholeChunks(bytes, at, end)
      if (whole) return this.#answerWhole(whole)
      this.#chunks ??= new ChunkedDecoder()
      this.#chunks.reset()
    }
    this.#phase = 'body'
    this.pool.wheel.set(this, this.pool.timeouts.answerIdleMs)
    const sink = this.#sink as AnswerSink
    if (answer.bodyBytes === inChunks || at >= end) {
      const free = sink.onAnswer(answer, undefined, false)
      return free ? this.#receiveBody(bytes, at, end) : this.#stop(bytes, at, end)
    }
    const there = this.#left === untilClose ? end - at : Math.min(this.#left, end - at)
    if (at + there < end) this.#keepAlive = false
    if (this.#left !== untilClose) this.#left -= there
    return this.#handedOn(sink.onAnswer(answer, bytes.subarray(at, at + there), false))
  }

  #receiveBody(bytes: Buffer, at: number, end: number): boolean {
    if (this.#left === inChunks) return this.#receiveChunks(bytes, at, end)
    if (at >= end) return true
    const sink = this.#sink as AnswerSink
    if (this.#left === untilClose) return sink.onAnswerBody(bytes.subarray(at, end))
    const there = Math.min(this.#left, end - at)
    this.#left -= there
    if (at + there < end) this.#keepAlive = false
    return this.#handedOn(sink.onAnswerBody(bytes.subarray(at, at + there)))
  }

  /** After a part of counted length: the answer is complete only when its last part's memory is free, since the connection is used again. */
  #handedOn(free: boolean): boolean {
    if (this.#left === 0 && free && this.#phase === 'body') this.#complete(undefined)
    return free
  }

  #receiveChunks(bytes: Buffer, at: number, end: number): boolean {
    const chunks = this.#chunks as ChunkedDecoder
    while (at < end && !chunks.done) {
      at = chunks.step(bytes, at, end)
      if (at < 0) return this.#invalid('a malformed chunk')
      if (chunks.dataEnd === chunks.dataStart) continue
      const free = (this.#sink as AnswerSink).onAnswerBody(bytes.subarray(chunks.dataStart, chunks.dataEnd))
      if (this.#phase !== 'body') return true
      if (!free) return this.#stop(bytes, at, end)
    }
    if (!chunks.done) return true
    if (at < end) this.#keepAlive = false
    const { trailers } = chunks
    trailers?.dropBy(dropInTrailer)
    this.#complete(trailers)
    if (trailers) releaseBlock(trailers)
    return true
  }

  /** The sink wants no more: what was read stays where it is, since nothing is read over it before `resumeAnswer`. */
  #stop(bytes: Buffer, at: number, end: number): false {
    if (this.#phase !== 'closed') this.#rest = bytes.subarray(at, end)
    return false
  }

  #switch(bytes: Buffer, at: number, end: number): boolean {
    if (!this.#request?.upgrade) return this.#invalid('it switched protocols unasked')
    this.#phase = 'tunnel'
    this.#keepAlive = false
    this.#tunnelMoved()
    this.#sink?.onSwitched(this.#answer.fields)
    return at < end && this.#phase === 'tunnel' ? this.#receive(bytes, at, end) : true
  }

  #tunnelMoved(): void {
    this.pool.wheel.set(this, this.#request?.upgrade?.idleMs ?? this.pool.timeouts.answerIdleMs)
  }

  /** Hands a small answer on as one. The sink copies `part`, so the connection is free at once. */
  #answerWhole(part: Buffer | undefined): true {
    const sink = this.#sink as AnswerSink
    this.#sink = undefined
    this.#phase = 'idle'
    sink.onAnswer(this.#answer, part, true)
    this.#release()
    return true
  }

  #complete(trailers: FieldBlock | undefined): void {
    const sink = this.#sink
    this.#sink = undefined
    this.#phase = 'idle'
    this.#release()
    sink?.onAnswerEnd(trailers)
  }

  /** Back to the pool, or closed. */
  #release(): void {
    if (this.#phase !== 'idle') return
    this.#request = undefined
    this.reused = true
    // An answer that came before the request was through leaves a connection in the middle of a message.
    if (!this.#keepAlive || !this.#requestSent || this.waiting || this.socket.destroyed) return void this.destroy()
    this.pool.wheel.set(this, this.pool.timeouts.hostIdleMs)
    this.pool.putBack(this)
  }

  // --- failing

  #invalid(what: string): true {
    this.#fail({ kind: 'invalid', what, refused: false, stale: false })
    return true
  }

  #broken(what: string, cause?: unknown): void {
    if (this.#phase === 'closed') return
    const when =
      this.#phase === 'head' ? ' before it answered' : this.#phase === 'body' ? ' in the middle of its answer' : ''
    this.#fail({ kind: 'unreachable', what: what + when, cause, ...this.#blame() })
  }

  #blame(): Pick<HostFailure, 'refused' | 'stale'> {
    return { refused: this.#phase === 'connecting', stale: this.reused && this.#phase === 'head' && !this.#sawBytes }
  }

  #fail(failure: HostFailure): void {
    const sink = this.#sink
    this.#sink = undefined
    this.destroy()
    sink?.onHostFailed(failure)
  }
}
