/**
 * Token buckets as single numbers. A bucket is the time at which it will be full again ("paid until"): taking a token moves that time on by
 * the token's cost, and a token is there as long as it does not lie further ahead than the depth. So a bucket needs no refill, no second
 * field and no rounding. This is the generic cell rate algorithm; times are monotonic milliseconds.
 */

/** What one token costs: milliseconds, from a rate per second. A rate of 0 means no limit, and costs nothing. */
export function costMs(perSecond: number): number {
  return perSecond > 0 ? 1_000 / perSecond : 0
}

/** How far ahead "paid until" may lie, so that `burst` tokens are there when the bucket is full: milliseconds. */
export function depthMs(perSecond: number, burst: number): number {
  return costMs(perSecond) * Math.max(1, burst)
}

/**
 * Takes one token.
 * @returns the new "paid until" of the bucket, or -1 when there was no token and nothing changed
 */
export function takeToken(paidUntilMs: number, nowMs: number, cost: number, depth: number): number {
  const next = Math.max(paidUntilMs, nowMs) + cost
  // Half a microsecond of slack: a sum of thirds must not lose the last token of a burst.
  return next - nowMs > depth + 0.0005 ? -1 : next
}
