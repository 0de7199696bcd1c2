import { setTimeout as sleepFor } from 'node:timers/promises'

/** Time as a value from outside, so that tests can move it. All durations are milliseconds. */
export interface Clock {
  /** Unix time in milliseconds; may jump when the machine's clock is set. */
  nowMs(): number
  /** Never goes backwards; only differences mean something. */
  monotonicMs(): number
  /** Resolves after `ms`, or rejects when the signal aborts. Keeps the process alive: give loops a signal. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
  /** Runs `task` once after `ms` unless disposed before. Does not keep the process alive. */
  schedule(ms: number, task: () => void): Disposable
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep: (ms, signal) => sleepFor(ms, undefined, signal ? { signal } : {}),
  schedule(ms, task) {
    // setTimeout turns delays beyond 2^31-1 into 1 ms; a timer that fires early would spin.
    const timer = setTimeout(task, Math.min(ms, 0x7fff_ffff))
    timer.unref()
    return { [Symbol.dispose]: () => clearTimeout(timer) }
  },
}

interface Timer {
  atMs: number
  order: number
  run: () => void
}

/** A clock that stands still until `advance` moves it. Timers run in due order, with promise callbacks settled between them. */
export class FakeClock implements Clock {
  #nowMs: number
  #order = 0
  #timers = new Set<Timer>()

  constructor(startMs = Date.UTC(2026, 0, 1)) {
    this.#nowMs = startMs
  }

  nowMs(): number {
    return this.#nowMs
  }

  monotonicMs(): number {
    return this.#nowMs
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted()
      const timer = this.#add(ms, resolve)
      signal?.addEventListener(
        'abort',
        () => {
          this.#timers.delete(timer)
          reject(signal.reason)
        },
        { once: true },
      )
    })
  }

  schedule(ms: number, task: () => void): Disposable {
    const timer = this.#add(ms, task)
    return { [Symbol.dispose]: () => void this.#timers.delete(timer) }
  }

  /** Moves time forward by `ms`, running what falls due on the way. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms
    for (;;) {
      await settle()
      const next = this.#next(endMs)
      if (next === undefined) break
      this.#timers.delete(next)
      this.#nowMs = Math.max(this.#nowMs, next.atMs)
      next.run()
    }
    this.#nowMs = endMs
    await settle()
  }

  #add(ms: number, run: () => void): Timer {
    const timer = { atMs: this.#nowMs + Math.max(0, ms), order: this.#order++, run }
    this.#timers.add(timer)
    return timer
  }

  #next(endMs: number): Timer | undefined {
    let found: Timer | undefined
    for (const timer of this.#timers) {
      if (timer.atMs > endMs) continue
      if (!found || timer.atMs < found.atMs || (timer.atMs === found.atMs && timer.order < found.order)) found = timer
    }
    return found
  }
}

/** Lets queued promise callbacks and immediates run, so that code waiting on a timer reaches its next wait. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
}
