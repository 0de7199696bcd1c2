/** A host whose uptime is 5 % behind the best (beyond the margin) counts half, 10 % a third. */
const steepness = 20

/**
 * Weight of a host by its uptime, relative to the best of its list. Between 0 and 1, and never 0: a host with a bad past still beats one
 * that is overrun.
 * @param margin - uptimes that differ by less count as equal
 */
export function uptimeWeight(uptime: number, best: number, margin: number): number {
  return 1 / (1 + steepness * Math.max(0, best - uptime - margin))
}
