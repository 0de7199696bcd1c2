import type { Clock } from './clock.ts'

/** Something with a deadline. Only the wheel writes the fields; `expire` is called once when the deadline has passed. */
export abstract class Deadline {
  dueMs = 0
  /** Slot of the wheel it stands in, -1 for none. */
  slot = -1
  previous: Deadline | undefined = undefined
  next: Deadline | undefined = undefined
  abstract expire(): void
}

/**
 * Deadlines of many thousand connections behind one timer. Setting one later than before, as every request does, only writes a number:
 * the entry moves when its old slot comes up. Deadlines are met late by up to one tick, never early.
 */
export class TimingWheel implements Disposable {
  readonly #clock: Clock
  readonly #tickMs: number
  readonly #slots: (Deadline | undefined)[]
  #turn: number
  #timer: Disposable
  /** Monotonic milliseconds at the last tick: a clock that costs nothing to read, up to one tick late. */
  nowMs: number

  /** @param tickMs - how often deadlines are looked at. A deadline beyond `tickMs * slots` costs one more move per round */
  constructor(clock: Clock, tickMs = 250, slots = 512) {
    this.#clock = clock
    this.#tickMs = tickMs
    this.#slots = new Array(slots).fill(undefined)
    this.nowMs = clock.monotonicMs()
    this.#turn = Math.floor(this.nowMs / tickMs)
    this.#timer = clock.schedule(tickMs, () => this.#tick())
  }

  /** Sets or moves the deadline to `ms` from now. */
  set(entry: Deadline, ms: number): void {
    const dueMs = this.nowMs + ms
    // A later deadline stays where it stands until its slot is swept.
    const later = entry.slot >= 0 && dueMs >= entry.dueMs
    entry.dueMs = dueMs
    if (later) return
    if (entry.slot >= 0) this.#unlink(entry)
    this.#link(entry)
  }

  clear(entry: Deadline): void {
    if (entry.slot >= 0) this.#unlink(entry)
  }

  [Symbol.dispose](): void {
    this.#timer[Symbol.dispose]()
  }

  #link(entry: Deadline): void {
    const slots = this.#slots.length
    // nowMs lags by up to a tick, so one more makes "never early" true.
    const turns = Math.min(slots - 2, Math.max(1, Math.ceil((entry.dueMs - this.nowMs) / this.#tickMs) + 1))
    const slot = (this.#turn + turns) % slots
    const head = this.#slots[slot]
    entry.slot = slot
    entry.previous = undefined
    entry.next = head
    if (head) head.previous = entry
    this.#slots[slot] = entry
  }

  #unlink(entry: Deadline): void {
    if (entry.previous) entry.previous.next = entry.next
    else this.#slots[entry.slot] = entry.next
    if (entry.next) entry.next.previous = entry.previous
    entry.slot = -1
    entry.previous = undefined
    entry.next = undefined
  }

  #tick(): void {
    this.nowMs = this.#clock.monotonicMs()
    const turn = Math.floor(this.nowMs / this.#tickMs)
    // A process that was held up catches up slot by slot, at most one round.
    for (let steps = Math.min(turn - this.#turn, this.#slots.length); steps > 0; steps--) {
      this.#turn++
      this.#sweep(this.#turn % this.#slots.length)
    }
    this.#turn = turn
    this.#timer = this.#clock.schedule(this.#tickMs, () => this.#tick())
  }

  #sweep(slot: number): void {
    // One at a time from the head: `expire` may clear or set any other entry. What is not due goes to another slot, never to this one.
    for (let entry = this.#slots[slot]; entry; entry = this.#slots[slot]) {
      this.#unlink(entry)
      if (entry.dueMs > this.nowMs) this.#link(entry)
      else entry.expire()
    }
  }
}
