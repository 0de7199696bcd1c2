import { type Clock, systemClock } from '../../core/clock.ts'
import type { CertificateStore, Lock, StoredRecord } from '../ports.ts'
import { isLatest, type LockState, planGrant, verifyKey, verifyLatest } from './keys.ts'

/** A certificate store that lives as long as the process: for tests, and for trying things out. */
export function createMemoryStore(options: { clock?: Clock } = {}): CertificateStore {
  const clock = options.clock ?? systemClock
  const records = new Map<string, StoredRecord>()
  const locks = new Map<string, LockState>()
  return {
    async read(key) {
      verifyKey(key)
      const found = records.get(key)
      return found && { value: found.value.slice(), revision: found.revision }
    },
    async write(key, value, lock) {
      verifyKey(key)
      verifyLatest(locks.get(lock.key), lock)
      records.set(key, { value: value.slice(), revision: (records.get(key)?.revision ?? 0) + 1 })
    },
    async remove(key, lock) {
      verifyKey(key)
      verifyLatest(locks.get(lock.key), lock)
      records.delete(key)
    },
    async list(prefix) {
      return [...records.keys()].filter((key) => key.startsWith(prefix)).sort()
    },
    async lock(key, holdMs) {
      verifyKey(key)
      const granted = planGrant(locks.get(key), clock.nowMs(), holdMs)
      if (granted === undefined) return undefined
      locks.set(key, granted)
      return { key, ...granted }
    },
    async extend(lock, holdMs) {
      if (!isLatest(locks.get(lock.key), lock)) return undefined
      const state = { token: lock.token, expiresAtMs: clock.nowMs() + holdMs }
      locks.set(lock.key, state)
      return { key: lock.key, ...state } satisfies Lock
    },
    async unlock(lock) {
      if (isLatest(locks.get(lock.key), lock)) locks.set(lock.key, { token: lock.token, expiresAtMs: 0 })
    },
  }
}
