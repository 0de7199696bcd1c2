/** Share with which a host begins. */
const startShare = 0.1

/**
 * Share of its usual traffic that a host gets at a given age: grows evenly from a tenth to all of it.
 * @param sinceMs - when the host became usable, monotonic milliseconds
 */
export function slowStartShare(sinceMs: number, nowMs: number, slowStartMs: number): number {
  const age = (nowMs - sinceMs) / slowStartMs
  return age >= 1 ? 1 : Math.max(startShare, age)
}
