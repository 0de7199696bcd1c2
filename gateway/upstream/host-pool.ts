import net from 'node:net'
import tls from 'node:tls'
import type { TimingWheel } from '../../core/timing-wheel.ts'
import { poison } from '../http1/message-socket.ts'
import type { Settings } from '../listen/listen-context.ts'
import { HostConnection } from './host-connection.ts'
import type { AnswerSink, HostStream } from './host-stream.ts'

/** Idle connections kept per host: as many as a burst of HTTP/2 streams uses at once. Their buffers cost what was read into them, mostly a page. */
const idleMax = 512
/** What is read from a host at once. One such buffer for each connection: bodies pass through it without a copy. */
const readBytes = 65_536

/** Connections to one origin. The one used last is taken first: it is the least likely to have been closed by the host meanwhile. */
export class HostPool {
  readonly origin: string
  readonly wheel: TimingWheel
  readonly #settings: Settings
  readonly #idle: HostConnection[] = []
  readonly #all = new Set<HostConnection>()
  readonly #onEmpty: () => void
  readonly #secure: boolean
  readonly #host: string
  readonly #port: number
  #closed = false

  /** @param onEmpty - called when the last connection is gone */
  constructor(origin: string, settings: Settings, wheel: TimingWheel, onEmpty: () => void) {
    const url = new URL(origin)
    this.origin = origin
    this.wheel = wheel
    this.#settings = settings
    this.#onEmpty = onEmpty
    this.#secure = url.protocol === 'https:'
    this.#host = url.hostname.replace(/^\[|\]$/g, '')
    this.#port = url.port === '' ? (this.#secure ? 443 : 80) : Number(url.port)
  }

  get timeouts(): Settings['config']['timeouts'] {
    return this.#settings.config.timeouts
  }

  get headBytesMax(): number {
    return this.#settings.config.limits.upstreamHeadBytesMax
  }

  /** Connections open now, idle ones included. */
  get size(): number {
    return this.#all.size
  }

  /**
   * A connection for one exchange: an idle one, or a new one that is still connecting.
   * @param preface - bytes that go before everything else (a PROXY header); such a connection serves one client alone
   * @returns undefined when as many are open as may be
   */
  acquire(sink: AnswerSink, preface?: Buffer): HostStream | undefined {
    while (!preface) {
      const idle = this.#idle.pop()
      if (!idle) break
      if (!idle.usable) continue
      idle.take(sink)
      return idle
    }
    if (this.#all.size >= this.#settings.config.limits.connectionsPerHostMax) return undefined
    const connection = this.#connect(preface)
    connection.take(sink)
    return connection
  }

  putBack(connection: HostConnection): void {
    if (this.#closed || connection.dedicated || this.#idle.length >= idleMax) return connection.destroy()
    this.#idle.push(connection)
  }

  gone(connection: HostConnection): void {
    if (!this.#all.delete(connection)) return
    const at = this.#idle.indexOf(connection)
    if (at >= 0) this.#idle.splice(at, 1)
    if (this.#all.size === 0) this.#onEmpty()
  }

  /** Ends idle connections now, the others with their exchange. */
  close(): void {
    this.#closed = true
    for (const connection of this.#idle.splice(0)) connection.destroy()
  }

  destroy(): void {
    this.#closed = true
    for (const connection of [...this.#all]) connection.destroy()
  }

  #connect(preface: Buffer | undefined): HostConnection {
    const options = { host: this.#host, port: this.#port, noDelay: true, keepAlive: true } as const
    let connection: HostConnection
    let socket: net.Socket
    if (this.#secure) {
      socket = tls.connect({
        ...options,
        ...(net.isIP(this.#host) === 0 ? { servername: this.#host } : {}),
        ALPNProtocols: ['http/1.1'],
      })
      connection = new HostConnection(socket, this, true)
      socket.on('data', (chunk: Buffer) => {
        if (!connection.onBytes(chunk, 0, chunk.length)) socket.pause()
      })
      socket.once('secureConnect', () => connection.onConnected())
    } else {
      const buffer = Buffer.allocUnsafeSlow(readBytes)
      socket = net.connect({
        ...options,
        onread: { buffer, callback: (bytes) => receive(connection, buffer, bytes) },
      })
      connection = new HostConnection(socket, this, false)
      socket.once('connect', () => {
        if (preface) socket.write(preface)
        connection.onConnected()
      })
    }
    connection.dedicated = preface !== undefined
    this.#all.add(connection)
    socket.once('end', () => connection.onEnd())
    socket.once('error', (error: Error) => connection.onError(error))
    socket.once('close', () => connection.onEnd())
    return connection
  }
}

/** Origins with open connections; pools without any are forgotten. */
export class HostPools implements Disposable {
  readonly #settings: Settings
  readonly #wheel: TimingWheel
  readonly #pools = new Map<string, HostPool>()

  constructor(settings: Settings, wheel: TimingWheel) {
    this.#settings = settings
    this.#wheel = wheel
  }

  /** As `HostPool.acquire`. @param origin - `http://host:port` or `https://…`, already vetted */
  acquire(origin: string, sink: AnswerSink, preface?: Buffer): HostStream | undefined {
    let pool = this.#pools.get(origin)
    if (!pool) {
      pool = new HostPool(origin, this.#settings, this.#wheel, () => this.#pools.delete(origin))
      this.#pools.set(origin, pool)
    }
    return pool.acquire(sink, preface)
  }

  [Symbol.dispose](): void {
    for (const pool of [...this.#pools.values()]) pool.destroy()
  }
}

/** Hands on what was read into a connection's buffer. Returns false when nothing more may be read into it for now. */
function receive(connection: HostConnection, buffer: Buffer, bytes: number): boolean {
  if (poison.on) buffer.fill(poison.byte, bytes)
  const free = connection.onBytes(buffer, 0, bytes)
  if (free && poison.on) buffer.fill(poison.byte, 0, bytes)
  return free
}
