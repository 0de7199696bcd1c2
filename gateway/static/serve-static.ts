import { type CompressionRules, planCompression } from '../compress/plan-compression.ts'
import type { GatewayConfig } from '../config.ts'
import { BadRequestError, MethodNotAllowedError, StaticNotFoundError } from '../errors.ts'
import type { Exchange, RequestSink } from '../forward/exchange.ts'
import { sendWhole } from '../forward/send-page.ts'
import type { SiteRate } from '../guard/site-rates.ts'
import { blockOf, releaseBlock } from '../http1/field-block.ts'
import { Field } from '../http1/known-fields.ts'
import { joinedBytesMax } from '../http1/message-socket.ts'
import type { Resolution } from '../ports.ts'
import { type AnswerFeeder, ShapedAnswer, type ShapingPorts } from '../serve/shaped-answer.ts'
import { contentType } from './content-type.ts'
import { parseRange } from './range.ts'
import { findEntry, type SiteEntry } from './unixfs-site.ts'
import { parseCid, type VerifiedBlocks } from './verified-blocks.ts'

type StaticSite = Resolution & { target: { kind: 'static' } }
type FileEntry = SiteEntry & { kind: 'file' }

export interface StaticPorts {
  blocks: VerifiedBlocks
  config: GatewayConfig['static']
  shaping: ShapingPorts
  /** How the site's answers are compressed; undefined for not at all. */
  compression: CompressionRules | undefined
  /** Of the site, where it has one. */
  rate: SiteRate | undefined
}

/**
 * Answers a request from files by content identifier. Directories show their index.html; a missing file shows the site's catch-all page
 * (status 200, for single-page apps) or its /404.html (status 404). Only verified bytes leave; when a block turns out bad after the head
 * has gone, the connection is cut.
 * @throws AppError before anything was sent
 */
export async function serveStatic(exchange: Exchange, site: StaticSite, ports: StaticPorts): Promise<void> {
  const { blocks, config } = ports
  const { head, path: target } = exchange
  if (head.method !== 'GET' && head.method !== 'HEAD') throw new MethodNotAllowedError(head.method, 'GET, HEAD')
  const segments = pathSegments(target, config.pathSegmentsMax)
  const root = parseCid(site.target.cid)
  const find = (path: readonly string[]): Promise<SiteEntry | undefined> => findEntry(blocks, root, path, config)
  const entry = await find(segments)
  if (entry?.kind === 'directory') {
    if (!pathOf(target).endsWith('/')) return redirectToSlash(exchange, target)
    const index = await find([...segments, 'index.html'])
    if (index?.kind === 'file') return sendFile(exchange, site, ports, index, 'index.html', 200)
  }
  if (entry?.kind === 'file') return sendFile(exchange, site, ports, entry, segments.at(-1) ?? '', 200)
  const { catchAllPath } = site.target
  if (catchAllPath !== undefined) {
    const path = catchAllPath.split('/').filter(Boolean)
    const page = await find(path)
    if (page?.kind === 'file') return sendFile(exchange, site, ports, page, path.at(-1) ?? '', 200)
  }
  const missing = segments.length > 0 ? await find(['404.html']) : undefined
  if (missing?.kind === 'file') return sendFile(exchange, site, ports, missing, '404.html', 404)
  throw new StaticNotFoundError(site.target.cid)
}

function pathOf(target: string): string {
  return target.split('?', 1)[0] as string
}

/** @throws BadRequestError when a segment cannot be decoded, or there are too many */
function pathSegments(target: string, segmentsMax: number): string[] {
  const segments = pathOf(target).split('/').filter(Boolean)
  if (segments.length > segmentsMax) throw new BadRequestError(`The path has more than ${segmentsMax} segments.`)
  return segments.map((segment) => {
    try {
      const name = decodeURIComponent(segment)
      if (!/[\0/\\]/.test(name) && name !== '.' && name !== '..') return name
    } catch {
      // Falls through to the one error for all of them.
    }
    throw new BadRequestError('The path has a segment that names no file.')
  })
}

function redirectToSlash(exchange: Exchange, target: string): void {
  const path = pathOf(target)
  // A path that begins with two slashes would be read as another host.
  sendWhole(exchange, 301, ['Location', `${path.replace(/^\/+/, '/')}/${target.slice(path.length)}`])
}

async function sendFile(
  exchange: Exchange,
  site: StaticSite,
  ports: StaticPorts,
  file: FileEntry,
  name: string,
  status: 200 | 404,
): Promise<void> {
  const { method, fields: wanted } = exchange.head
  const etag = `"${file.cid}"`
  // A name can be pointed elsewhere at any time; a hash label cannot.
  const cache = site.via === 'label' ? 'public, max-age=31536000, immutable' : 'public, max-age=0, must-revalidate'
  const fields = ['ETag', etag, 'Cache-Control', cache, 'X-Content-Type-Options', 'nosniff', 'Accept-Ranges', 'bytes']
  if (status === 200 && matchesEtag(wanted.valueOf(Field.ifNoneMatch), etag)) return sendWhole(exchange, 304, fields)
  const ifRange = wanted.valueOf(Field.ifRange)
  const mayRange = status === 200 && method === 'GET' && (ifRange === undefined || ifRange === etag)
  const range = mayRange ? parseRange(wanted.valueOf(Field.range), file.bytes) : undefined
  if (range === 'unsatisfiable') return sendWhole(exchange, 416, [...fields, 'Content-Range', `bytes */${file.bytes}`])
  const { start, end } = range ?? { start: 0, end: file.bytes }
  fields.push('Content-Type', contentType(name), 'Content-Length', String(end - start))
  if (range) fields.push('Content-Range', `bytes ${start}-${end - 1}/${file.bytes}`)
  const answer = { status: range ? 206 : status, fields, bytes: end - start }
  if (method === 'HEAD' || start === end) return sendHead(exchange, answer)
  await new FileBody(exchange, answer, ports).send(file.read(start, end))
}

interface FileAnswer {
  status: number
  fields: string[]
  bytes: number
}

function sendHead(exchange: Exchange, answer: FileAnswer): void {
  const fields = blockOf(answer.fields)
  exchange.answer({ status: answer.status, fields, extra: [], bodyBytes: answer.bytes }, undefined, true)
  releaseBlock(fields)
}

/** A file on its way to the client, at the client's pace and the site's. */
class FileBody implements RequestSink, AnswerFeeder {
  readonly #exchange: Exchange
  readonly #answer: FileAnswer
  readonly #compression: CompressionRules | undefined
  readonly #shaped: ShapedAnswer
  #resume: (() => void) | undefined = undefined

  constructor(exchange: Exchange, answer: FileAnswer, { shaping, compression, rate }: StaticPorts) {
    this.#exchange = exchange
    this.#answer = answer
    this.#compression = compression
    this.#shaped = new ShapedAnswer(exchange, this, rate, shaping)
  }

  /**
   * Resolves when all is written, or the client has gone. The head goes out with the first verified block, so that a bad first block still
   * becomes a clear error page.
   * @throws AppError when a block is bad
   */
  async send(body: AsyncGenerator<Uint8Array>): Promise<void> {
    const exchange = this.#exchange
    const { bytes } = this.#answer
    exchange.listen(this)
    let sent = 0
    try {
      for await (const block of body) {
        if (exchange.over) return
        const part = Buffer.from(block.buffer, block.byteOffset, block.byteLength)
        const whole = sent === 0 && part.length === bytes && bytes <= joinedBytesMax
        const free = sent === 0 ? this.#begin(whole ? part : undefined) : true
        sent += part.length
        if (whole) return
        if (!free) await this.#drained()
        if (!this.#shaped.write(part)) await this.#drained()
      }
      // A tree whose parts add up to less than it claims: the client must see that the end is missing.
      if (sent < bytes) exchange.cut()
      else this.#shaped.end(undefined)
    } catch (error) {
      this.#shaped.destroy()
      throw error
    } finally {
      if (exchange.over) this.#shaped.destroy()
    }
  }

  onBody(): boolean {
    return true
  }

  onBodyEnd(): void {}

  onClientDrain(): void {
    this.#shaped.clientDrained()
  }

  onClientGone(): void {
    this.#shaped.destroy()
    this.resumeHost()
  }

  resumeHost(): void {
    const resume = this.#resume
    this.#resume = undefined
    resume?.()
  }

  shapingFailed(): void {
    this.#exchange.cut()
    this.resumeHost()
  }

  /** @param whole - the body, where it is small and all there */
  #begin(whole: Buffer | undefined): boolean {
    const { status, bytes } = this.#answer
    const fields = blockOf(this.#answer.fields)
    const rules = this.#compression
    const encoding = rules && planCompression(this.#exchange.head, status, fields, bytes, rules)
    const free = this.#shaped.answer(
      { status, fields, extra: [], bodyBytes: bytes },
      whole,
      whole !== undefined,
      encoding,
    )
    releaseBlock(fields)
    return free
  }

  #drained(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#exchange.over) resolve()
      else this.#resume = resolve
    })
  }
}

function matchesEtag(value: string | undefined, etag: string): boolean {
  if (value === undefined) return false
  return value.trim() === '*' || value.split(',').some((item) => item.trim().replace(/^W\//, '') === etag)
}
