import type { Clock } from './clock.ts'
import type { Random } from './random.ts'

export interface RetryOptions {
  /** Attempts in all, the first included. */
  attempts: number
  /** Upper bound of the first delay; it doubles each time up to `delayMaxMs`. The delay is uniform below it (full jitter). */
  delayMs: number
  delayMaxMs: number
  clock: Clock
  random: Random
  signal?: AbortSignal
  /** Errors for which another attempt cannot help end the loop at once. Default: retry everything. */
  retryable?: (error: unknown) => boolean
}

/** Calls `work` until it succeeds or attempts run out; throws the last error. */
export async function retry<T>(work: (attempt: number) => Promise<T>, options: RetryOptions): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work(attempt)
    } catch (error) {
      if (attempt >= options.attempts || options.retryable?.(error) === false) throw error
      const boundMs = Math.min(options.delayMaxMs, options.delayMs * 2 ** (attempt - 1))
      await options.clock.sleep(options.random.float() * boundMs, options.signal)
    }
  }
}
