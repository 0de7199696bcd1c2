import type { RenewalWindow } from '../client/client.ts'

const hourMs = 3_600_000
const dayMs = 24 * hourMs
// RFC 9773 wants renewal information asked for regularly; twice a day keeps up with a mass revocation.
const askAgainMsMax = 12 * hourMs
const askAgainMsMin = 60_000

export interface Validity {
  notBeforeMs: number
  notAfterMs: number
}

/**
 * When to renew by lifetime alone: with a third of it left, or half when it is under ten days.
 */
export function renewAtMs({ notBeforeMs, notAfterMs }: Validity): number {
  const lifeMs = notAfterMs - notBeforeMs
  return Math.round(notAfterMs - lifeMs / (lifeMs < 10 * dayMs ? 2 : 3))
}

/** What to do about a certificate now: renew it, or look again at `atMs` (with `renewAtMs` as far as known). */
export type RenewalStep = { do: 'renew' } | { do: 'wait'; atMs: number; renewAtMs: number }

/**
 * Decides about renewal. The CA's window counts while it is sane: a point in it, `place` (0 to 1) of the way, so that many
 * certificates spread. A window that lies past the last sixth of the lifetime is not waited for.
 * @param window - the CA's suggestion, or undefined when it makes none
 */
export function planRenewal(
  validity: Validity,
  window: RenewalWindow | undefined,
  at: { nowMs: number; place: number },
): RenewalStep {
  const { notBeforeMs, notAfterMs } = validity
  const latestMs = notAfterMs - (notAfterMs - notBeforeMs) / 6
  const chosenMs =
    window === undefined ? renewAtMs(validity) : window.startMs + (window.endMs - window.startMs) * at.place
  const dueMs = Math.round(Math.min(chosenMs, latestMs))
  if (dueMs <= at.nowMs) return { do: 'renew' }
  const askMs =
    window === undefined
      ? Number.POSITIVE_INFINITY
      : clamp(window.retryAfterMs ?? askAgainMsMax, askAgainMsMin, askAgainMsMax)
  return { do: 'wait', atMs: Math.min(dueMs, at.nowMs + askMs), renewAtMs: dueMs }
}

function clamp(value: number, min: number, max: number): number {
  return Math.min(max, Math.max(min, value))
}
