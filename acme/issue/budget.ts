/** At most `count` in any stretch of `perMs`, refilled evenly. */
export interface Limit {
  count: number
  perMs: number
}

/**
 * Takes one from a token bucket, kept as a single number: the time at which it will be full again (the generic cell rate
 * algorithm, which Let's Encrypt uses for its own limits).
 * @returns the new state, or when there will be room
 */
export function takeOne(
  fullAtMs: number | undefined,
  nowMs: number,
  limit: Limit,
): { fullAtMs: number } | { retryAtMs: number } {
  const stepMs = limit.perMs / limit.count
  // Never further ahead than an empty bucket: a clock that was wrong for a while must not lock us out for longer than one period.
  const current = Math.min(Math.max(fullAtMs ?? 0, nowMs), nowMs + limit.perMs)
  const next = current + stepMs
  if (next - nowMs > limit.perMs) return { retryAtMs: Math.ceil(next - limit.perMs) }
  return { fullAtMs: next }
}
