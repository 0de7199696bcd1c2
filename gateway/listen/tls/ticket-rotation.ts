import type { TicketKeys } from '../../ports.ts'

/**
 * How long a secret seals new tickets, and how long a ticket may be used. With both equal, the previous secret covers every ticket that is
 * still good, so a promise made to a client is kept, and what was recorded cannot be opened by anything that exists a day later.
 */
export const ticketLifeMs = 12 * 3_600_000

/** A secret is gone this long after it was made: it sealed for one life, and opened for another. */
export const ticketSecretLifeMs = 2 * ticketLifeMs

/** The secrets with their age, kept by whoever rotates them for all listeners (one process of a machine, or a fleet's store). */
export interface TicketRing {
  current: AgedSecret
  previous: AgedSecret | undefined
}

interface AgedSecret {
  /** 48 unpredictable bytes. */
  secret: Uint8Array
  madeAtMs: number
}

/**
 * Decides what becomes of the secrets now. Pure: called again with its own result it changes nothing until time has passed.
 *
 * @param ring - undefined at the very first start
 * @param fresh - 48 unpredictable bytes, which become the new current secret if there is to be one
 * @returns the ring itself when nothing changes, and after how many milliseconds to ask again
 */
export function planTicketRotation(
  ring: TicketRing | undefined,
  nowMs: number,
  fresh: Uint8Array,
): { ring: TicketRing; nextMs: number } {
  const current = ring && within(ring.current, nowMs, ticketLifeMs) ? ring.current : undefined
  const older = current ? ring?.previous : ring?.current
  const previous = older && within(older, nowMs, ticketSecretLifeMs) ? older : undefined
  const same = ring && current === ring.current && previous === ring.previous
  const next = same ? ring : { current: current ?? { secret: fresh, madeAtMs: nowMs }, previous }
  return { ring: next, nextMs: untilChange(next, nowMs) }
}

/** What the listeners need of it. */
export function ticketKeysOf({ current, previous }: TicketRing): TicketKeys {
  return { current: current.secret, previous: previous?.secret }
}

/** A secret from the future was made before the clock was set back: nobody knows its age, so the same distance counts as old. */
function within({ madeAtMs }: AgedSecret, nowMs: number, lifeMs: number): boolean {
  return Math.abs(nowMs - madeAtMs) < lifeMs
}

function untilChange({ current, previous }: TicketRing, nowMs: number): number {
  const rotateMs = current.madeAtMs + ticketLifeMs - nowMs
  const forgetMs = previous ? previous.madeAtMs + ticketSecretLifeMs - nowMs : rotateMs
  // A clock that was set back may put both far off; looking at least once per life bounds that.
  return Math.max(1, Math.min(rotateMs, forgetMs, ticketLifeMs))
}
