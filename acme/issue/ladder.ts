import { AppError, type Fault } from '../../core/errors.ts'
import type { Random } from '../../core/random.ts'
import { AcmeProblemError } from '../client/problem.ts'
import { CaReplyError, CaUnreachableError, type FailureSummary, OrderTimeoutError } from '../errors.ts'

const minuteMs = 60_000
// The steps Let's Encrypt suggests for a name that fails: a person has to change something first.
const nameStepsMs = [minuteMs, 10 * minuteMs, 100 * minuteMs, 24 * 60 * minuteMs]
// When the CA itself is in trouble no name is to blame, and everybody waits for it: try sooner, but never hammer.
const caStepsMs = [2_000, 5_000, 15_000, 30_000, minuteMs, 2 * minuteMs, 5 * minuteMs, 10 * minuteMs]

/**
 * What to remember of a failed attempt, and when the next may come: a step up the ladder, a tenth of jitter, never before the
 * time the CA asked for.
 */
export function nextFailure(
  previous: FailureSummary | undefined,
  error: unknown,
  at: { nowMs: number; random: Random },
): FailureSummary {
  const count = (previous?.count ?? 0) + 1
  const steps = isCaTrouble(error) ? caStepsMs : nameStepsMs
  const stepMs = steps[Math.min(count, steps.length) - 1] as number
  const askedMs = error instanceof AcmeProblemError ? (error.retryAfterMs ?? 0) : 0
  const waitMs = Math.max(askedMs, stepMs * (1 + at.random.float() * 0.1))
  return { ...summaryOf(error), count, atMs: at.nowMs, retryAtMs: Math.round(at.nowMs + waitMs) }
}

/** Whether the failure says nothing about the name: the CA is away, overloaded, slow or talking nonsense. */
export function isCaTrouble(error: unknown): boolean {
  if (error instanceof CaUnreachableError || error instanceof CaReplyError || error instanceof OrderTimeoutError)
    return true
  return error instanceof AcmeProblemError && (error.problem.status >= 500 || error.problem.type === 'serverInternal')
}

function summaryOf(error: unknown): { code: string; message: string; hint: string | undefined; fault: Fault } {
  if (error instanceof AppError)
    return { code: error.code, message: error.message, hint: error.hint, fault: error.fault }
  return {
    code: 'INTERNAL',
    message: 'Something failed that should not have.',
    hint: 'The log has the cause.',
    fault: 'ours',
  }
}
