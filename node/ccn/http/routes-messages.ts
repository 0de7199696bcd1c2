import { compareByContentTime } from '../content-fields.ts'
import { BadRequestError, NotFoundError } from '../errors.ts'
import { type ContentFormat, isoTime, toOutput, toPostV0, toPostV1, toStatusOutput } from '../output.ts'
import type { MessageStore, StoredMessage } from '../ports.ts'
import type { App, Request } from './app.ts'
import {
  flagParam,
  listParam,
  numberParam,
  pageFilter,
  pageMembers,
  parseFilter,
  parsePage,
  type Query,
  textParam,
} from './query.ts'

/** Routes that read messages, posts and aggregates (protocol 3.1 to 3.5). */
export function addMessageRoutes(app: App, store: MessageStore): void {
  const list = async (request: Request, pathPage?: string) => listMessages(store, request.query as Query, pathPage)
  app.get('/api/v0/messages.json', (request) => list(request))
  app.get('/api/v0/messages/page/:page', (request) => list(request, pathNumber(request)))
  app.get('/api/v0/messages/hashes', (request) => listHashes(store, request.query as Query))
  app.get('/api/v0/messages/:hash', async (request) => toStatusOutput(await getMessage(store, request)))
  app.get('/api/v0/messages/:hash/status', async (request) => {
    const { status, message, receptionTimeMs } = await getMessage(store, request)
    return { status, item_hash: message.item_hash, reception_time: new Date(receptionTimeMs).toISOString() }
  })
  app.get('/api/v0/messages/:hash/content', async (request) => {
    const { status, message, content } = await getMessage(store, request)
    if (status !== 'processed') throw new BadRequestError(`The message is ${status}; it has no content to show.`)
    return message.type === 'POST' ? { ...(content.content as object) } : content
  })
  for (const version of ['v0', 'v1'] as const) {
    app.get(`/api/${version}/posts.json`, (request) => listPosts(store, version, request.query as Query))
    app.get(`/api/${version}/posts/page/:page`, (request) =>
      listPosts(store, version, request.query as Query, pathNumber(request)),
    )
  }
  app.get('/api/v0/aggregates/:address', (request) => showAggregates(store, request))
  app.get('/api/v0/channels/list.json', async () => ({
    channels: await store.ask({ kind: 'channels', limit: 10_000 }),
  }))
}

/** Finds the message that a path names. @throws NotFoundError */
export async function getMessage(store: MessageStore, request: Request): Promise<StoredMessage> {
  const { hash } = request.params as { hash: string }
  const stored = await store.message(hash)
  if (stored) return stored
  throw new NotFoundError(`The message ${hash.slice(0, 128)} is not known here.`)
}

/** The number in `/page/3.json`. */
function pathNumber(request: Request): string {
  return (request.params as { page: string }).page.replace(/\.json$/, '')
}

async function listMessages(store: MessageStore, query: Query, pathPage?: string) {
  const request = parsePage(query, 20, pathPage)
  const { messages, total } = await store.messages({ ...parseFilter(query), ...pageFilter(request) })
  const format = contentFormat(query)
  return {
    messages: messages.map((stored) => toOutput(stored, format)),
    ...pageMembers(request, 'messages', total, lastOf(messages, request.pagination)),
  }
}

function contentFormat(query: Query): ContentFormat {
  if (flagParam(query, 'excludeContent')) return 'none'
  const format = textParam(query, 'contentFormat') ?? 'full'
  if (format === 'full' || format === 'headers' || format === 'none') return format
  throw new BadRequestError('The parameter contentFormat must be full, headers or none.')
}

/** A short page is the last: no cursor leads on from it. */
function lastOf(
  messages: readonly StoredMessage[],
  pagination: number,
): { time: number; itemHash: string } | undefined {
  const last = messages.at(-1)
  return last && messages.length >= pagination
    ? { time: last.message.time, itemHash: last.message.item_hash }
    : undefined
}

async function listHashes(store: MessageStore, query: Query) {
  const request = parsePage(query, 20)
  const statuses = listParam(query, 'status')
  const { messages, total } = await store.messages({
    ...parseFilter(query),
    ...(statuses ? { statuses } : {}),
    ...pageFilter(request),
  })
  const hashOnly = query.hash_only === undefined || flagParam(query, 'hash_only')
  const hashes = messages.map(({ message, status, receptionTimeMs }) =>
    hashOnly
      ? message.item_hash
      : { item_hash: message.item_hash, status, reception_time: new Date(receptionTimeMs).toISOString() },
  )
  return { hashes, ...pageMembers(request, 'hashes', total, lastOf(messages, request.pagination)) }
}

async function listPosts(store: MessageStore, version: 'v0' | 'v1', query: Query, pathPage?: string) {
  const request = parsePage(query, 20, pathPage)
  // Here `types` are those of the content, and addresses are owners.
  const { types: _, senders: owners, ...filter } = parseFilter(query)
  const contentTypes = listParam(query, 'types')
  const { messages, total } = await store.messages({
    ...filter,
    ...pageFilter(request),
    types: ['POST'],
    notContentTypes: ['amend'],
    ...(contentTypes ? { contentTypes } : {}),
    ...(owners ? { owners } : {}),
  })
  const amends = await latestAmends(store, messages)
  const show = version === 'v0' ? toPostV0 : toPostV1
  const posts = messages.map((original) => show(original, amends.get(original.message.item_hash)))
  return { posts, ...pageMembers(request, 'posts', total, lastOf(messages, request.pagination)) }
}

/** The amend that counts for each post: the greatest signed time. */
async function latestAmends(
  store: MessageStore,
  originals: readonly StoredMessage[],
): Promise<Map<string, StoredMessage>> {
  if (originals.length === 0) return new Map()
  const refs = originals.map(({ message }) => message.item_hash)
  const { messages } = await store.messages({ types: ['POST'], contentTypes: ['amend'], refs, count: false })
  const ordered = messages.sort(compareByContentTime)
  return new Map(ordered.map((amend) => [refOf(amend), amend]))
}

function refOf({ content }: StoredMessage): string {
  const { ref } = content as { ref: string | { item_hash: string } }
  return typeof ref === 'string' ? ref : ref.item_hash
}

async function showAggregates(store: MessageStore, request: Request) {
  const address = (request.params as { address: string }).address.replace(/\.json$/, '')
  const query = request.query as Query
  const keys = listParam(query, 'keys')
  const limit = numberParam(query, 'limit', { fallback: 1_000, min: 1, max: 1_000 })
  const found = [...(await store.aggregates(address, keys))].slice(0, limit)
  if (found.length === 0)
    throw new NotFoundError(`No aggregate${keys ? ` ${keys.join(', ')}` : ''} of this address is here.`)
  const data = Object.fromEntries(found.map(([key, state]) => [key, state.content]))
  if (flagParam(query, 'value_only') && keys?.length === 1) return data[keys[0] as string]
  const info = found.map(([key, state]) => [
    key,
    {
      created: isoTime(state.createdTime),
      last_updated: isoTime(state.updatedTime),
      original_item_hash: state.originalItemHash,
      last_update_item_hash: state.lastItemHash,
    },
  ])
  return { address, data, info: flagParam(query, 'with_info') ? Object.fromEntries(info) : {} }
}
