import { describeError } from '../../core/errors.ts'

/** One thing shown from outside. `run` returns what to print behind `ok`; it throws when the thing is not so. */
export interface Check<World> {
  name: string
  run(world: World): Promise<string>
}

export interface CheckResult {
  name: string
  ok: boolean
  detail: string
  ms: number
}

/** Runs checks one after another; a failure does not stop the rest. `report` is told each result at once. */
export async function runChecks<World>(
  checks: readonly Check<World>[],
  world: World,
  report: (result: CheckResult) => void,
): Promise<CheckResult[]> {
  const results: CheckResult[] = []
  for (const check of checks) {
    const result = await runOne(check, world)
    results.push(result)
    report(result)
  }
  return results
}

/** Longest time one check may take; a hang is a failure of that check, not of the run. */
const checkTimeoutMs = 180_000

async function runOne<World>(check: Check<World>, world: World): Promise<CheckResult> {
  const startedAt = performance.now()
  let timer: NodeJS.Timeout | undefined
  try {
    const timeout = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`not done after ${checkTimeoutMs / 1000} s`)), checkTimeoutMs)
    })
    const detail = await Promise.race([check.run(world), timeout])
    return { name: check.name, ok: true, detail, ms: performance.now() - startedAt }
  } catch (error) {
    return { name: check.name, ok: false, detail: describeError(error), ms: performance.now() - startedAt }
  } finally {
    clearTimeout(timer)
  }
}

/** The line of a result: `ok    label.https  answered from boot 1f…  (84 ms)`. */
export function resultLine(result: CheckResult): string {
  return `${result.ok ? 'ok  ' : 'FAIL'}  ${result.name.padEnd(20)} ${result.detail}  (${result.ms < 1_000 ? `${result.ms.toFixed(0)} ms` : `${(result.ms / 1_000).toFixed(1)} s`})`
}
