import type { HostCandidate } from '../ports.ts'

/** A list of hosts as it is believed. */
export interface BelievedList {
  /** Hosts to use. */
  hosts: readonly HostCandidate[]
  /** The list that a new one is compared with: `hosts`, or the list from before a hold. */
  base: readonly HostCandidate[]
  /** When the hold began, monotonic milliseconds; undefined when there is none. */
  heldSinceMs: number | undefined
}

export interface ShrinkOptions {
  nowMs: number
  shrinkShareMax: number
  shrinkHoldMs: number
  /** Whether a host is failing now, so that its absence is no surprise. */
  isFailing(id: string): boolean
}

/**
 * Decides what to make of a new list. One that lost more than `shrinkShareMax` of the members at once is rather a fault of whoever makes
 * lists than the end of so many hosts. It is held: the missing hosts stay, unless they fail, until the list has grown back or
 * `shrinkHoldMs` is over. Hosts that were draining may go at any time. Missing ones do not count as running the program any more, so that
 * hosts which are still listed come first.
 */
export function planShrink(
  believed: Readonly<BelievedList>,
  next: readonly HostCandidate[],
  options: ShrinkOptions,
): BelievedList {
  const { base, heldSinceMs } = believed
  const accepted = { hosts: next, base: next, heldSinceMs: undefined }
  const ids = new Set(next.map(({ id }) => id))
  const steady = base.filter(({ draining }) => !draining)
  const missing = steady.filter(({ id }) => !ids.has(id))
  if (missing.length <= steady.length * options.shrinkShareMax) return accepted
  if (heldSinceMs !== undefined && options.nowMs - heldSinceMs >= options.shrinkHoldMs) return accepted
  const kept = missing.filter(({ id }) => !options.isFailing(id)).map((host) => ({ ...host, running: false }))
  return { hosts: [...next, ...kept], base, heldSinceMs: heldSinceMs ?? options.nowMs }
}
