import type { Clock } from '../../core/clock.ts'
import { describeError } from '../../core/errors.ts'
import type { Log } from '../../core/log.ts'
import type { Random } from '../../core/random.ts'
import { openSocket } from './message-socket.ts'
import type { VerifiedMessage } from './verified-message.ts'

export interface SubscriptionOptions {
  clock: Clock
  random: Random
  log: Log
  /** How long a connection may stand still before it is asked for a sign of life, and then before it is given up. */
  pingMs: number
  /** Base URL to connect to for the n-th attempt. */
  url(attempt: number): string
  verify(json: unknown, signal: AbortSignal): Promise<VerifiedMessage>
  /** Messages of these types (all when undefined) with an envelope time of at least `sinceSeconds`, newest first. */
  missed(query: MissedQuery, signal: AbortSignal): AsyncIterable<VerifiedMessage>
}

export interface MissedQuery {
  sinceSeconds: number
  types: string | undefined
  /** Those heard already need not be read again. */
  isHeard(itemHash: string): boolean
}

const delayMaxMs = 10_000
// More than what catching up may read, so that nothing is told twice.
const seenMax = 10_000
// At the start there was no break: only the moment until the connection stands may be missed.
const firstOverlapSeconds = 5
// Clients' clocks differ: look back further than the break.
const overlapSeconds = 120
// The time of an envelope is not signed, and a message may settle long after it. What others build on is looked for further back.
const farOverlapSeconds = 86_400
const farTypes = 'STORE,FORGET,AGGREGATE'
// Messages that wait for their turn while others are verified.
const waitingCharsMax = 33_554_432

/**
 * Listens for newly processed messages while anybody does. After a break it reads what it may have missed: everything of the
 * break, and STORE, FORGET and AGGREGATE up to a day older, each at most 1,000. A listener hears of no message twice, and after
 * a break perhaps of some that are older than itself; the order is not that of publication.
 */
export class Subscription implements AsyncDisposable {
  readonly #options: SubscriptionOptions
  readonly #listeners = new Set<(message: VerifiedMessage) => void>()
  readonly #stop = new AbortController()
  readonly #seen = new Set<string>()
  #loop: Promise<void> | undefined
  /** Until when nothing was missed, by our clock. */
  #wholeUntilSeconds: number | undefined
  #caughtUpOnce = false

  constructor(options: SubscriptionOptions) {
    this.#options = options
  }

  /** Calls back for each message from now on, until disposed. One listener that throws is no matter for the others. */
  add(listener: (message: VerifiedMessage) => void): Disposable {
    const own = (message: VerifiedMessage): void => listener(message)
    this.#listeners.add(own)
    this.#wholeUntilSeconds ??= this.#nowSeconds()
    this.#loop ??= this.#run()
    return { [Symbol.dispose]: () => void this.#listeners.delete(own) }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('The network client stopped.'))
    await this.#loop
  }

  async #run(): Promise<void> {
    const { clock, random } = this.#options
    let failures = 0
    for (let attempt = 0; !this.#stop.signal.aborted; attempt++) {
      failures = (await this.#connect(attempt).catch(() => false)) ? 0 : failures + 1
      const boundMs = Math.min(delayMaxMs, 250 * 2 ** Math.min(failures, 10))
      await clock.sleep(boundMs * (0.5 + random.float() / 2), this.#stop.signal).catch(() => {})
    }
  }

  /** Resolves when the connection has ended. @returns whether it caught up */
  async #connect(attempt: number): Promise<boolean> {
    const { clock, pingMs, log, url } = this.#options
    let whole = false
    let waitingChars = 0
    let work: Promise<void> = Promise.resolve()
    // History is asked for by list instead: 10 messages would be too few after a break, and old ones at the start.
    const socket = openSocket(`${url(attempt).replace(/^http/, 'ws')}/api/ws0/messages?history=0`, {
      clock,
      pingMs,
      signal: this.#stop.signal,
      onOpen: () => {
        // Only now: what is processed from here on arrives by itself.
        work = work
          .then(() => this.#catchUp())
          .then(() => {
            whole = true
          })
          .catch((error: unknown) => {
            // The next connection tries again from where nothing was missed.
            log.debug('What a subscription missed could not be read.', { reason: describeError(error) })
            socket.terminate()
          })
      },
      onAlive: () => {
        if (whole && waitingChars === 0) this.#wholeUntilSeconds = this.#nowSeconds()
      },
      onText: (text) => {
        waitingChars += text.length
        if (waitingChars > waitingCharsMax) return socket.terminate()
        work = work
          .then(() => this.#take(text))
          .finally(() => {
            waitingChars -= text.length
          })
      },
    })
    await socket.ended
    await work
    return whole
  }

  async #catchUp(): Promise<void> {
    const startedSeconds = this.#nowSeconds()
    const since = this.#wholeUntilSeconds ?? startedSeconds
    const near = since - (this.#caughtUpOnce ? overlapSeconds : firstOverlapSeconds)
    await this.#read(near, undefined)
    if (this.#caughtUpOnce) await this.#read(since - farOverlapSeconds, farTypes)
    this.#wholeUntilSeconds = startedSeconds
    this.#caughtUpOnce = true
  }

  async #read(sinceSeconds: number, types: string | undefined): Promise<void> {
    const query: MissedQuery = { sinceSeconds, types, isHeard: (itemHash) => this.#seen.has(itemHash) }
    for await (const message of this.#options.missed(query, this.#stop.signal)) this.#hear(message)
  }

  async #take(text: string): Promise<void> {
    try {
      this.#hear(await this.#options.verify(JSON.parse(text), this.#stop.signal))
    } catch (error) {
      this.#options.log.debug('A message of a subscription was passed over.', { reason: (error as Error).message })
    }
  }

  #hear(message: VerifiedMessage): void {
    if (this.#seen.has(message.itemHash)) return
    this.#seen.add(message.itemHash)
    if (this.#seen.size > seenMax) this.#seen.delete(this.#seen.values().next().value as string)
    for (const listener of this.#listeners) {
      try {
        listener(message)
      } catch (error) {
        this.#options.log.warn('A listener for messages failed.', { reason: describeError(error) })
      }
    }
  }

  #nowSeconds(): number {
    return this.#options.clock.nowMs() / 1_000
  }
}
