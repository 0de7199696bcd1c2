import type { Clock } from './clock.ts'

/**
 * Waits for `work` for at most `ms`. Then its signal aborts, and the error of `late` is thrown, also when the work does not heed the signal:
 * a source that hangs must not hold those who asked.
 */
export async function inTime<T>(
  clock: Clock,
  ms: number,
  late: () => Error,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const abort = new AbortController()
  const { signal } = abort
  using _timer = clock.schedule(ms, () => abort.abort(late()))
  const tooLate = new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  return await Promise.race([work(signal), tooLate])
}
