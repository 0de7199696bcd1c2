import type { Socket } from 'node:net'
import type { Clock } from '../../core/clock.ts'
import { Deadline, type TimingWheel } from '../../core/timing-wheel.ts'
import type { ClientLimits } from '../guard/client-limits.ts'
import type { MemoryBudget } from '../guard/memory-budget.ts'
import type { GatewayMetrics } from '../metrics.ts'
import type { Settings } from './listen-context.ts'
import { parseProxyHeader } from './proxy-protocol.ts'
import { SocketClient } from './socket-client.ts'

export interface DoorPorts {
  settings: Settings
  wheel: TimingWheel
  clock: Clock
  clients: ClientLimits
  memory: MemoryBudget
  metrics: GatewayMetrics
}

/** What an open connection takes of memory until it does something: sockets, TLS state, buffers of the first read. Bytes. */
const connectionBytes = 16_384

/** Goes on with a connection that may come in. `first` are bytes that were read already. */
export type Entered = (raw: Socket, client: SocketClient, first?: Buffer) => void

const clientOf = Symbol('client')

interface EnteredSocket extends Socket {
  [clientOf]: SocketClient
}

/** Who a connection is, once it came through the door. */
export function clientOn(raw: Socket): SocketClient {
  return (raw as EnteredSocket)[clientOf]
}

/**
 * Where every TCP connection comes in, before a byte of TLS or HTTP: counts it by address, against memory, and reads the PROXY header of
 * trusted balancers. What may not come in is closed, and costs nothing more.
 */
export class Door {
  readonly ports: DoorPorts
  readonly #onClose: (this: Socket) => void

  constructor(ports: DoorPorts) {
    this.ports = ports
    const { clients, memory } = ports
    // One function for all connections.
    this.#onClose = function (this: Socket) {
      const { limitSlot } = clientOn(this)
      memory.release(connectionBytes)
      if (limitSlot >= 0) clients.close(limitSlot)
    }
  }

  enter(raw: Socket, entered: Entered): void {
    const { settings, memory } = this.ports
    if (!memory.reserve(connectionBytes)) return void this.#refuse(raw, 'memory')
    const client = new SocketClient(raw)
    ;(raw as EnteredSocket)[clientOf] = client
    raw.on('close', this.#onClose)
    const trusted = !settings.trust.isEmpty && settings.trust.has(client.remoteAddress)
    if (!trusted) {
      if (this.#count(raw, client)) entered(raw, client)
      return
    }
    const { proxyProtocol } = settings.config.trust
    if (proxyProtocol === 'off') {
      client.trusted = true
      return void entered(raw, client)
    }
    new ProxyGreeting(this, raw, client, entered)
  }

  /** The PROXY header told who the client really is: that one is counted, and nobody is trusted for what stands in fields. */
  told(raw: Socket, client: SocketClient, source: { address: string; port: number } | undefined): boolean {
    if (!source) return true
    client.tell(source.address, source.port)
    return this.#count(raw, client)
  }

  refuseProxy(raw: Socket): void {
    this.#refuse(raw, 'proxy')
  }

  #count(raw: Socket, client: SocketClient): boolean {
    client.limitSlot = this.ports.clients.open(client.remoteAddress, this.ports.clock.monotonicMs())
    if (client.limitSlot >= 0) return true
    this.#refuse(raw, 'address')
    return false
  }

  #refuse(raw: Socket, reason: 'address' | 'memory' | 'proxy'): void {
    this.ports.metrics.refusedConnections.add({ reason })
    raw.on('error', ignore)
    raw.destroy()
  }
}

function ignore(): void {}

/** Reads the PROXY header of one connection, which must come within the time for a head. */
class ProxyGreeting extends Deadline {
  readonly #door: Door
  readonly #raw: Socket
  readonly #client: SocketClient
  readonly #entered: Entered
  #read: Buffer = Buffer.alloc(0)
  readonly #onData = (chunk: Buffer): void => this.#received(chunk)
  readonly #onEnd = (): void => this.#over()

  constructor(door: Door, raw: Socket, client: SocketClient, entered: Entered) {
    super()
    this.#door = door
    this.#raw = raw
    this.#client = client
    this.#entered = entered
    raw.on('data', this.#onData).on('error', ignore).on('end', this.expireNow).on('close', this.#onEnd)
    door.ports.wheel.set(this, door.ports.settings.config.timeouts.headMs)
  }

  readonly expireNow = (): void => this.expire()

  expire(): void {
    this.#over()
    this.#door.refuseProxy(this.#raw)
  }

  #received(chunk: Buffer): void {
    this.#read = this.#read.length === 0 ? chunk : Buffer.concat([this.#read, chunk])
    const header = parseProxyHeader(this.#read, 0, this.#read.length)
    if (header.kind === 'more') return
    this.#over()
    const required = this.#door.ports.settings.config.trust.proxyProtocol === 'required'
    if (header.kind === 'error' || (header.kind === 'absent' && required)) return void this.#door.refuseProxy(this.#raw)
    // Without a header it is a proxy that speaks HTTP (or a health check of the balancer itself).
    if (header.kind === 'absent') this.#client.trusted = true
    else if (!this.#door.told(this.#raw, this.#client, header.addresses?.source)) return
    this.#raw.pause()
    const rest = header.kind === 'absent' ? this.#read : this.#read.subarray(header.next)
    this.#entered(this.#raw, this.#client, rest)
  }

  #over(): void {
    this.#door.ports.wheel.clear(this)
    this.#raw.off('data', this.#onData).off('error', ignore).off('end', this.expireNow).off('close', this.#onEnd)
  }
}
