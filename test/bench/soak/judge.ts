import { median } from '../measure/statistics.ts'

/** What became of one exchange. */
export interface Outcome {
  scenario: string
  /** By `performance.now()`. */
  startedAt: number
  endedAt: number
  /** Bytes received and compared. */
  bytes: number
  wrongBytes: number
  error?: string
  /** An error that no lost host explains: the client was left hanging, or got a status that blames somebody else. */
  inexcusable?: boolean
  /** The gateway must cover the loss of a host: an idempotent request with a small answer. */
  mustSurviveHosts: boolean
}

/**
 * A connection that a killed host leaves behind is found dead a moment later; a request that went out on it in between is lost with the
 * host although it began after the kill.
 */
const afterKillMs = 500
/** A killed host's connections are reset at once; a client that hears of it later was left hanging. */
const feltMs = 5_000

/**
 * An error is explained when a host was killed while the exchange was under way, the error followed soon, and the exchange cannot be
 * repeated by the gateway.
 */
export function isExplained(outcome: Outcome, killedAt: readonly number[]): boolean {
  if (outcome.mustSurviveHosts || outcome.inexcusable) return false
  const { startedAt, endedAt } = outcome
  return killedAt.some((kill) => kill + afterKillMs >= startedAt && kill <= endedAt && endedAt <= kill + feltMs)
}

const growthShareMax = 0.1
/** The garbage collector's room: one more step of its heap is no leak. */
const growthBytesMax = 8 * 1_048_576
/** Shorter runs end while caches and pools still fill. */
const judgedMinutesMin = 3

/** Whether memory stays flat: the last third of the samples against the second third. Undefined when the run was too short to tell. */
export function isFlat(samples: readonly number[], minutes: number): boolean | undefined {
  if (minutes < judgedMinutesMin || samples.length < 6) return undefined
  const third = Math.floor(samples.length / 3)
  const [second, last] = [median(samples.slice(third, 2 * third)), median(samples.slice(2 * third))]
  return last <= second * (1 + growthShareMax) + growthBytesMax
}

/** Least-squares slope of samples taken at equal distances, in units per sample. */
export function slope(samples: readonly number[]): number {
  const middle = (samples.length - 1) / 2
  const mean = samples.reduce((sum, value) => sum + value, 0) / samples.length
  let [above, below] = [0, 0]
  samples.forEach((value, at) => {
    above += (at - middle) * (value - mean)
    below += (at - middle) ** 2
  })
  return below === 0 ? 0 : above / below
}
