/** Running estimate of the 95th percentile of the time to the first byte, in three numbers. */
export interface LateAnswers {
  p95Ms: number
  samples: number
  /** Answers in a row that came sooner than the estimate. */
  sooner: number
}

const quantile = 0.95
/** Before so many answers the estimate is a guess. */
const samplesMin = 50
/** Largest and smallest relative step. The smallest decides how noisy the estimate is, and how fast it follows: about 1/step answers. */
const stepMax = 0.5
const stepMin = 0.02
/** So many sooner answers in a row are no chance (one in 170 at the right estimate): the program has become quicker, and steps grow. */
const soonerMax = 100

/** Before the first answer. */
export const noLateAnswers: Readonly<LateAnswers> = { p95Ms: 0, samples: 0, sooner: 0 }

/**
 * The estimate after one more answer: up a large step when the answer came later, down a small one when it came sooner, so that the two
 * balance where 5 % come later. Steps are relative, since latencies of programs span from a millisecond to minutes.
 *
 * @see Ma, Muthukrishnan, Sandler: "Frugal streaming for estimating quantiles" (2013)
 */
export function withAnswer(late: Readonly<LateAnswers>, firstByteMs: number): LateAnswers {
  const next = { ...late }
  countAnswer(next, firstByteMs)
  return next
}

/** The same, in place. */
export function countAnswer(late: LateAnswers, firstByteMs: number): void {
  const ms = Math.max(0.1, firstByteMs)
  if (late.samples === 0) late.p95Ms = ms
  else {
    const isLater = ms > late.p95Ms
    late.sooner = isLater ? 0 : late.sooner + 1
    const growth = late.sooner > soonerMax ? (4 * late.sooner) / soonerMax : 1
    const step = Math.max(Math.min(stepMax, stepMin * growth), stepMax / (1 + late.samples / 8))
    late.p95Ms *= isLater ? 1 + step * quantile : 1 - step * (1 - quantile)
  }
  late.samples++
}

/**
 * After which time without a first byte a second request pays: most answers have come by then.
 * @returns milliseconds, or undefined while too few answers have been seen
 */
export function hedgeAfter(late: Readonly<LateAnswers>, hedgeMinMs: number): number | undefined {
  return late.samples < samplesMin ? undefined : Math.max(hedgeMinMs, late.p95Ms)
}
