import { METHODS } from 'node:http'
import type { AppError } from '../../../core/errors.ts'
import {
  BadRequestError,
  HeadersTooLargeError,
  MethodNotAllowedError,
  MisdirectedError,
  UriTooLongError,
} from '../../errors.ts'
import type { RequestHead } from '../../forward/exchange.ts'
import { type HostName, parseHost } from '../../guard/host-name.ts'
import { hasParentSegment } from '../../guard/request-path.ts'
import type { FieldBlock } from '../../http1/field-block.ts'
import { Field } from '../../http1/known-fields.ts'
import { Refusal, refusalTexts } from '../../http1/scan-fields.ts'
import { Pseudo } from '../../http2/field-kind.ts'
import { type ReceivedHead, releaseFields } from '../../http2/received-head.ts'

/** A longer authority is no host name: 253 bytes, a final dot and a port. */
const authorityBytesMax = 260
/** Digits of a Content-Length that a number holds exactly. */
const lengthDigitsMax = 15

/** What an HTTP/1 listener accepts; CONNECT is only the form in which a WebSocket is asked for. */
const neverMethods = ['CONNECT', 'TRACE', 'TRACK']
const allowedMethods: ReadonlySet<string> = new Set(METHODS.filter((name) => !neverMethods.includes(name)))

const bit = (pseudo: number): number => 1 << pseudo
const plainConnect = bit(Pseudo.method) | bit(Pseudo.authority)
const needed = bit(Pseudo.method) | bit(Pseudo.scheme) | bit(Pseudo.path)

/**
 * Turns a decoded header block into the head of a request, by the rules of RFC 9113 §8.3.1 and RFC 8441 §4. One serves all connections of a
 * thread: `parse`, then look at `head` and `error`.
 */
export class RequestParser {
  /** The request; its fields are given back with `releaseFields`. */
  head: RequestHead = nobody
  /** Why it may not pass, in a way that its sender is told. */
  error: AppError | undefined = undefined
  readonly #limits: { headBytesMax: number; headFieldsMax: number; uriBytesMax: number }
  #contentLength = -1
  #hostAt = -1
  #expectAt = -1

  constructor(limits: { headBytesMax: number; headFieldsMax: number; uriBytesMax: number }) {
    this.#limits = limits
  }

  /**
   * @param endStream - nothing follows the head
   * @param secure - the connection is TLS
   * @returns false when the request is malformed (RFC 9113 §8.1.1) in a way that no honest client's is: to be reset. `received` is used up
   */
  parse(received: ReceivedHead, endStream: boolean, secure: boolean): boolean {
    if (received.malformed) {
      received.drop()
      return false
    }
    const fields = received.takeFields()
    if (!this.#accept(received, fields, endStream)) {
      releaseFields(fields)
      return false
    }
    const tunnel = received.has(Pseudo.protocol)
    this.head = {
      method: tunnel ? 'GET' : received.method,
      pathStart: received.pathStart,
      pathEnd: received.pathEnd,
      host: '',
      fields,
      bodyBytes: endStream || tunnel ? 0 : this.#contentLength,
      upgrade: tunnel ? 'websocket' : undefined,
      version: '2',
    }
    this.error = this.#refusal(received, fields, endStream, secure)
    return true
  }

  #accept(received: ReceivedHead, fields: FieldBlock, endStream: boolean): boolean {
    if (!this.#scan(fields, endStream)) return false
    const { seen } = received
    if (received.has(Pseudo.status)) return false
    const connect = received.method === 'CONNECT'
    // What was too long to be kept may be what is missing here.
    if (received.tooLarge) return true
    if (connect && !received.has(Pseudo.protocol)) return seen === plainConnect
    if ((seen & needed) !== needed) return false
    if (received.has(Pseudo.protocol) && (!connect || !received.has(Pseudo.authority) || this.#contentLength >= 0))
      return false
    return this.#hostAgrees(received, fields)
  }

  /** Looks at the fields that frame and route. */
  #scan(fields: FieldBlock, endStream: boolean): boolean {
    const { code, count } = fields
    let lengthAt = -1
    this.#hostAt = -1
    this.#expectAt = -1
    this.#contentLength = -1
    for (let i = 0; i < count; i++) {
      const field = code[i]
      if (field === Field.contentLength) {
        if (lengthAt >= 0) return false
        lengthAt = i
      } else if (field === Field.host) {
        if (this.#hostAt >= 0) return false
        this.#hostAt = i
      } else if (field === Field.expect) this.#expectAt = i
    }
    if (lengthAt < 0) return true
    const length = decimal(fields, lengthAt)
    if (length < 0 || (endStream && length > 0)) return false
    this.#contentLength = length
    return true
  }

  /** RFC 9113 §8.3.1: a Host field beside `:authority` must say the same. */
  #hostAgrees(received: ReceivedHead, fields: FieldBlock): boolean {
    if (this.#hostAt < 0 || !received.has(Pseudo.authority)) return true
    const host = fields.value(this.#hostAt)
    return host === received.authority || host.toLowerCase() === received.authority.toLowerCase()
  }

  #refusal(received: ReceivedHead, fields: FieldBlock, endStream: boolean, secure: boolean): AppError | undefined {
    const limits = this.#limits
    if (received.pathTooLong) return new UriTooLongError(limits.uriBytesMax)
    if (received.tooMany)
      return new HeadersTooLargeError(`The request has more than ${limits.headFieldsMax} header fields.`)
    if (received.tooLarge)
      return new HeadersTooLargeError(`The request has more than ${limits.headBytesMax} bytes of header fields.`)
    if (received.badPath) return new BadRequestError('The :path holds characters that must be percent-encoded.')
    const { head } = this
    if (head.upgrade !== undefined) {
      if (received.protocol !== 'websocket') return new BadRequestError('CONNECT is offered for WebSocket only.')
      if (endStream) return new BadRequestError('A WebSocket cannot begin with its end.')
    } else if (!allowedMethods.has(head.method)) return methodRefusal(head.method)
    if (received.scheme !== (secure ? 'https' : 'http'))
      return new BadRequestError('The :scheme is not that of the connection.')
    if (fields.bytes[head.pathStart] === 0x2a && head.method !== 'OPTIONS')
      return new BadRequestError('The request target * is for OPTIONS only.')
    if (received.riskyPath && hasParentSegment(fields.bytes.toString('latin1', head.pathStart, head.pathEnd)))
      return new BadRequestError(refusalTexts[Refusal.parentSegment] as string)
    if (this.#expectAt >= 0 && fields.value(this.#expectAt).toLowerCase() !== '100-continue')
      return new BadRequestError(refusalTexts[Refusal.unsupportedExpect] as string)
    return this.#route(received, fields)
  }

  #route(received: ReceivedHead, fields: FieldBlock): AppError | undefined {
    if (!received.has(Pseudo.authority) && this.#hostAt < 0) return new BadRequestError('The request names no host.')
    const authority = received.has(Pseudo.authority) ? received.authority : fields.value(this.#hostAt)
    const host = this.#readHost(authority)
    if (host === undefined) return new BadRequestError('The :authority is not a valid host name.')
    if (host.kind === 'address') return new MisdirectedError('The :authority is an address; sites have names.')
    this.head.host = host.name
    return undefined
  }

  #readHost(authority: string): HostName | undefined {
    return authority.length > authorityBytesMax ? undefined : parseHost(authority)
  }
}

function methodRefusal(method: string): AppError {
  if (neverMethods.includes(method)) return new MethodNotAllowedError(method)
  return new BadRequestError('The :method is no known method in capital letters.')
}

function decimal(fields: FieldBlock, index: number): number {
  const start = fields.at[index * 4 + 2] as number
  const end = fields.at[index * 4 + 3] as number
  if (start === end || end - start > lengthDigitsMax) return -1
  let value = 0
  for (let i = start; i < end; i++) {
    const digit = (fields.bytes[i] as number) - 0x30
    if (digit < 0 || digit > 9) return -1
    value = value * 10 + digit
  }
  return value
}

const nobody = undefined as unknown as RequestHead
