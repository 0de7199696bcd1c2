/** Capacity that a zone is assumed to have beyond its usual load. */
const spare = 1.4

/**
 * Share of the requests that stay in the gateway's own zone: all while enough of its hosts are healthy to carry them, then in proportion,
 * so that the last healthy hosts of a zone are not overrun.
 *
 * @param usable - hosts of the own zone that can take a request now
 * @param total - hosts of the own zone
 */
export function ownZoneShare(usable: number, total: number): number {
  return total === 0 ? 0 : Math.min(1, (spare * usable) / total)
}
