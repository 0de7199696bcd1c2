import type { Random } from '../../core/random.ts'
import { type CorpusFile, keepInput, readCorpus } from './corpus.ts'
import { shrink } from './shrink.ts'
import type { FuzzTarget } from './target.ts'

/** Synchronous checks in a row before sockets and timers get their turn. */
const burst = 32
/** Outcomes that one run adds to the corpus at most. */
const grownMax = 40

export interface FuzzFailure {
  error: unknown
  /** The smallest input found that fails. */
  input: Buffer
}

export interface FuzzReport {
  /** Inputs made and checked, those of the corpus not counted. */
  cases: number
  replayed: number
  /** Different outcomes seen. */
  outcomes: number
  /** Files added to the corpus. */
  grown: string[]
  failure: FuzzFailure | undefined
}

/** Checks every input of a target's corpus. Returns the first that fails. */
export async function replay(target: FuzzTarget, files: readonly CorpusFile[]): Promise<CorpusFile | undefined> {
  for (const file of files) if (await failureOf(target, file.input)) return file
  return undefined
}

/**
 * Replays the corpus of a target, then makes and checks inputs as long as `goOn` says so, or until one fails.
 * @param options - `grow`: inputs with an outcome that none in the corpus has are made small and kept there
 */
export async function runTarget(
  target: FuzzTarget,
  random: Random,
  goOn: (cases: number) => boolean,
  options: { grow?: boolean } = {},
): Promise<FuzzReport> {
  const files = readCorpus(target.name)
  const seeds = files.map(({ input }) => input)
  const report: FuzzReport = { cases: 0, replayed: 0, outcomes: 0, grown: [], failure: undefined }
  const seen = new Set<string>()
  for (const { input } of files) {
    report.failure = await tryInput(target, input, seen)
    if (report.failure) return report
    report.replayed++
  }
  while (goOn(report.cases)) {
    const input = target.make(random, seeds)
    const known = seen.size
    report.failure = await tryInput(target, input, seen)
    if (report.failure) {
      report.failure.input = await shrink(input, async (smaller) => (await failureOf(target, smaller)) !== undefined)
      report.failure.error = (await failureOf(target, report.failure.input)) ?? report.failure.error
      return report
    }
    if (options.grow && seen.size > known && report.grown.length < grownMax)
      report.grown.push(await grow(target, input, seeds))
    report.cases++
    if (report.cases % burst === 0) await new Promise(setImmediate)
  }
  report.outcomes = seen.size
  return report
}

async function tryInput(target: FuzzTarget, input: Buffer, seen: Set<string>): Promise<FuzzFailure | undefined> {
  try {
    seen.add(await inTime(target, input))
    return undefined
  } catch (error) {
    return { error, input }
  }
}

async function failureOf(target: FuzzTarget, input: Buffer): Promise<unknown> {
  const failure = await tryInput(target, input, new Set())
  await new Promise(setImmediate)
  return failure?.error
}

async function grow(target: FuzzTarget, input: Buffer, seeds: Buffer[]): Promise<string> {
  const outcome = await inTime(target, input)
  const small = await shrink(input, async (smaller) => (await outcomeOf(target, smaller)) === outcome)
  seeds.push(small)
  return keepInput(target.name, small)
}

async function outcomeOf(target: FuzzTarget, input: Buffer): Promise<string | undefined> {
  try {
    return await inTime(target, input)
  } catch {
    return undefined
  }
}

/** The outcome of an input, or an error when it takes too long. A check that never gives the turn back cannot be stopped from here. */
function inTime(target: FuzzTarget, input: Buffer): string | Promise<string> {
  const outcome = target.check(input)
  if (typeof outcome === 'string') return outcome
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`no outcome after ${target.secondsMax} s`)),
      target.secondsMax * 1_000,
    )
    outcome.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
