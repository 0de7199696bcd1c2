import type { ServerResponse } from 'node:http'
import type { GatewayConfig } from '../config.ts'
import { BadRequestError, MethodNotAllowedError, StaticNotFoundError } from '../errors.ts'
import type { ClientSide } from '../forward/forwarder.ts'
import type { RequestHead } from '../guard/check-request.ts'
import type { Resolution } from '../ports.ts'
import { contentType } from './content-type.ts'
import { parseRange } from './range.ts'
import { findEntry, type SiteEntry } from './unixfs-site.ts'
import { parseCid, type VerifiedBlocks } from './verified-blocks.ts'

export interface StaticRequest {
  head: RequestHead
  client: ClientSide
  site: Resolution & { target: { kind: 'static' } }
}

type FileEntry = SiteEntry & { kind: 'file' }

/**
 * Answers a request from files by content identifier. Directories show their index.html; a missing file shows the site's catch-all page
 * (status 200, for single-page apps) or its /404.html (status 404). Only verified bytes leave; when a block turns out bad after the head
 * has gone, the connection is cut.
 * @throws AppError before anything was sent
 */
export async function serveStatic(
  request: StaticRequest,
  blocks: VerifiedBlocks,
  config: GatewayConfig['static'],
): Promise<void> {
  const { head, client, site } = request
  if (head.method !== 'GET' && head.method !== 'HEAD') throw new MethodNotAllowedError(head.method)
  const segments = pathSegments(head.path, config.pathSegmentsMax)
  const root = parseCid(site.target.cid)
  const find = (path: readonly string[]): Promise<SiteEntry | undefined> => findEntry(blocks, root, path, config)
  const entry = await find(segments)
  if (entry?.kind === 'directory') {
    if (!pathOf(head.path).endsWith('/')) return redirectToSlash(client.response, head.path)
    const index = await find([...segments, 'index.html'])
    if (index?.kind === 'file') return sendFile(request, index, 'index.html', 200)
  }
  if (entry?.kind === 'file') return sendFile(request, entry, segments.at(-1) ?? '', 200)
  const { catchAllPath } = site.target
  if (catchAllPath !== undefined) {
    const path = catchAllPath.split('/').filter(Boolean)
    const page = await find(path)
    if (page?.kind === 'file') return sendFile(request, page, path.at(-1) ?? '', 200)
  }
  const missing = segments.length > 0 ? await find(['404.html']) : undefined
  if (missing?.kind === 'file') return sendFile(request, missing, '404.html', 404)
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

function redirectToSlash(response: ServerResponse, target: string): void {
  const path = pathOf(target)
  // A path that begins with two slashes would be read as another host.
  const location = `${path.replace(/^\/+/, '/')}/${target.slice(path.length)}`
  response.writeHead(301, { Location: location, 'Content-Length': '0' }).end()
}

async function sendFile(request: StaticRequest, file: FileEntry, name: string, status: 200 | 404): Promise<void> {
  const { head, client, site } = request
  const { response } = client
  const etag = `"${file.cid}"`
  const wanted = client.request.headers
  // A name can be pointed elsewhere at any time; a hash label cannot.
  const cache = site.via === 'label' ? 'public, max-age=31536000, immutable' : 'public, max-age=0, must-revalidate'
  const fields = { ETag: etag, 'Cache-Control': cache, 'X-Content-Type-Options': 'nosniff', 'Accept-Ranges': 'bytes' }
  if (status === 200 && matchesEtag(wanted['if-none-match'], etag)) return void response.writeHead(304, fields).end()
  const mayRange =
    status === 200 && head.method === 'GET' && (wanted['if-range'] === undefined || wanted['if-range'] === etag)
  const range = mayRange ? parseRange(wanted.range, file.bytes) : undefined
  if (range === 'unsatisfiable') {
    return void response
      .writeHead(416, { ...fields, 'Content-Range': `bytes */${file.bytes}`, 'Content-Length': '0' })
      .end()
  }
  const { start, end } = range ?? { start: 0, end: file.bytes }
  const full = { ...fields, 'Content-Type': contentType(name), 'Content-Length': String(end - start) }
  const partial = range ? { 'Content-Range': `bytes ${start}-${end - 1}/${file.bytes}` } : {}
  const writeHead = (): void => void response.writeHead(range ? 206 : status, { ...full, ...partial })
  if (head.method === 'HEAD' || start === end) {
    writeHead()
    return void response.end()
  }
  await sendBody(response, file.read(start, end), end - start, writeHead)
}

/** The head goes out with the first verified block, so that a bad first block still becomes a clear error page. */
async function sendBody(
  response: ServerResponse,
  body: AsyncGenerator<Uint8Array>,
  bytes: number,
  writeHead: () => void,
): Promise<void> {
  let sent = 0
  try {
    for await (const part of body) {
      if (response.destroyed) return
      if (sent === 0) writeHead()
      sent += part.length
      if (!response.write(part)) await drained(response)
    }
  } catch (error) {
    if (sent === 0) throw error
    response.destroy()
    throw error
  }
  // A tree whose parts add up to less than it claims: the client must see that the end is missing.
  if (sent < bytes) response.destroy()
  else response.end()
}

/** Resolves when the client has taken what was written, or has gone. */
function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off('drain', done).off('close', done)
      resolve()
    }
    response.on('drain', done).on('close', done)
  })
}

function matchesEtag(value: string | undefined, etag: string): boolean {
  if (value === undefined) return false
  return value.trim() === '*' || value.split(',').some((item) => item.trim().replace(/^W\//, '') === etag)
}
