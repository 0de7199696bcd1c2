import type { TimingWheel } from '../../core/timing-wheel.ts'
import type { Settings } from '../listen/listen-context.ts'
import { connectPlain, type HostAddress } from './connect-host.ts'
import type { HostConnection } from './host-connection.ts'
import type { AnswerSink, HostStream } from './host-stream.ts'
import type { HostTls } from './host-tls.ts'
import { TlsOrigin } from './tls-origin.ts'

/** Idle connections kept per host: as many as a burst of HTTP/2 streams uses at once. Their buffers cost what was read into them, mostly a page. */
const idleMax = 512

/** What an exchange needs of its connection that not every one has. Such an exchange goes over HTTP/1.1. */
export interface ConnectionNeeds {
  /** Bytes that go before everything else (a PROXY header); the connection then serves one client alone. */
  preface: Buffer | undefined
  /** It may become a WebSocket, for which HTTP/1.1 is the form that every host has. */
  upgrade: boolean
}

/** Connections to one origin. The one used last is taken first: it is the least likely to have been closed by the host meanwhile. */
export class HostPool {
  readonly origin: string
  readonly wheel: TimingWheel
  readonly #settings: Settings
  readonly #idle: HostConnection[] = []
  readonly #all = new Set<HostConnection>()
  readonly #onEmpty: () => void
  readonly #address: HostAddress
  /** For an `https:` origin: its connections that stand on HTTP/2, or do not stand yet. */
  readonly #tls: TlsOrigin | undefined
  #closed = false

  /** @param onEmpty - called when the last connection is gone */
  constructor(origin: string, settings: Settings, wheel: TimingWheel, tls: HostTls, onEmpty: () => void) {
    const url = new URL(origin)
    const secure = url.protocol === 'https:'
    this.origin = origin
    this.wheel = wheel
    this.#settings = settings
    this.#onEmpty = onEmpty
    const port = url.port === '' ? (secure ? 443 : 80) : Number(url.port)
    this.#address = { host: url.hostname.replace(/^\[|\]$/g, ''), port }
    this.#tls = secure ? new TlsOrigin(this, this.#address, tls) : undefined
  }

  get timeouts(): Settings['config']['timeouts'] {
    return this.#settings.config.timeouts
  }

  get headBytesMax(): number {
    return this.#settings.config.limits.upstreamHeadBytesMax
  }

  /** Connections open now, idle ones included. */
  get size(): number {
    return this.#all.size + (this.#tls?.connections ?? 0)
  }

  get mayConnect(): boolean {
    return !this.#closed && this.size < this.#settings.config.limits.connectionsPerHostMax
  }

  /**
   * A connection for one exchange, or a place on one: of those that stand, or a new one that is still connecting.
   * @returns undefined when as many connections are open, or as many exchanges under way, as may be
   */
  acquire(sink: AnswerSink, needs?: ConnectionNeeds): HostStream | undefined {
    const tls = this.#tls
    if (tls && !needs) {
      const stream = tls.take(sink)
      if (stream) return stream
    }
    while (!needs?.preface) {
      const idle = this.#idle.pop()
      if (!idle) break
      if (!idle.usable) continue
      idle.take(sink)
      return idle
    }
    const load = this.#all.size + (tls?.load ?? 0)
    if (load >= this.#settings.config.limits.connectionsPerHostMax) return undefined
    if (tls) return tls.wait(sink, needs)
    const connection = connectPlain(this.#address, this, needs?.preface)
    connection.dedicated = needs?.preface !== undefined
    this.adopt(connection)
    connection.take(sink)
    return connection
  }

  /** Counts a connection among those of this origin until it is `gone`. */
  adopt(connection: HostConnection): void {
    this.#all.add(connection)
  }

  /** Keeps a connection that nobody needs now. */
  keep(connection: HostConnection): void {
    this.wheel.set(connection, this.timeouts.hostIdleMs)
    this.putBack(connection)
  }

  putBack(connection: HostConnection): void {
    if (this.#closed || connection.dedicated || this.#idle.length >= idleMax) return void connection.destroy()
    this.#idle.push(connection)
  }

  gone(connection: HostConnection): void {
    if (!this.#all.delete(connection)) return
    const at = this.#idle.indexOf(connection)
    if (at >= 0) this.#idle.splice(at, 1)
    this.changed()
  }

  /** A connection other than one on HTTP/1.1 is gone. */
  changed(): void {
    if (this.size === 0) this.#onEmpty()
  }

  destroy(): void {
    this.#closed = true
    for (const connection of [...this.#all]) connection.destroy()
    this.#tls?.destroy()
  }
}
