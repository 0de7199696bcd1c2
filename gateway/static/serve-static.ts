import type { GatewayConfig } from '../config.ts'
import { BadRequestError, MethodNotAllowedError, StaticNotFoundError } from '../errors.ts'
import type { Exchange, RequestSink } from '../forward/exchange.ts'
import { sendWhole } from '../forward/send-page.ts'
import { blockOf, releaseBlock } from '../http1/field-block.ts'
import { Field } from '../http1/known-fields.ts'
import type { Resolution } from '../ports.ts'
import { contentType } from './content-type.ts'
import { parseRange } from './range.ts'
import { findEntry, type SiteEntry } from './unixfs-site.ts'
import { parseCid, type VerifiedBlocks } from './verified-blocks.ts'

type StaticSite = Resolution & { target: { kind: 'static' } }
type FileEntry = SiteEntry & { kind: 'file' }

/**
 * Answers a request from files by content identifier. Directories show their index.html; a missing file shows the site's catch-all page
 * (status 200, for single-page apps) or its /404.html (status 404). Only verified bytes leave; when a block turns out bad after the head
 * has gone, the connection is cut.
 * @throws AppError before anything was sent
 */
export async function serveStatic(
  exchange: Exchange,
  site: StaticSite,
  blocks: VerifiedBlocks,
  config: GatewayConfig['static'],
): Promise<void> {
  const { head, path: target } = exchange
  if (head.method !== 'GET' && head.method !== 'HEAD') throw new MethodNotAllowedError(head.method)
  const segments = pathSegments(target, config.pathSegmentsMax)
  const root = parseCid(site.target.cid)
  const find = (path: readonly string[]): Promise<SiteEntry | undefined> => findEntry(blocks, root, path, config)
  const entry = await find(segments)
  if (entry?.kind === 'directory') {
    if (!pathOf(target).endsWith('/')) return redirectToSlash(exchange, target)
    const index = await find([...segments, 'index.html'])
    if (index?.kind === 'file') return sendFile(exchange, site, index, 'index.html', 200)
  }
  if (entry?.kind === 'file') return sendFile(exchange, site, entry, segments.at(-1) ?? '', 200)
  const { catchAllPath } = site.target
  if (catchAllPath !== undefined) {
    const path = catchAllPath.split('/').filter(Boolean)
    const page = await find(path)
    if (page?.kind === 'file') return sendFile(exchange, site, page, path.at(-1) ?? '', 200)
  }
  const missing = segments.length > 0 ? await find(['404.html']) : undefined
  if (missing?.kind === 'file') return sendFile(exchange, site, missing, '404.html', 404)
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
  if (method === 'HEAD' || start === end) return sendHead(exchange, answer, undefined, true)
  await sendBody(exchange, answer, file.read(start, end))
}

interface FileAnswer {
  status: number
  fields: string[]
  bytes: number
}

function sendHead(exchange: Exchange, answer: FileAnswer, part: Buffer | undefined, last: boolean): void {
  const fields = blockOf(answer.fields)
  exchange.answer({ status: answer.status, fields, extra: [], bodyBytes: answer.bytes }, part, last)
  releaseBlock(fields)
}

/** Resolves when the client has taken what was written, or has gone. */
class ClientPace implements RequestSink {
  #resume: (() => void) | undefined = undefined

  drained(): Promise<void> {
    return new Promise((resolve) => {
      this.#resume = resolve
    })
  }

  onBody(): boolean {
    return true
  }

  onBodyEnd(): void {}

  onClientDrain(): void {
    const resume = this.#resume
    this.#resume = undefined
    resume?.()
  }

  onClientGone(): void {
    this.onClientDrain()
  }
}

/** The head goes out with the first verified block, so that a bad first block still becomes a clear error page. */
async function sendBody(exchange: Exchange, answer: FileAnswer, body: AsyncGenerator<Uint8Array>): Promise<void> {
  const pace = new ClientPace()
  exchange.listen(pace)
  let sent = 0
  for await (const part of body) {
    if (exchange.over) return
    const bytes = Buffer.from(part.buffer, part.byteOffset, part.byteLength)
    if (sent === 0) sendHead(exchange, answer, undefined, false)
    sent += part.length
    if (!exchange.write(bytes)) await pace.drained()
  }
  // A tree whose parts add up to less than it claims: the client must see that the end is missing.
  if (sent < answer.bytes) exchange.cut()
  else exchange.end()
}

function matchesEtag(value: string | undefined, etag: string): boolean {
  if (value === undefined) return false
  return value.trim() === '*' || value.split(',').some((item) => item.trim().replace(/^W\//, '') === etag)
}
