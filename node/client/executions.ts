import type { Clock } from '../../core/clock.ts'
import { z } from '../../core/schema.ts'
import { answerBytes, parseJsonAnswer } from './read-answer.ts'

/** What is known of a host from asking it. */
export interface Observation {
  running: ReadonlySet<string>
  /** 0 to 1: the share of recent questions that it answered, the latest weighing most. */
  availability: number
}

const listSchema = z.record(z.string(), z.looseObject({ running: z.boolean().optional() }))
const listBytesMax = 4_194_304
// Five failures in a row bring a perfect host to a third; as many answers bring it back to three quarters.
const weight = 0.2
const pollsAtOnceMax = 16

/** Asks hosts what they run, while somebody wants to know. */
export class ExecutionsPoller implements AsyncDisposable {
  readonly #options: { clock: Clock; pollMs: number; idleMs: number; timeoutMs: number }
  readonly #known = new Map<string, Observation>()
  readonly #stop = new AbortController()
  #origins: readonly string[] = []
  #wantedAtMs = Number.NEGATIVE_INFINITY
  #loop: Promise<void> | undefined
  #round: Promise<void> = Promise.resolve()

  constructor(options: { clock: Clock; pollMs: number; idleMs: number; timeoutMs: number }) {
    this.#options = options
  }

  /** What is known now; starts asking when nobody did. */
  observe(origin: string): Observation {
    return this.#known.get(origin) ?? { running: new Set(), availability: 1 }
  }

  /** Says which hosts matter. Resolves after the first round when there has been none for them, within `waitMs`. */
  async want(origins: readonly string[], waitMs: number): Promise<void> {
    this.#origins = origins
    this.#wantedAtMs = this.#options.clock.monotonicMs()
    for (const origin of this.#known.keys()) if (!origins.includes(origin)) this.#known.delete(origin)
    this.#loop ??= this.#run().finally(() => (this.#loop = undefined))
    if (origins.every((origin) => this.#known.has(origin))) return
    const waited = Promise.withResolvers<void>()
    using _timer = this.#options.clock.schedule(waitMs, waited.resolve)
    await Promise.race([this.#round, waited.promise])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('The network client stopped.'))
    await this.#loop
  }

  async #run(): Promise<void> {
    const { clock, pollMs, idleMs } = this.#options
    while (!this.#stop.signal.aborted && clock.monotonicMs() - this.#wantedAtMs <= idleMs) {
      this.#round = this.#askAll()
      await this.#round
      await clock.sleep(pollMs, this.#stop.signal).catch(() => {})
    }
  }

  async #askAll(): Promise<void> {
    const queue = [...this.#origins]
    const worker = async (): Promise<void> => {
      for (let origin = queue.shift(); origin !== undefined; origin = queue.shift()) await this.#ask(origin)
    }
    await Promise.all(Array.from({ length: Math.min(pollsAtOnceMax, queue.length) }, worker))
  }

  async #ask(origin: string): Promise<void> {
    const before = this.observe(origin).availability
    const running = await this.#running(origin)
    if (this.#stop.signal.aborted) return
    const availability = before * (1 - weight) + (running ? weight : 0)
    this.#known.set(origin, { running: running ?? new Set(), availability })
  }

  /** @returns undefined when the host does not answer as it should */
  async #running(origin: string): Promise<Set<string> | undefined> {
    const slow = new AbortController()
    using _timer = this.#options.clock.schedule(this.#options.timeoutMs, () => slow.abort())
    try {
      const signal = AbortSignal.any([this.#stop.signal, slow.signal])
      const response = await fetch(`${origin}/v2/about/executions/list`, { signal, redirect: 'error' })
      const { ok, status } = response
      const list = listSchema.parse(parseJsonAnswer({ ok, status, bytes: await answerBytes(response, listBytesMax) }))
      return new Set(Object.entries(list).flatMap(([hash, { running }]) => (running === false ? [] : [hash])))
    } catch {
      return undefined
    }
  }
}
