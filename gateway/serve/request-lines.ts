import type { Random } from '../../core/random.ts'
import { LoopError } from '../errors.ts'
import type { Exchange, RequestHead } from '../forward/exchange.ts'
import { forwardedLines, type Requester } from '../guard/forwarded.ts'
import { hasPassed, loopLine, ownLoopLine } from '../guard/loop.ts'
import { hopsLeft } from '../guard/max-forwards.ts'
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
  readonly #templates: Record<RequestHead['version'], Template>

  /** @param loopId - this gateway's name in Via and CDN-Loop: its zone */
  constructor(loopId: string, random: Random) {
    this.#loopId = loopId.toLowerCase()
    this.#ids = new RequestIds(random)
    this.#ownLoop = ownLoopLine(loopId)
    const of = (version: RequestHead['version']): Template => templateOf(version, loopId, this.#ownLoop)
    this.#templates = { '1.0': of('1.0'), '1.1': of('1.1'), '2': of('2') }
  }

  /**
   * The lines for a request, with who asks where the site wants its hosts to know.
   * @throws LoopError when the request has been here before
   */
  of(exchange: Exchange, tellClient: boolean): Buffer {
    const { fields, version } = exchange.head
    if (hasPassed(fields, this.#loopId)) throw new LoopError(this.#loopId)
    const { whole, loopAt, idAt } = this.#templates[version]
    const hops = hopsLeft(exchange.head)
    const plain = !tellClient && hops < 0 && fields.find(Field.cdnLoop) < 0
    const lines = Buffer.allocUnsafe(plain ? whole.length : loopAt)
    whole.copy(lines)
    this.#ids.write(lines, idAt)
    if (plain) return lines
    const parts = [lines, loopLine(fields, this.#ownLoop)]
    if (hops > 0) parts.push(Buffer.from(`Max-Forwards: ${hops - 1}\r\n`))
    if (tellClient) parts.push(forwardedLines(requesterOf(exchange)))
    return Buffer.concat(parts)
  }
}

/** The lines of a request that came in one version of HTTP, Via, id and CDN-Loop. */
interface Template {
  whole: Buffer
  /** Where the digits of the id stand. */
  idAt: number
  /** Where the line of CDN-Loop begins, which ends it. */
  loopAt: number
}

function templateOf(version: string, loopId: string, ownLoop: Buffer): Template {
  const lead = `Via: ${version} ${loopId}\r\nX-Request-Id: `
  const lines = Buffer.from(`${lead}${'0'.repeat(requestIdChars)}\r\n`)
  return { whole: Buffer.concat([lines, ownLoop]), idAt: lead.length, loopAt: lines.length }
}

function requesterOf({ client, head }: Exchange): Requester {
  const { remoteAddress, secure, trusted } = client
  return { address: remoteAddress, secure, host: head.host, fields: head.fields, trusted }
}
