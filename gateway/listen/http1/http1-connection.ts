import type { Socket } from 'node:net'
import { BadRequestError, HeadersTooLargeError, MethodNotAllowedError, MisdirectedError, RequestTimeoutError, UriTooLongError } from '../../errors.ts'
import type { AppError } from '../../../core/errors.ts'
import type { ClientConnection } from '../../forward/exchange.ts'
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

/** One client's HTTP/1 connection: reads heads, hands exchanges out one after the other, keeps the deadlines. */
export class Http1Connection extends MessageSocket implements OpenConnection {
  readonly context: ListenContext
  readonly client: ClientConnection
  exchange: Http1Exchange | undefined = undefined
  /** Received but not consumed: the beginning of a head, a body nobody reads yet, or the next request of a client that pipelines. */
  pending: Buffer | undefined = undefined
  pendingAt = 0
  #phase: Phase = 'fresh'
  #consuming = false
  #ended = false
  #lingered = 0
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

  onData(chunk: Buffer): void {
    switch (this.#phase) {
      case 'exchange':
        return this.#exchangeData(chunk)
      case 'linger':
        this.#lingered += chunk.length
        if (this.#lingered > lingerBytesMax) this.destroy()
        return
      case 'closed':
        return
      case 'head':
        return this.#headData(chunk)
      default:
        this.consume(chunk, 0)
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
        return this.refuse(new RequestTimeoutError())
      case 'exchange':
        return this.exchange?.expired()
      case 'fresh':
      case 'idle':
        return this.closeSoon()
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
    this.#phase = 'linger'
    this.context.wheel.set(this, lingerMs)
    // The socket is read on until the other side closes too: closing over unread bytes would reset it, and the answer might be lost.
    this.socket.end()
    this.socket.resume()
    if (this.#ended) this.socket.destroySoon()
  }

  /** Reads what was received: requests one after the other, until one is under way or the bytes are used up. */
  consume(bytes: Buffer, at: number): void {
    this.#consuming = true
    const { config } = this.context.settings
    for (;;) {
      const head = (this.#spare ??= new ScannedRequest())
      const next = scanRequest(bytes, at, bytes.length, head, config.limits)
      if (next === needMore) {
        this.#awaitHead(at === 0 ? bytes : bytes.subarray(at))
        break
      }
      if (next < 0) {
        this.refuse(refusalError(next, config.limits.uriBytesMax))
        break
      }
      this.#spare = undefined
      this.pending = next < bytes.length ? bytes : undefined
      this.pendingAt = next
      this.#begin(head)
      if (this.exchange || this.#phase !== 'idle' || !this.pending) break
      bytes = this.pending
      at = this.pendingAt
      this.pending = undefined
    }
    this.#consuming = false
  }

  /** The exchange is over, and the connection may go on. */
  finished(mayGoOn: boolean): void {
    this.exchange = undefined
    if (this.#phase === 'closed') return
    if (!mayGoOn || this.#ended || this.context.connections.draining) return this.closeSoon()
    this.#phase = 'idle'
    this.context.wheel.set(this, this.context.settings.config.timeouts.keepAliveMs)
    if (this.#consuming) return
    const bytes = this.pending
    if (bytes) {
      this.pending = undefined
      this.socket.resume()
      this.consume(bytes, this.pendingAt)
    } else if (this.socket.isPaused()) this.socket.resume()
  }

  /** Keeps bytes for later and stops reading: whoever sends faster than we take has to wait. */
  stash(bytes: Buffer, at: number): void {
    if (at >= bytes.length) return
    const rest = at === 0 ? bytes : bytes.subarray(at)
    this.pending = this.pending ? Buffer.concat([this.pending.subarray(this.pendingAt), rest]) : rest
    this.pendingAt = 0
    this.socket.pause()
  }

  /** Answers a request that could not be read, and closes: where the next one would begin is unknown. */
  refuse(error: AppError): void {
    const page = this.context.refuse(error)
    let text = statusLine(page.status).toString()
    for (let i = 0; i + 1 < page.fields.length; i += 2) text += `${page.fields[i]}: ${page.fields[i + 1]}\r\n`
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

  #begin(head: ScannedRequest): void {
    const { context } = this
    const { timeouts } = context.settings.config
    const exchange = new Http1Exchange(head, this)
    this.#phase = 'exchange'
    this.exchange = exchange
    context.wheel.set(this, head.bodyBytes !== 0 ? timeouts.bodyIdleMs : timeouts.answerIdleMs)
    context.connections.begin()
    context.handle(exchange)
  }

  #exchangeData(chunk: Buffer): void {
    const exchange = this.exchange
    if (!exchange || this.pending || !exchange.wantsData) return this.stash(chunk, 0)
    exchange.onData(chunk, 0)
  }

  #headData(chunk: Buffer): void {
    const held = this.pending as Buffer
    this.pending = undefined
    const bytes = Buffer.concat([held, chunk])
    // Without a line end nothing new can be decided, except that it is too much: scanning again for every byte would cost the square.
    const { limits } = this.context.settings.config
    if (!chunk.includes(lf) && bytes.length < limits.uriBytesMax) {
      this.pending = bytes
      return
    }
    this.consume(bytes, 0)
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
