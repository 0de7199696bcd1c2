import { seededRandom } from '../../../core/random.ts'

/** A median with a 95 % interval. */
export interface Estimate {
  median: number
  low: number
  high: number
}

const resamples = 2_000
/** Beyond this share of the median, the middle half of the rounds scatters too widely to be believed. */
const noisyShare = 0.3

/** Linear interpolation between the two nearest ranks. @param share - 0 to 1. NaN for no values. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  const at = share * (sorted.length - 1)
  const [below, above] = [sorted[Math.floor(at)] ?? Number.NaN, sorted[Math.ceil(at)] ?? Number.NaN]
  return below + (above - below) * (at - Math.floor(at))
}

export const median = (values: readonly number[]): number => quantile(values, 0.5)

/** The median and its bootstrap 95 % interval (percentile method, fixed seed: equal input gives equal output). */
export function estimate(values: readonly number[]): Estimate {
  const random = seededRandom(1)
  const medians: number[] = []
  for (let turn = 0; turn < resamples; turn++)
    medians.push(median(values.map(() => values[Math.floor(random.float() * values.length)] as number)))
  return { median: median(values), low: quantile(medians, 0.025), high: quantile(medians, 0.975) }
}

/** Whether the middle half of the values spans more than 30 % of their median. */
export function isNoisy(values: readonly number[]): boolean {
  return (quantile(values, 0.75) - quantile(values, 0.25)) / median(values) > noisyShare
}

/**
 * Ratios formed within each round: only what ran in the same minute of the machine is compared.
 * Rounds in which either slot is void (undefined) are left out.
 */
export function roundRatios(ours: readonly (number | undefined)[], peer: readonly (number | undefined)[]): number[] {
  return ours.flatMap((value, round) => {
    const other = peer[round]
    return value === undefined || other === undefined ? [] : [value / other]
  })
}
