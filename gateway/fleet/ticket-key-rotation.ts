import type { Clock } from '../../core/clock.ts'
import type { Random } from '../../core/random.ts'
import { planTicketRotation, type TicketRing, ticketKeysOf } from '../listen/tls/ticket-rotation.ts'
import type { TicketKeySource, TicketKeys } from '../ports.ts'

/** What a ring takes as a secret. */
const secretBytes = 48

/** The ticket secrets of one gateway: made here, known to its workers, kept in memory only. */
export class TicketKeyRotation implements TicketKeySource, Disposable {
  readonly #clock: Clock
  readonly #random: Random
  readonly #listeners: ((keys: TicketKeys) => void)[] = []
  #ring: TicketRing
  #timer: Disposable

  constructor(clock: Clock, random: Random) {
    this.#clock = clock
    this.#random = random
    const { ring, nextMs } = planTicketRotation(undefined, clock.nowMs(), random.bytes(secretBytes))
    this.#ring = ring
    this.#timer = clock.schedule(nextMs, () => this.#rotate())
  }

  current(): TicketKeys {
    return ticketKeysOf(this.#ring)
  }

  onChange(listener: (keys: TicketKeys) => void): void {
    this.#listeners.push(listener)
  }

  [Symbol.dispose](): void {
    this.#timer[Symbol.dispose]()
  }

  #rotate(): void {
    const before = this.#ring
    const { ring, nextMs } = planTicketRotation(before, this.#clock.nowMs(), this.#random.bytes(secretBytes))
    this.#ring = ring
    this.#timer = this.#clock.schedule(nextMs, () => this.#rotate())
    if (ring !== before) for (const listener of this.#listeners) listener(this.current())
  }
}
