import type { Random } from '../../core/random.ts'
import { LoopError } from '../errors.ts'
import type { Exchange } from '../forward/exchange.ts'
import { forwardedLines, type Requester } from '../guard/forwarded.ts'
import { hasPassed, loopLine, ownLoopLine } from '../guard/loop.ts'
import { RequestIds, requestIdChars } from '../guard/request-id.ts'
import { Field } from '../http1/known-fields.ts'

/**
 * The fields that the gateway adds to every request to a host: `Via` (RFC 9110 §7.6.3), `CDN-Loop` (RFC 8586) and a request id. Put
 * together once, so that a request costs one copy and sixteen digits.
 */
export class RequestLines {
  readonly #loopId: string
  readonly #ids: RequestIds
  readonly #ownLoop: Buffer
  readonly #via: Buffer
  readonly #template: Buffer
  readonly #idAt: number

  /** @param loopId - this gateway's name in Via and CDN-Loop: its zone */
  constructor(loopId: string, random: Random) {
    this.#loopId = loopId.toLowerCase()
    this.#ids = new RequestIds(random)
    this.#ownLoop = ownLoopLine(loopId)
    const id = 'X-Request-Id: '
    this.#via = Buffer.from(`Via: 1.1 ${loopId}\r\n${id}${'0'.repeat(requestIdChars)}\r\n`)
    this.#idAt = this.#via.indexOf(id) + id.length
    this.#template = Buffer.concat([this.#via, this.#ownLoop])
  }

  /**
   * The lines for a request, with who asks where the site wants its hosts to know.
   * @throws LoopError when the request has been here before
   */
  of(exchange: Exchange, tellClient: boolean): Buffer {
    const { fields } = exchange.head
    if (hasPassed(fields, this.#loopId)) throw new LoopError(this.#loopId)
    const told = fields.find(Field.cdnLoop) >= 0 || tellClient
    const lines = Buffer.allocUnsafe(told ? this.#via.length : this.#template.length)
    this.#template.copy(lines)
    this.#ids.write(lines, this.#idAt)
    if (!told) return lines
    const parts = [lines, loopLine(fields, this.#ownLoop)]
    if (tellClient) parts.push(forwardedLines(requesterOf(exchange)))
    return Buffer.concat(parts)
  }
}

function requesterOf({ client, head }: Exchange): Requester {
  const { remoteAddress, secure, trusted } = client
  return { address: remoteAddress, secure, host: head.host, fields: head.fields, trusted }
}
