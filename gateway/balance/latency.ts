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

/**
 * A new sample counts in the average by the time since the last one, over this time: hundreds a second must not make the average jump about
 * with each, and one in ten seconds must count. Slower ones count more, so that trouble is seen at once and forgotten gradually.
 */
const slowerMs = 300
const fasterMs = 1_000
const shareMin = 0.02
const shareMax = 0.5

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

/**
 * The average after one more sample.
 * @param averageMs - negative when this is the first
 * @param sinceMs - time since the last sample
 */
export function averageWith(averageMs: number, sampleMs: number, sinceMs: number): number {
  if (averageMs < 0) return sampleMs
  const share = sinceMs / (sampleMs > averageMs ? slowerMs : fasterMs)
  return averageMs + Math.min(shareMax, Math.max(shareMin, share)) * (sampleMs - averageMs)
}
