import type { Socket } from 'node:net'
import type { AppError } from '../../../core/errors.ts'
import {
  BadRequestError,
  HeadersTooLargeError,
  MethodNotAllowedError,
  MisdirectedError,
  RequestTimeoutError,
  UriTooLongError,
} from '../../errors.ts'
import type { ClientConnection } from '../../forward/exchange.ts'
import { dateBlock } from '../../http1/date-block.ts'
import { MessageSocket } from '../../http1/message-socket.ts'
import { needMore, Refusal, refusalTexts } from '../../http1/scan-fields.ts'
import { ScannedRequest, scanRequest } from '../../http1/scan-request.ts'
import { statusLine } from '../../http1/status-lines.ts'
import type { OpenConnection } from '../connections.ts'
import type { ListenContext } from '../listen-context.ts'
import { Http1Exchange } from './http1-exchange.ts'

/** After an answer to a request whose body nobody read, what still comes is thrown away for so long and so much, so that the answer is seen. */
const lingerMs = 5_000
const lingerBytesMax = 262_144

type Phase = 'fresh' | 'idle' | 'head' | 'exchange' | 'linger' | 'closed'

const lf = 0x0a
const nothing = Buffer.alloc(0)

/** One client's HTTP/1 connection: reads heads, hands exchanges out one after the other, keeps the deadlines. */
export class Http1Connection extends MessageSocket implements OpenConnection {
  readonly context: ListenContext
  readonly client: ClientConnection
  exchange: Http1Exchange | undefined = undefined
  /** Received but not consumed: the beginning of a head, a body nobody reads yet, or the next request of a client that pipelines. */
  pending: Buffer | undefined = undefined
  pendingAt = 0
  /** Reading has been stopped. */
  paused = false
  #rest: Buffer = nothing
  #restAt = 0
  #restEnd = 0
  #phase: Phase = 'fresh'
  #consuming = false
  #ended = false
  #lingered = 0
  #served = false
  #atOnce = false
  #spare: ScannedRequest | undefined = undefined

  /** @param secure - the socket speaks TLS */
  constructor(socket: Socket, client: ClientConnection, context: ListenContext) {
    super(socket, client.secure)
    this.context = context
    this.client = client
    context.connections.add(this)
    context.wheel.set(this, context.settings.config.timeouts.headMs)
  }

  /** True between requests: nothing is lost when it is closed now. */
  get idle(): boolean {
    return this.#phase === 'idle' || this.#phase === 'fresh'
  }

  /** Nothing has been asked yet. */
  get settling(): boolean {
    return this.#phase === 'fresh'
  }

  /** Bytes came. They lie in a buffer that is read into again: what is to be kept is copied. */
  onData(bytes: Buffer, start: number, end: number): void {
    switch (this.#phase) {
      case 'exchange':
        return void this.#exchangeData(bytes, start, end)
      case 'linger':
        this.#lingered += end - start
        if (this.#lingered > lingerBytesMax) this.destroy()
        return
      case 'closed':
        return
      case 'head':
        return void this.#headData(bytes, start, end)
      default:
        this.consume(bytes, start, end)
    }
  }

  /** The client has sent all it will. */
  onEnd(): void {
    this.#ended = true
    if (this.exchange) this.exchange.clientEnded()
    else this.closeSoon()
  }

  onClosed(): void {
    if (this.#phase === 'closed') return
    this.#phase = 'closed'
    this.context.wheel.clear(this)
    this.context.connections.remove(this)
    this.pending = undefined
    this.exchange?.clientGone()
  }

  expire(): void {
    switch (this.#phase) {
      case 'head':
        return void this.refuse(new RequestTimeoutError())
      case 'exchange':
        return void this.exchange?.expired()
      case 'fresh':
      case 'idle':
        return void this.closeSoon()
      default:
        this.destroy()
    }
  }

  drain(): void {
    if (this.idle) this.closeSoon()
  }

  /** Cuts the connection. */
  destroy(): void {
    this.socket.destroy()
    this.onClosed()
  }

  /** Closes after everything written has gone out. */
  closeSoon(): void {
    if (this.#phase === 'closed') return
    if (this.#phase !== 'linger') {
      this.#phase = 'linger'
      this.context.wheel.set(this, lingerMs)
      // The socket is read on until the other side closes too: closing over unread bytes would reset it, and the answer might be lost.
      this.socket.end()
      this.resume()
    }
    if (this.#ended) this.socket.destroySoon()
  }

  /** Reads what was received: requests one after the other, until one is under way or the bytes are used up. */
  consume(bytes: Buffer, at: number, end: number): void {
    this.#consuming = true
    const { config } = this.context.settings
    for (;;) {
      const head = this.#spare ?? new ScannedRequest()
      this.#spare = head
      const next = scanRequest(bytes, at, end, head, config.limits)
      if (next === needMore) {
        this.#awaitHead(Buffer.from(bytes.subarray(at, end)))
        break
      }
      if (next < 0) {
        this.refuse(refusalError(next, config.limits.uriBytesMax))
        break
      }
      this.#spare = undefined
      head.keep(bytes, at, next)
      // What follows stays where it is for the length of the call: nearly always it is the body, which goes on at once.
      this.#rest = bytes
      this.#restAt = next
      this.#restEnd = end
      this.#begin(head)
      if (this.#restAt < this.#restEnd && this.#phase !== 'idle') this.#keepRest()
      if (this.exchange || this.#phase !== 'idle') break
      const { pending } = this
      if (pending) {
        // The exchange took all there was, and gave back what comes behind its body.
        bytes = pending
        at = this.pendingAt
        end = pending.length
        this.pending = undefined
        this.resume()
      } else if (this.#restAt < this.#restEnd) {
        at = this.#restAt
        end = this.#restEnd
        bytes = this.#rest
      } else break
    }
    this.#rest = nothing
    this.#restAt = 0
    this.#restEnd = 0
    this.#consuming = false
  }

  /** Bytes that came behind the head and are not used yet. */
  get restBytes(): number {
    return this.pending ? this.pending.length - this.pendingAt : this.#restEnd - this.#restAt
  }

  /** Takes `count` of those bytes. They are valid during the call, or for good when they had been kept. */
  takeRest(count: number): Buffer {
    const { pending } = this
    if (!pending) {
      const start = this.#restAt
      this.#restAt = start + count
      return this.#rest.subarray(start, start + count)
    }
    const start = this.pendingAt
    this.pendingAt = start + count
    if (this.pendingAt === pending.length) this.pending = undefined
    return pending.subarray(start, start + count)
  }

  /**
   * The exchange is over.
   * @param mayGoOn - another request may follow
   * @param asked - the client wants the connection closed, so nothing follows, and its request was read to the end
   */
  finished(mayGoOn: boolean, asked: boolean): void {
    this.exchange = undefined
    if (this.#phase === 'closed') return
    if (!mayGoOn || this.#ended || this.context.connections.draining) return void this.#close(asked)
    this.#phase = 'idle'
    this.context.wheel.set(this, this.context.settings.config.timeouts.keepAliveMs)
    if (this.#consuming) return
    const bytes = this.pending
    if (bytes) {
      this.pending = undefined
      this.resume()
      this.consume(bytes, this.pendingAt, bytes.length)
    } else this.resume()
  }

  /** Keeps bytes for later and stops reading: whoever sends faster than we take has to wait. */
  stash(bytes: Buffer, start: number, end: number): void {
    if (start >= end) return
    const rest = Buffer.from(bytes.subarray(start, end))
    this.pending = this.pending ? Buffer.concat([this.pending.subarray(this.pendingAt), rest]) : rest
    this.pendingAt = 0
    this.pause()
  }

  /**
   * Small writes go out although earlier ones are not acknowledged. The first answer, when it is one write, needs no such thing, and many
   * connections carry no second one: so the call into the kernel waits until it matters.
   */
  sendAtOnce(): void {
    if (this.#atOnce) return
    this.#atOnce = true
    if (!this.client.secure) this.socket.setNoDelay(true)
  }

  pause(): void {
    if (this.paused) return
    this.paused = true
    this.socket.pause()
  }

  resume(): void {
    if (!this.paused) return
    this.paused = false
    this.socket.resume()
  }

  /** Answers a request that could not be read, and closes: where the next one would begin is unknown. */
  refuse(error: AppError): void {
    const page = this.context.refuse(error)
    let text = statusLine(page.status).toString()
    for (let i = 0; i + 1 < page.fields.length; i += 2) text += `${page.fields[i]}: ${page.fields[i + 1]}\r\n`
    text += `Date: ${dateBlock(this.context.clock).value(0)}\r\n`
    text += `Content-Length: ${Buffer.byteLength(page.body)}\r\nConnection: close\r\n\r\n`
    this.writeOwned(Buffer.from(text + page.body))
    this.closeSoon()
  }

  protected onWritable(): void {
    this.exchange?.clientDrained()
  }

  // The exchange writes through its connection.
  sendScratch(end: number): boolean {
    return this.writeScratch(end)
  }

  sendBorrowed(part: Buffer): boolean {
    return this.writeBorrowed(part)
  }

  sendFramed(before: Buffer, part: Buffer, after: Buffer): boolean {
    return this.writeFramed(before, part, after)
  }

  sendOwned(part: Buffer): boolean {
    return this.writeOwned(part)
  }

  /** Nothing unread can be on its way, so the kernel may have the rest; TLS has to say goodbye first. */
  #close(asked: boolean): void {
    if (!asked || this.client.secure || this.socket.writableLength > 0 || this.pending) return void this.closeSoon()
    this.destroy()
  }

  #begin(head: ScannedRequest): void {
    const { context } = this
    if (this.#served) this.sendAtOnce()
    this.#served = true
    const { timeouts } = context.settings.config
    const exchange = new Http1Exchange(head, this)
    this.#phase = 'exchange'
    this.exchange = exchange
    context.wheel.set(this, head.bodyBytes !== 0 ? timeouts.bodyIdleMs : timeouts.answerIdleMs)
    context.connections.begin()
    context.handle(exchange)
  }

  #exchangeData(bytes: Buffer, start: number, end: number): void {
    const exchange = this.exchange
    if (!exchange || this.pending || !exchange.wantsData) return void this.stash(bytes, start, end)
    exchange.onData(bytes, start, end)
  }

  /** An exchange is under way that has not taken what came behind its head. */
  #keepRest(): void {
    if (this.#phase !== 'exchange') return
    this.stash(this.#rest, this.#restAt, this.#restEnd)
    this.#restAt = this.#restEnd
  }

  #headData(bytes: Buffer, start: number, end: number): void {
    const held = this.pending as Buffer
    const fresh = bytes.subarray(start, end)
    const head = Buffer.concat([held, fresh])
    // Without a line end nothing new can be decided, except that it is too much: scanning again for every byte would cost the square.
    const { limits } = this.context.settings.config
    this.pending = head
    if (!fresh.includes(lf) && head.length < limits.uriBytesMax) return
    this.pending = undefined
    this.consume(head, 0, head.length)
  }

  #awaitHead(bytes: Buffer): void {
    this.pending = bytes
    this.pendingAt = 0
    if (this.#phase === 'head') return
    this.#phase = 'head'
    this.context.wheel.set(this, this.context.settings.config.timeouts.headMs)
  }
}

/** The error of a refusal, for its page and status. */
export function refusalError(refusal: number, uriBytesMax: number): AppError {
  const text = refusalTexts[refusal] ?? 'The request is not valid HTTP/1.1.'
  switch (refusal) {
    case Refusal.headTooLarge:
    case Refusal.tooManyFields:
      return new HeadersTooLargeError(text)
    case Refusal.targetTooLong:
      return new UriTooLongError(uriBytesMax)
    case Refusal.hostIsAddress:
      return new MisdirectedError(text)
    case Refusal.methodNotAllowed:
      return new MethodNotAllowedError('TRACE, TRACK or CONNECT')
    default:
      return new BadRequestError(text)
  }
}
