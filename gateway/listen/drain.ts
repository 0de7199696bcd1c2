import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import type { Clock } from '../../core/clock.ts'

const pollMs = 20
const closeMs = 100

/** Counts what is being answered and knows every open connection, so that a stop can be gentle first and final after. */
export class Drain {
  readonly #clock: Clock
  readonly #sockets = new Set<Socket>()
  #open = 0
  #draining = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** True once a stop has begun: answers then say `Connection: close`. */
  get draining(): boolean {
    return this.#draining
  }

  /** Requests being answered now. */
  get open(): number {
    return this.#open
  }

  watch(server: Server): void {
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
    })
  }

  begin(): void {
    this.#open++
  }

  end(): void {
    this.#open--
  }

  /** Stops accepting, waits up to `drainMs` for requests in flight, then closes whatever is left. */
  async stop(servers: readonly Server[], drainMs: number): Promise<void> {
    this.#draining = true
    const closed = servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve())))
    const endMs = this.#clock.monotonicMs() + drainMs
    while (this.#open > 0 && this.#clock.monotonicMs() < endMs) {
      for (const server of servers) server.closeIdleConnections()
      await this.#clock.sleep(pollMs)
    }
    if (this.#open > 0) this.#destroyAll()
    for (const server of servers) server.closeIdleConnections()
    // What has been answered may still be on its way out, and connections that never asked anything stay open by themselves.
    const late = setTimeout(() => this.#destroyAll(), closeMs)
    await Promise.all(closed)
    clearTimeout(late)
  }

  #destroyAll(): void {
    for (const socket of this.#sockets) socket.destroy()
  }
}
