import type { TimingWheel } from '../../core/timing-wheel.ts'
import type { Settings } from '../listen/listen-context.ts'
import { type ConnectionNeeds, HostPool } from './host-pool.ts'
import type { AnswerSink, HostStream } from './host-stream.ts'
import { HostTls, type HostTrust } from './host-tls.ts'

/** Origins with open connections; pools without any are forgotten. */
export class HostPools implements Disposable {
  readonly #settings: Settings
  readonly #wheel: TimingWheel
  readonly #tls: HostTls
  readonly #pools = new Map<string, HostPool>()

  constructor(settings: Settings, wheel: TimingWheel, trust: HostTrust = {}) {
    this.#settings = settings
    this.#wheel = wheel
    this.#tls = new HostTls(trust, wheel)
  }

  /** As `HostPool.acquire`. @param origin - `http://host:port` or `https://…`, already vetted */
  acquire(origin: string, sink: AnswerSink, needs?: ConnectionNeeds): HostStream | undefined {
    let pool = this.#pools.get(origin)
    if (!pool) {
      const made = new HostPool(origin, this.#settings, this.#wheel, this.#tls, () => {
        if (this.#pools.get(origin) === made) this.#pools.delete(origin)
      })
      pool = made
      this.#pools.set(origin, pool)
    }
    return pool.acquire(sink, needs)
  }

  [Symbol.dispose](): void {
    for (const pool of [...this.#pools.values()]) pool.destroy()
  }
}
