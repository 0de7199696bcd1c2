import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type WebSocket, WebSocketServer } from 'ws'
import { sha256Hex } from '../../protocol/item-hash.ts'
import type { SignedMessage } from '../../protocol/message.ts'

/** A core channel node that says what it is told to, true or not. */
export interface FakeCcn extends AsyncDisposable {
  readonly url: string
  messages: SignedMessage[]
  statuses: Map<string, string>
  files: Map<string, Uint8Array>
  blocks: Map<string, Uint8Array>
  /** What it says an owner's aggregates are, by address. */
  aggregates: Map<string, Record<string, unknown>>
  /** Changes an answer on its way out. */
  lie: ((path: string, body: string) => string) | undefined
  down: boolean
  /** Sends so many bytes of each answer and then nothing more. */
  stallAfterBytes: number | undefined
  /** Paths asked for, without their queries. */
  asked: string[]
  /** Adds a message and tells the subscribers. */
  add(message: SignedMessage, announce?: boolean): void
  addFile(bytes: Uint8Array): string
  /** Cuts all subscribers off. */
  cut(): void
  /** Leaves all subscribers connected, and neither hears them nor tells them anything. */
  freeze(): void
  /** Subscriptions that were opened, and pings that came over them. */
  connections: number
  pings: number
}

/** Starts a fake node on a free loopback port. */
export async function startFakeCcn(): Promise<FakeCcn> {
  const sockets = new WebSocketServer({ noServer: true })
  const ccn: FakeCcn = {
    url: '',
    messages: [],
    statuses: new Map(),
    files: new Map(),
    blocks: new Map(),
    aggregates: new Map(),
    lie: undefined,
    down: false,
    stallAfterBytes: undefined,
    asked: [],
    add(message, announce = true) {
      ccn.messages.push(message)
      if (!announce) return
      for (const socket of sockets.clients) if (!socket.isPaused) socket.send(JSON.stringify(output(message)))
    },
    addFile(bytes) {
      ccn.files.set(sha256Hex(bytes), bytes)
      return sha256Hex(bytes)
    },
    cut() {
      for (const socket of sockets.clients) socket.terminate()
    },
    freeze() {
      for (const socket of sockets.clients) socket.pause()
    },
    connections: 0,
    pings: 0,
    async [Symbol.asyncDispose]() {
      ccn.cut()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  const server = createServer((request, response) => answer(ccn, request, response))
  server.on('upgrade', (request, socket, head) => {
    if (ccn.down) socket.destroy()
    else sockets.handleUpgrade(request, socket, head, (client) => accept(ccn, client))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return Object.assign(ccn, { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })
}

function accept(ccn: FakeCcn, client: WebSocket): void {
  ccn.connections++
  client.on('ping', () => ccn.pings++)
}

function answer(ccn: FakeCcn, request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? '/', 'http://localhost')
  ccn.asked.push(url.pathname)
  if (ccn.down) return void response.socket?.destroy()
  if (request.method === 'POST') return void take(ccn, request, response)
  const body = bodyFor(ccn, url)
  if (body === undefined) return void response.writeHead(404).end('{}')
  const given = Buffer.from(typeof body === 'string' && ccn.lie ? ccn.lie(url.pathname, body) : body)
  if (ccn.stallAfterBytes === undefined) return void response.end(given)
  response.flushHeaders()
  response.write(given.subarray(0, ccn.stallAfterBytes))
}

/** Takes a published message, or the message of an upload. */
async function take(ccn: FakeCcn, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const headers = { 'content-type': request.headers['content-type'] ?? '' }
  const body = new Response(Buffer.concat(await request.toArray()), { headers })
  const upload = headers['content-type'].startsWith('multipart/')
  const json = upload ? String((await body.formData()).get('metadata')) : await body.text()
  ccn.messages.push(JSON.parse(json).message)
  response.end(JSON.stringify({ message_status: 'processed' }))
}

function bodyFor(ccn: FakeCcn, url: URL): string | Uint8Array | undefined {
  const path = url.pathname
  const last = decodeURIComponent(path.slice(path.lastIndexOf('/') + 1))
  if (path.startsWith('/api/v0/storage/raw/')) return ccn.files.get(last)
  if (path.startsWith('/ipfs/')) return ccn.blocks.get(last)
  if (path.startsWith('/api/v0/aggregates/')) {
    const data = ccn.aggregates.get(last.replace(/\.json$/, ''))
    return data && JSON.stringify({ address: last, data })
  }
  if (path === '/api/v0/messages.json')
    return JSON.stringify({ messages: list(ccn, url).map(output), next_cursor: null })
  if (path.startsWith('/api/v0/messages/')) {
    const message = ccn.messages.find(({ item_hash }) => item_hash === last)
    const status = ccn.statuses.get(last) ?? 'processed'
    return message && JSON.stringify({ status, item_hash: last, message: output(message) })
  }
  return undefined
}

function list(ccn: FakeCcn, url: URL): SignedMessage[] {
  const wants = (name: string, value: unknown): boolean => {
    const wanted = url.searchParams.get(name)
    return wanted === null || wanted.split(',').includes(String(value))
  }
  const since = Number(url.searchParams.get('startDate') ?? 0)
  return ccn.messages
    .filter((message) => {
      const content = JSON.parse(message.item_content ?? '{}')
      return (
        wants('msgTypes', message.type) &&
        wants('owners', content.address) &&
        wants('refs', content.ref) &&
        wants('contentKeys', content.key) &&
        message.time >= since
      )
    })
    .toReversed()
}

function output(message: SignedMessage): Record<string, unknown> {
  return {
    ...message,
    item_content: message.item_content ?? null,
    content: { trap: 'not signed' },
    size: 1,
    confirmed: false,
  }
}
