import { Readable } from 'node:stream'
import { parseCid, rawCodec } from '../../protocol/cid.ts'
import { hashKind } from '../../protocol/item-hash.ts'
import type { CcnLimits } from '../config.ts'
import { contentFields } from '../content-fields.ts'
import type { ContentSource } from '../content-source.ts'
import { BadRequestError, NotFoundError, TooLargeError } from '../errors.ts'
import type { FileStore, FileTag, MessageStore, StoredFile } from '../ports.ts'
import type { App, Reply, Request } from './app.ts'
import { type Query, textParam } from './query.ts'
import { getMessage } from './routes-messages.ts'

/** Routes that read files and blocks (protocol 3.6, and the raw blocks of a trustless gateway). All answers are local. */
export function addFileRoutes(
  app: App,
  store: MessageStore,
  files: FileStore,
  content: ContentSource,
  limits: CcnLimits,
): void {
  app.get('/api/v0/storage/limits.json', async () => ({
    storage: { authenticated: limits.signedFileBytesMax, unauthenticated: limits.fileBytesMax },
    ipfs: { authenticated: limits.ipfsFileBytesMax, unauthenticated: limits.fileBytesMax },
    car: { authenticated: limits.carBytesMax, unauthenticated: limits.fileBytesMax },
  }))
  app.get('/api/v0/storage/raw/:hash', async (request, reply) => {
    const hash = hashOf(request)
    return sendFile(reply, hash, await getFile(content, hash))
  })
  app.get('/api/v0/storage/:hash', async (request) => {
    const hash = hashOf(request)
    const file = await getFile(content, hash)
    if (file.sizeBytes > limits.fileBytesMax)
      throw new TooLargeError('file', limits.fileBytesMax, 'Read it from /api/v0/storage/raw.')
    const engine = hashKind(hash) === 'storage' ? 'storage' : 'ipfs'
    return { status: 'success', hash, engine, content: base64Lines(await Readable.from(file.stream()).toArray()) }
  })
  app.get('/api/v0/storage/by-message-hash/:hash', async (request) => {
    const { message, content: stored, status } = await getMessage(store, request)
    const { hash, owner, ref } = contentFields(stored)
    if (message.type !== 'STORE' || status !== 'processed' || !hash)
      throw new NotFoundError('This message is no STORE with a file.')
    return describeFile(store, { ref: ref ?? message.item_hash, owner, fileHash: hash })
  })
  app.get('/api/v0/storage/by-ref/:ref', (request) => byTag(store, (request.params as { ref: string }).ref))
  app.get('/api/v0/storage/by-ref/:address/:ref', (request) => {
    const { address, ref } = request.params as { address: string; ref: string }
    return byTag(store, `${address}/${ref}`)
  })
  app.get('/api/v0/storage/metadata/:hash', async (request) => {
    const file = await getKnownFile(store, hashOf(request))
    return { file_hash: file.hash, size: file.sizeBytes, pins: file.pins.map((item_hash) => ({ item_hash })) }
  })
  app.get('/api/v0/storage/count/:hash', async (request) => (await store.file(hashOf(request)))?.pins.length ?? 0)
  app.get('/ipfs/:cid', (request, reply) => sendIpfs(request, reply, files, content))
}

function hashOf(request: Request): string {
  const { hash } = request.params as { hash: string }
  if (hashKind(hash)) return hash
  throw new BadRequestError(`"${hash.slice(0, 80)}" is neither a SHA-256 in hex nor a CID.`)
}

async function getFile(content: ContentSource, hash: string): Promise<StoredFile> {
  const file = await content.open(hash)
  if (file) return file
  throw new NotFoundError(`The file ${hash} is not here.`, {
    hint: 'Directories are read block by block from /ipfs/{cid}?format=raw.',
  })
}

async function getKnownFile(store: MessageStore, hash: string) {
  const file = await store.file(hash)
  if (file) return file
  throw new NotFoundError(`The file ${hash} is not known here.`)
}

function sendFile(reply: Reply, hash: string, file: StoredFile): Reply {
  return (
    reply
      .header('content-type', 'application/octet-stream')
      .header('content-length', file.sizeBytes)
      .header('cache-control', 'public, max-age=31536000, immutable')
      .header('etag', `"${hash}"`)
      // Anyone may store anything here: a browser must not run it as part of this site.
      .header('content-security-policy', 'sandbox')
      .header('x-content-type-options', 'nosniff')
      .send(Readable.from(file.stream(), { objectMode: false }))
  )
}

async function sendIpfs(request: Request, reply: Reply, files: FileStore, content: ContentSource): Promise<Reply> {
  const text = (request.params as { cid: string }).cid
  const cid = parseCid(text)
  const wantsBlock =
    textParam(request.query as Query, 'format') === 'raw' ||
    request.headers.accept?.includes('application/vnd.ipld.raw') === true
  if (!wantsBlock && cid.code !== rawCodec) return sendFile(reply, text, await getFile(content, text))
  const block = await files.block(text)
  if (!block) throw new NotFoundError(`The block ${text} is not here.`)
  return reply
    .header('content-type', wantsBlock ? 'application/vnd.ipld.raw' : 'application/octet-stream')
    .header('cache-control', 'public, max-age=31536000, immutable')
    .header('etag', `"${text}${wantsBlock ? '.raw' : ''}"`)
    .header('content-security-policy', 'sandbox')
    .header('x-content-type-options', 'nosniff')
    .send(Buffer.from(block))
}

async function byTag(store: MessageStore, tag: string) {
  const found: FileTag | undefined = await store.fileTag(tag)
  if (!found) throw new NotFoundError('No file is stored under this ref.')
  const stored = await store.message(found.itemHash)
  return describeFile(store, {
    ref: tag,
    owner: stored && contentFields(stored.content).owner,
    fileHash: found.fileHash,
  })
}

async function describeFile(store: MessageStore, file: { ref: string; owner: string | undefined; fileHash: string }) {
  const known = await store.file(file.fileHash)
  return {
    ref: file.ref,
    owner: file.owner,
    file_hash: file.fileHash,
    download_url: `/api/v0/storage/raw/${file.fileHash}`,
    size: known?.sizeBytes ?? null,
  }
}

/** Base64 in lines of 76 characters, each ended, as the network's nodes send it. */
function base64Lines(chunks: readonly Uint8Array[]): string {
  return Buffer.concat(chunks)
    .toString('base64')
    .replace(/.{1,76}/g, '$&\n')
}
