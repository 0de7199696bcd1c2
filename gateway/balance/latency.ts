/** What has been measured of one host for one program. Times are monotonic milliseconds. */
export interface Measured {
  /** Average of the time to the first byte, milliseconds; negative before the first answer. */
  readonly latencyMs: number
  readonly measuredAtMs: number
  /** Requests that wait for their first byte. */
  readonly waiting: number
  /** Since when somebody has been waiting without anything coming back; means nothing while nobody waits. */
  readonly waitingSinceMs: number
}

/** Share of a new sample in the average. A slower one counts more, so that trouble is seen at once and forgotten gradually. */
const slowerShare = 0.3
const fasterShare = 0.1

/**
 * How long the next answer may take. What was measured fades towards `typicalMs` while nobody measures: otherwise one slow answer would
 * keep traffic away for good, since only traffic measures. A host that lets requests wait is at least as slow as they have waited, long
 * before any of them ends.
 *
 * @param typicalMs - average over all hosts of the program
 * @returns milliseconds, at least 1: below that, differences are noise
 */
export function expectedMs(host: Measured, nowMs: number, typicalMs: number, halfLifeMs: number): number {
  let ms = typicalMs
  if (host.latencyMs >= 0) ms += (host.latencyMs - typicalMs) * 2 ** ((host.measuredAtMs - nowMs) / halfLifeMs)
  if (host.waiting > 0) ms = Math.max(ms, nowMs - host.waitingSinceMs)
  return Math.max(1, ms)
}

/** The average after one more sample; `averageMs` is negative when this is the first. */
export function averageWith(averageMs: number, sampleMs: number): number {
  if (averageMs < 0) return sampleMs
  return averageMs + (sampleMs > averageMs ? slowerShare : fasterShare) * (sampleMs - averageMs)
}
