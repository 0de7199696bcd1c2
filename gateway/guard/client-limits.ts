import { addressKey } from './address-set.ts'
import { costMs, depthMs, takeToken } from './token-bucket.ts'

export interface ClientLimitsConfig {
  /** Open connections of one address. */
  connectionsPerAddressMax: number
  /** New connections per second of one address, each perhaps a TLS handshake; 0 for no limit. */
  handshakesPerSecond: number
  handshakesBurst: number
  /** Requests per second of one address; 0 for no limit. */
  requestsPerSecond: number
  requestsBurst: number
  /** Addresses kept apart; beyond it all new ones share one allowance. */
  tableMax: number
}

/** The slot that addresses share which found the table full. */
const shared = 0
const none = -1

/**
 * What each client address may do: connections at a time, new ones per second, requests per second. IPv6 counts by /64.
 *
 * The table is bounded. An address without connections whose buckets are full again is forgotten first, oldest first: forgetting it changes
 * nothing. When all that are known are active, new addresses share one allowance, as if they were one client: a flood from many addresses
 * makes it worse for the new, never for those who are there. Every operation takes constant time; only `open` touches text.
 *
 * A client is a number (its slot), valid from `open` to `close`. Times are monotonic milliseconds; a clock that is a tick late does no harm.
 */
export class ClientLimits {
  readonly #tableMax: number
  #connectionsMax = 0
  #requestCost = 0
  #requestDepth = 0
  #openCost = 0
  #openDepth = 0
  readonly #slots = new Map<string, number>()
  /** By slot. Slot 0 is the shared one. */
  readonly #keys: (string | undefined)[] = [undefined]
  readonly #connections: Int32Array
  readonly #requestsPaid: Float64Array
  readonly #opensPaid: Float64Array
  /** Slots without connections, from the one that became idle first; free ones are chained by `#next` alone. */
  readonly #previous: Int32Array
  readonly #next: Int32Array
  #oldest = none
  #newest = none
  #free = none
  #used = 1

  constructor(config: ClientLimitsConfig) {
    this.#tableMax = config.tableMax
    this.configure(config)
    // 32 bytes a slot: 2 MiB for 65,536. The system gives the pages as they are touched.
    const slots = config.tableMax + 1
    this.#connections = new Int32Array(slots)
    this.#requestsPaid = new Float64Array(slots)
    this.#opensPaid = new Float64Array(slots)
    this.#previous = new Int32Array(slots)
    this.#next = new Int32Array(slots)
  }

  /** Takes other limits, for everybody from now on. The size of the table stays as it was. */
  configure(config: ClientLimitsConfig): void {
    this.#connectionsMax = config.connectionsPerAddressMax
    this.#requestCost = costMs(config.requestsPerSecond)
    this.#requestDepth = depthMs(config.requestsPerSecond, config.requestsBurst)
    this.#openCost = costMs(config.handshakesPerSecond)
    this.#openDepth = depthMs(config.handshakesPerSecond, config.handshakesBurst)
  }

  /** Addresses that are known now. */
  get size(): number {
    return this.#slots.size
  }

  /**
   * Counts a new connection.
   * @returns the client, for `request` and `close`; or -1 when it has too many connections, or opened too many lately: refuse it
   */
  open(address: string, nowMs: number): number {
    this.#forget(nowMs)
    const key = addressKey(address)
    const slot = this.#slots.get(key) ?? this.#add(key)
    const open = this.#connections[slot] as number
    if (open >= this.#connectionsMax) return none
    const paid = takeToken(this.#opensPaid[slot] as number, nowMs, this.#openCost, this.#openDepth)
    if (paid < 0) return none
    this.#opensPaid[slot] = paid
    this.#connections[slot] = open + 1
    if (open === 0 && slot !== shared) this.#unlink(slot)
    return slot
  }

  /** Takes back what `open` counted. */
  close(client: number): void {
    const open = (this.#connections[client] as number) - 1
    this.#connections[client] = open
    if (open === 0 && client !== shared) this.#link(client)
  }

  /** Counts a request; false when the client has made too many: answer 429. */
  request(client: number, nowMs: number): boolean {
    const paid = takeToken(this.#requestsPaid[client] as number, nowMs, this.#requestCost, this.#requestDepth)
    if (paid < 0) return false
    this.#requestsPaid[client] = paid
    return true
  }

  /** How long the client has to wait until `request` says yes again, milliseconds. For Retry-After. */
  waitMs(client: number, nowMs: number): number {
    return Math.max(0, (this.#requestsPaid[client] as number) + this.#requestCost - this.#requestDepth - nowMs)
  }

  /** A slot for a new address: it begins idle, so that a refused `open` leaves it to be forgotten. */
  #add(key: string): number {
    const slot = this.#takeSlot()
    if (slot === none) return shared
    this.#keys[slot] = key
    this.#slots.set(key, slot)
    this.#connections[slot] = 0
    this.#requestsPaid[slot] = 0
    this.#opensPaid[slot] = 0
    this.#link(slot)
    return slot
  }

  #takeSlot(): number {
    const slot = this.#free
    if (slot !== none) {
      this.#free = this.#next[slot] as number
      return slot
    }
    return this.#used <= this.#tableMax ? this.#used++ : none
  }

  /** Forgets up to two addresses: one more than can be added, so the table shrinks when a flood is over. */
  #forget(nowMs: number): void {
    for (let i = 0; i < 2; i++) {
      const slot = this.#oldest
      if (slot === none || !this.#isFull(slot, nowMs)) return
      this.#unlink(slot)
      this.#slots.delete(this.#keys[slot] as string)
      this.#keys[slot] = undefined
      this.#next[slot] = this.#free
      this.#free = slot
    }
  }

  #isFull(slot: number, nowMs: number): boolean {
    return (this.#requestsPaid[slot] as number) <= nowMs && (this.#opensPaid[slot] as number) <= nowMs
  }

  #link(slot: number): void {
    this.#previous[slot] = this.#newest
    this.#next[slot] = none
    if (this.#newest === none) this.#oldest = slot
    else this.#next[this.#newest] = slot
    this.#newest = slot
  }

  #unlink(slot: number): void {
    const previous = this.#previous[slot] as number
    const next = this.#next[slot] as number
    if (previous === none) this.#oldest = next
    else this.#next[previous] = next
    if (next === none) this.#newest = previous
    else this.#previous[next] = previous
  }
}
