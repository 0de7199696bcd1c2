import { StoreFencedError, StoreKeyError } from '../errors.ts'
import type { Lock } from '../ports.ts'

const keyBytesMax = 255
const segmentBytesMax = 200

/** Refuses any key outside the port's alphabet, above all one that would leave the store's folder. @throws StoreKeyError */
export function verifyKey(key: string): void {
  const segments = key.split('/')
  const fits = key.length <= keyBytesMax && segments.every((segment) => segment.length <= segmentBytesMax)
  if (!fits || !segments.every((segment) => /^[a-z0-9*._-]+$/.test(segment) && !/^\.\.?$/.test(segment)))
    throw new StoreKeyError(key)
}

/** What a store keeps of a lock. `expiresAtMs` 0 means that it was given back. */
export interface LockState {
  token: number
  expiresAtMs: number
}

/** Decides about taking a lock: its next state, or undefined while it is held. */
export function planGrant(state: LockState | undefined, nowMs: number, holdMs: number): LockState | undefined {
  if (state !== undefined && state.expiresAtMs > nowMs) return undefined
  return { token: (state?.token ?? 0) + 1, expiresAtMs: nowMs + holdMs }
}

/** Whether `lock` is the latest grant. An expired lock still is, until someone else takes it. */
export function isLatest(state: LockState | undefined, lock: Lock): boolean {
  return state?.token === lock.token && state.expiresAtMs !== 0
}

/** @throws StoreFencedError */
export function verifyLatest(state: LockState | undefined, lock: Lock): void {
  if (!isLatest(state, lock)) throw new StoreFencedError(lock.key, lock.token)
}
