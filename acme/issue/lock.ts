import type { Clock } from '../../core/clock.ts'
import { StoreFencedError } from '../errors.ts'
import type { Lock } from '../ports.ts'
import type { Records } from './records.ts'

export interface HeldLock extends AsyncDisposable {
  readonly lock: Lock
  /** Aborts when the lock was lost to someone else: stop, and write nothing. */
  readonly signal: AbortSignal
}

/** Keeps a lock by a heartbeat at a third of its hold time, until disposed; then gives it back. */
export function keepLock(lock: Lock, records: Records, options: { holdMs: number; clock: Clock }): HeldLock {
  const lost = new AbortController()
  let timer: Disposable | undefined
  let beat: Promise<void> = Promise.resolve()
  let done = false
  const extend = async (): Promise<void> => {
    // A store that fails here fails at the next write too; the lock then simply runs out.
    const kept = await records.extend(lock, options.holdMs).catch(() => lock)
    if (kept === undefined) lost.abort(new StoreFencedError(lock.key, lock.token))
    else if (!done) arm()
  }
  const arm = (): void => {
    timer = options.clock.schedule(options.holdMs / 3, () => {
      beat = extend()
    })
  }
  arm()
  return {
    lock,
    signal: lost.signal,
    async [Symbol.asyncDispose]() {
      done = true
      timer?.[Symbol.dispose]()
      await beat
      // What is not given back expires by itself.
      await records.unlock(lock).catch(() => {})
    },
  }
}
