import type { Clock } from '../../core/clock.ts'
import type { Log } from '../../core/log.ts'
import type { Random } from '../../core/random.ts'
import type { VerifiedMessage } from './verified-message.ts'

export interface SubscriptionOptions {
  clock: Clock
  random: Random
  log: Log
  /** Base URL to connect to for the n-th attempt. */
  url(attempt: number): string
  verify(json: unknown, signal: AbortSignal): Promise<VerifiedMessage>
  /** Envelopes with a time of at least `sinceSeconds`, oldest first. */
  missed(sinceSeconds: number, signal: AbortSignal): AsyncIterable<unknown>
}

const delayMaxMs = 10_000
const seenMax = 10_000
// Clients' clocks differ and the time of a message is not signed: look back further than the break.
const overlapSeconds = 120
// At the start there was no break: only the moment until the connection stands may be missed.
const firstOverlapSeconds = 5
const frameCharsMax = 2_000_000

/**
 * Listens for newly processed messages while anybody does. After a break it reads what it may have missed, so a listener
 * hears of every message, of none twice, and after a break perhaps of some that are older than itself.
 */
export class Subscription implements AsyncDisposable {
  readonly #options: SubscriptionOptions
  readonly #listeners = new Set<(message: VerifiedMessage) => void>()
  readonly #stop = new AbortController()
  readonly #seen = new Set<string>()
  #loop: Promise<void> | undefined
  #sinceSeconds: number | undefined
  #overlapSeconds = firstOverlapSeconds

  constructor(options: SubscriptionOptions) {
    this.#options = options
  }

  /** Calls back for each message from now on, until disposed. */
  add(listener: (message: VerifiedMessage) => void): Disposable {
    this.#listeners.add(listener)
    this.#sinceSeconds ??= this.#options.clock.nowMs() / 1_000
    this.#loop ??= this.#run()
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('The network client stopped.'))
    await this.#loop
  }

  async #run(): Promise<void> {
    const { clock, random } = this.#options
    for (let attempt = 0; !this.#stop.signal.aborted; attempt++) {
      const opened = await this.#connect(attempt)
      if (opened) attempt = 0
      const boundMs = Math.min(delayMaxMs, 250 * 2 ** Math.min(attempt, 10))
      await clock.sleep(boundMs * (0.5 + random.float() / 2), this.#stop.signal).catch(() => {})
    }
  }

  /** Resolves when the connection has ended. @returns whether it was ever open */
  async #connect(attempt: number): Promise<boolean> {
    const url = `${this.#options.url(attempt).replace(/^http/, 'ws')}/api/ws0/messages?history=0`
    const socket = new WebSocket(url)
    const ended = Promise.withResolvers<void>()
    const close = (): void => socket.close()
    let opened = false
    let work: Promise<void> = Promise.resolve()
    const inTurn = (task: () => Promise<void>): void => {
      work = work.then(task).catch((error: unknown) => {
        this.#options.log.debug('A message of a subscription was passed over.', { reason: (error as Error).message })
      })
    }
    this.#stop.signal.addEventListener('abort', close, { once: true })
    socket.addEventListener('open', () => {
      opened = true
      // Only now: what is processed from here on arrives by itself.
      inTurn(() => this.#catchUp())
    })
    socket.addEventListener('message', ({ data }) => {
      if (typeof data === 'string' && data.length <= frameCharsMax) inTurn(() => this.#take(JSON.parse(data)))
    })
    socket.addEventListener('close', () => ended.resolve())
    socket.addEventListener('error', () => ended.resolve())
    await ended.promise
    this.#stop.signal.removeEventListener('abort', close)
    await work
    return opened
  }

  async #catchUp(): Promise<void> {
    const since = (this.#sinceSeconds ?? 0) - this.#overlapSeconds
    const startedSeconds = this.#options.clock.nowMs() / 1_000
    for await (const json of this.#options.missed(since, this.#stop.signal)) await this.#take(json)
    this.#sinceSeconds = startedSeconds
    this.#overlapSeconds = overlapSeconds
  }

  async #take(json: unknown): Promise<void> {
    const message = await this.#options.verify(json, this.#stop.signal)
    if (this.#seen.has(message.itemHash)) return
    this.#seen.add(message.itemHash)
    if (this.#seen.size > seenMax) this.#seen.delete(this.#seen.values().next().value as string)
    this.#sinceSeconds = Math.max(
      this.#sinceSeconds ?? 0,
      Math.min(message.message.time, this.#options.clock.nowMs() / 1_000),
    )
    for (const listener of this.#listeners) listener(message)
  }
}
