import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocket, WebSocketServer } from 'ws'
import type { Clock } from '../../../core/clock.ts'
import type { CcnLimits } from '../config.ts'
import { matchesFilter } from '../matches-filter.ts'
import type { CcnMetrics } from '../metrics.ts'
import { toOutput } from '../output.ts'
import type { MessageFilter, MessageStore, StoredMessage } from '../ports.ts'
import type { App } from './app.ts'
import { numberParam, parseFilter } from './query.ts'

export interface SubscriptionPorts {
  store: MessageStore
  clock: Clock
  metrics: CcnMetrics
  limits: CcnLimits
}

/** Sends each newly processed message to the subscribers whose filter it passes. */
export interface Subscriptions extends AsyncDisposable {
  notify(stored: StoredMessage): void
}

interface Subscriber {
  socket: WebSocket
  filter: MessageFilter
  /** What was processed while the history was being read; undefined once that has been sent. */
  held: StoredMessage[] | undefined
  answered: boolean
}

const path = '/api/ws0/messages'
const historyMax = 200
const historyDefault = 10
const heldMax = 1_000
const pingMs = 30_000
// Subscribers have nothing to say.
const frameBytesMax = 1_024
/** RFC 6455 registry: try again later. */
const tryAgainLater = 1013

/** Serves subscriptions on the application's server (protocol 3.4). */
export function addSubscriptions(app: App, ports: SubscriptionPorts): Subscriptions {
  const { limits, metrics, clock } = ports
  const server = new WebSocketServer({ noServer: true, maxPayload: frameBytesMax, perMessageDeflate: false })
  const subscribers = new Set<Subscriber>()
  app.server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const url = new URL(request.url ?? '/', 'http://localhost')
    if (url.pathname !== path)
      return void socket.end('HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n')
    server.handleUpgrade(request, socket, head, (webSocket) => void open(webSocket, url))
  })

  async function open(socket: WebSocket, url: URL): Promise<void> {
    socket.on('error', () => socket.terminate())
    if (subscribers.size >= limits.subscribersMax) return socket.close(tryAgainLater, 'at capacity')
    const subscriber: Subscriber = { socket, filter: {}, held: [], answered: true }
    subscribers.add(subscriber)
    metrics.subscribers.set(subscribers.size)
    socket.on('pong', () => (subscriber.answered = true))
    socket.on('close', () => {
      subscribers.delete(subscriber)
      metrics.subscribers.set(subscribers.size)
    })
    try {
      await sendHistory(subscriber, Object.fromEntries(url.searchParams))
    } catch (error) {
      // 1008: policy violation, the nearest to "your parameters are wrong".
      socket.close(1008, (error as Error).message.slice(0, 100))
    }
  }

  async function sendHistory(subscriber: Subscriber, query: Record<string, string>): Promise<void> {
    const { startTime: _start, endTime: _end, ...filter } = parseFilter(query)
    subscriber.filter = filter
    const limit = Math.floor(numberParam(query, 'history', { fallback: historyDefault, min: 0, max: 1e9 }))
    const past = { ...parseFilter(query), limit: Math.min(limit, historyMax), count: false }
    const messages = limit > 0 ? (await ports.store.messages(past)).messages.reverse() : []
    for (const stored of messages) send(subscriber, stored)
    const sent = new Set(messages.map(({ message }) => message.item_hash))
    for (const stored of subscriber.held ?? []) if (!sent.has(stored.message.item_hash)) offer(subscriber, stored)
    subscriber.held = undefined
  }

  function offer(subscriber: Subscriber, stored: StoredMessage): void {
    if (matchesFilter(stored, subscriber.filter)) send(subscriber, stored)
  }

  function send({ socket }: Subscriber, stored: StoredMessage): void {
    if (socket.readyState !== WebSocket.OPEN) return
    if (socket.bufferedAmount > limits.subscriberBytesMax) socket.close(tryAgainLater, 'too slow')
    else socket.send(JSON.stringify(toOutput(stored)))
  }

  function pingAll(): void {
    for (const subscriber of subscribers) {
      if (!subscriber.answered) subscriber.socket.terminate()
      subscriber.answered = false
      subscriber.socket.ping()
    }
    timer = clock.schedule(pingMs, pingAll)
  }
  let timer = clock.schedule(pingMs, pingAll)

  return {
    notify(stored) {
      for (const subscriber of subscribers) {
        if (!subscriber.held) offer(subscriber, stored)
        else if (subscriber.held.length < heldMax) subscriber.held.push(stored)
        else subscriber.socket.close(tryAgainLater, 'too slow')
      }
    },
    async [Symbol.asyncDispose]() {
      timer[Symbol.dispose]()
      for (const { socket } of subscribers) socket.terminate()
      server.close()
    },
  }
}
