import type { Clock } from '../../core/clock.ts'
import type { Log } from '../../core/log.ts'
import type { SignedMessage } from '../protocol/message.ts'
import type { MessageStore, StoredMessage } from './ports.ts'
import type { MessageProcessor, Outcome } from './process-message.ts'

interface Waiting {
  retryAtMs: number
  waitsFor: readonly string[]
}

/**
 * Tries pending messages again: at once when something they wait for arrives, else when their time has come.
 * The index is rebuilt from the store at the start, so a crash loses nothing.
 */
export class PendingMessages implements AsyncDisposable {
  readonly #waiting = new Map<string, Waiting>()
  readonly #byNeed = new Map<string, Set<string>>()
  readonly #listeners = new Map<string, Set<(outcome: Outcome) => void>>()
  readonly #trying = new Map<string, Promise<void>>()
  readonly #store: MessageStore
  readonly #clock: Clock
  readonly #log: Log
  readonly #onSize: (size: number) => void
  #process: MessageProcessor['process'] = () => Promise.reject(new Error('not started'))
  #timer: Disposable | undefined
  #timerAtMs = Number.POSITIVE_INFINITY
  #stopped = false

  /** @param onSize - told how many messages are pending whenever that changes */
  constructor(store: MessageStore, clock: Clock, log: Log, onSize: (size: number) => void) {
    this.#onSize = onSize
    this.#store = store
    this.#clock = clock
    this.#log = log
  }

  get size(): number {
    return this.#waiting.size
  }

  /** Takes up what was pending before the start. @param process - settles one message */
  async start(process: MessageProcessor['process']): Promise<void> {
    this.#process = process
    const { messages } = await this.#store.messages({ statuses: ['pending'], order: 'asc', count: false })
    for (const stored of messages) this.add(stored)
  }

  /** Notes a pending message; replaces what was noted before. */
  add(stored: StoredMessage): void {
    const hash = stored.message.item_hash
    this.#forget(hash)
    this.#waiting.set(hash, { retryAtMs: stored.retryAtMs ?? 0, waitsFor: stored.waitsFor ?? [] })
    for (const need of stored.waitsFor ?? []) {
      const set = this.#byNeed.get(need) ?? new Set()
      this.#byNeed.set(need, set.add(hash))
    }
    this.#onSize(this.#waiting.size)
    if ((stored.retryAtMs ?? 0) < this.#timerAtMs) this.#arm()
  }

  /** Something arrived: an item hash, a file hash or a tag. */
  arrived(...needs: string[]): void {
    for (const need of needs) for (const hash of this.#byNeed.get(need) ?? []) this.#retry(hash)
  }

  /** The outcome of a pending message when it settles within `waitMs`; undefined when it does not. */
  async settled(message: SignedMessage, waitMs: number): Promise<Outcome | undefined> {
    const hash = message.item_hash
    // It may have settled between being kept and this call; then this only reads what became of it.
    if (!this.#waiting.has(hash) && !this.#trying.has(hash)) return this.#process(message)
    const { promise, resolve } = Promise.withResolvers<Outcome | undefined>()
    const set = this.#listeners.get(hash) ?? new Set()
    this.#listeners.set(hash, set.add(resolve))
    using _timer = this.#clock.schedule(waitMs, () => resolve(undefined))
    const outcome = await promise
    set.delete(resolve)
    if (set.size === 0) this.#listeners.delete(hash)
    return outcome
  }

  /** Tells those who wait in `settled`, and drops the message from the index unless it is still pending. */
  report(itemHash: string, outcome: Outcome): void {
    if (outcome.status === 'pending') return
    this.#forget(itemHash)
    for (const listener of this.#listeners.get(itemHash) ?? []) listener(outcome)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true
    this.#timer?.[Symbol.dispose]()
    for (const set of this.#listeners.values())
      for (const listener of set) listener({ status: 'pending', fresh: false })
    await Promise.all(this.#trying.values())
  }

  #forget(hash: string): void {
    for (const need of this.#waiting.get(hash)?.waitsFor ?? []) {
      const set = this.#byNeed.get(need)
      set?.delete(hash)
      if (set?.size === 0) this.#byNeed.delete(need)
    }
    if (this.#waiting.delete(hash)) this.#onSize(this.#waiting.size)
  }

  #arm(): void {
    this.#timer?.[Symbol.dispose]()
    let nextMs = Number.POSITIVE_INFINITY
    for (const { retryAtMs } of this.#waiting.values()) nextMs = Math.min(nextMs, retryAtMs)
    this.#timerAtMs = nextMs
    if (this.#stopped || nextMs === Number.POSITIVE_INFINITY) return
    this.#timer = this.#clock.schedule(Math.max(0, nextMs - this.#clock.nowMs()), () => this.#runDue())
  }

  #runDue(): void {
    const nowMs = this.#clock.nowMs()
    for (const [hash, { retryAtMs }] of [...this.#waiting]) if (retryAtMs <= nowMs) this.#retry(hash)
    this.#arm()
  }

  /** Taken out of the index first: a message is tried by one attempt at a time, and comes back when it must wait on. */
  #retry(hash: string): void {
    if (this.#stopped || !this.#waiting.has(hash)) return
    this.#forget(hash)
    const attempt = this.#attempt(hash).catch((error: unknown) => {
      this.#log.error('A pending message could not be tried again.', { reason: (error as Error).message })
      this.#waiting.set(hash, { retryAtMs: this.#clock.nowMs() + 5_000, waitsFor: [] })
      this.#arm()
    })
    this.#trying.set(hash, attempt)
    void attempt.finally(() => this.#trying.delete(hash))
  }

  async #attempt(hash: string): Promise<void> {
    const stored = await this.#store.message(hash)
    if (stored?.status === 'pending') this.report(hash, await this.#process(stored.message))
  }
}
