import type { Server } from 'node:net'
import type { Clock } from '../../core/clock.ts'

const pollMs = 20
/** What has been answered may still be on its way out for so long after the last exchange. */
const lateMs = 100
/** At a stop, clients that have only just come have so long to send what they came for: they cannot know of it. */
const arrivalMs = 1_000

/** A client's connection, as far as its end is concerned. */
export interface OpenConnection {
  /** Nothing is lost when it is closed now. */
  readonly idle: boolean
  /** The client cannot know of a stop yet: a first request, or one more, may be on its way. */
  readonly settling: boolean
  /** A stop has begun: no more requests after those under way. */
  drain(): void
  destroy(): void
}

/** Connections that are on their way in; disposing cuts them. */
export interface Arrivals extends Disposable {
  readonly handshakes: number
}

interface Gauge {
  set(value: number): void
}

/** Every open connection and the number of exchanges under way, so that a stop can be gentle first and final after. */
export class Connections {
  readonly #clock: Clock
  readonly #all = new Set<OpenConnection>()
  readonly #gauge: Gauge
  #exchanges = 0
  #draining = false

  /** @param gauge - shows the exchanges under way */
  constructor(clock: Clock, gauge: Gauge) {
    this.#clock = clock
    this.#gauge = gauge
  }

  /** True once a stop has begun. */
  get draining(): boolean {
    return this.#draining
  }

  /** Exchanges under way, WebSockets included. */
  get open(): number {
    return this.#exchanges
  }

  /** Connections open now. */
  get connections(): number {
    return this.#all.size
  }

  add(connection: OpenConnection): void {
    this.#all.add(connection)
  }

  remove(connection: OpenConnection): void {
    this.#all.delete(connection)
  }

  begin(): void {
    this.#exchanges++
    this.#gauge.set(this.#exchanges)
  }

  end(): void {
    this.#exchanges--
    this.#gauge.set(this.#exchanges)
  }

  /** Closes connections that are between requests, the longest open ones first, at most `most`: room for new work under pressure. */
  closeIdle(most: number): number {
    let closed = 0
    for (const connection of this.#all) {
      if (closed >= most) break
      if (!connection.idle) continue
      connection.drain()
      closed++
    }
    return closed
  }

  /**
   * Stops accepting, waits up to `drainMs` for exchanges under way, then closes whatever is left. Clients that have only just come get a
   * moment of that time for their first request.
   */
  async stop(servers: readonly Server[], drainMs: number, arrivals: Arrivals): Promise<void> {
    this.#draining = true
    const closed = servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve())))
    const nowMs = this.#clock.monotonicMs()
    const endMs = nowMs + drainMs
    const settledMs = nowMs + Math.min(drainMs, arrivalMs)
    for (const connection of [...this.#all]) if (!connection.idle || !connection.settling) connection.drain()
    while (
      (this.#exchanges > 0 && this.#clock.monotonicMs() < endMs) ||
      (this.#isSettling(arrivals) && this.#clock.monotonicMs() < settledMs)
    )
      await this.#clock.sleep(pollMs)
    arrivals[Symbol.dispose]()
    if (this.#exchanges === 0 && this.#all.size > 0) await this.#clock.sleep(lateMs)
    for (const connection of [...this.#all]) connection.destroy()
    await Promise.all(closed)
  }

  #isSettling({ handshakes }: Arrivals): boolean {
    if (handshakes > 0) return true
    for (const connection of this.#all) if (connection.settling) return true
    return false
  }
}
