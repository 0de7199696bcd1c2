import type { Clock } from '../../core/clock.ts'
import { CaUnreachableError, OrderTimeoutError } from '../errors.ts'
import { AcmeProblemError } from './problem.ts'

/** A resource as the CA showed it, with the wait it asked for before the next look (already capped). */
export interface Polled<T> {
  value: T
  retryAfterMs: number | undefined
}

export interface PollOptions {
  clock: Clock
  /** First wait; grows by half each time up to `delayMsMax` unless the CA asks for another. */
  delayMs: number
  /** When to give up, by the clock's `monotonicMs`. */
  deadlineMs: number
  signal: AbortSignal
  /** Names the thing in the error: `order`, `authorization`. */
  what: string
}

const delayMsMax = 5_000

/**
 * Looks again until `done`. A CA that is busy or out of reach for a moment is asked again until the deadline.
 * @throws OrderTimeoutError at the deadline, the CA's refusal, or the signal's reason
 */
export async function pollUntil<T>(
  look: () => Promise<Polled<T>>,
  done: (value: T) => boolean,
  options: PollOptions,
): Promise<T> {
  let delayMs = options.delayMs
  for (;;) {
    const { value, waitMs } = await lookOnce(look)
    if (value !== undefined && done(value)) return value
    const sleepMs = waitMs ?? delayMs
    if (options.clock.monotonicMs() + sleepMs > options.deadlineMs) {
      throw new OrderTimeoutError(`The certificate authority did not finish the ${options.what} in time.`, {
        hint: 'The order is kept and looked at again. If it persists, look at the status page of the certificate authority.',
      })
    }
    await options.clock.sleep(sleepMs, options.signal)
    delayMs = Math.min(delayMsMax, delayMs * 1.5)
  }
}

async function lookOnce<T>(look: () => Promise<Polled<T>>): Promise<{ value?: T; waitMs: number | undefined }> {
  try {
    const { value, retryAfterMs } = await look()
    return { value, waitMs: retryAfterMs }
  } catch (error) {
    if (error instanceof CaUnreachableError) return { waitMs: undefined }
    const passing = error instanceof AcmeProblemError && (error.problem.status === 429 || error.problem.status >= 500)
    if (!passing) throw error
    return { waitMs: error.retryAfterMs }
  }
}

/**
 * Milliseconds of a `Retry-After` header (seconds or HTTP date), at most `capMs`; undefined when absent or unreadable.
 * @see RFC 9110 §10.2.3
 */
export function parseRetryAfter(value: string | undefined, nowMs: number, capMs: number): number | undefined {
  if (value === undefined) return undefined
  const ms = /^\d{1,9}$/.test(value) ? Number(value) * 1_000 : Date.parse(value) - nowMs
  return Number.isNaN(ms) ? undefined : Math.min(capMs, Math.max(0, ms))
}
