import { quantile } from '../measure/statistics.ts'

/** What a generator reports. */
export interface LoadResult {
  /** Completed and right. */
  completed: number
  /** Failed, wrong or refused ones. Any makes the slot void. */
  errors: number
  p50Ms: number | null
  p99Ms: number | null
  /** Share of the handshakes that resumed a session; only for handshakes. */
  resumedShare?: number
  /** What the first error was. */
  firstError?: string
}

/** The one argument of our own generators, as JSON. */
export interface LoadOrder {
  port: number
  scheme: 'plain' | 'tls' | 'h2'
  path: string
  connections: number
  ms: number
  post: boolean
  /** A new connection for each request. */
  close: boolean
  /** Handshakes: resume sessions. */
  resume: boolean
}

export const readOrder = (): LoadOrder => JSON.parse(process.argv[2] as string) as LoadOrder

/** Latencies kept for the percentiles; what comes later than these many does not move them any more. */
const latenciesMax = 1_000_000

/** Counts what a generator does, and prints it as the one line of its output. */
export class Tally {
  readonly #latencies: number[] = []
  readonly #endsAt: number
  #completed = 0
  #errors = 0
  #firstError: string | undefined

  constructor(ms: number) {
    this.#endsAt = performance.now() + ms
  }

  get isOver(): boolean {
    return performance.now() >= this.#endsAt
  }

  done(startedAt: number): void {
    this.#completed++
    if (this.#latencies.length < latenciesMax) this.#latencies.push(performance.now() - startedAt)
  }

  failed(why: string): void {
    this.#firstError ??= why
    this.#errors++
  }

  /** Prints the result and ends the program: what is still in flight counts neither way. */
  finish(more: Partial<LoadResult> = {}): never {
    const at = (share: number): number | null =>
      this.#latencies.length === 0 ? null : Number(quantile(this.#latencies, share).toFixed(3))
    const result: LoadResult = {
      completed: this.#completed,
      errors: this.#errors,
      p50Ms: at(0.5),
      p99Ms: at(0.99),
      ...(this.#firstError === undefined ? {} : { firstError: this.#firstError }),
      ...more,
    }
    // process.exit() right after a write to a pipe may lose it.
    process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0))
    return undefined as never
  }
}
