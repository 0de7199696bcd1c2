/**
 * Walks through a whole network as a client from outside: `npm start -- --check`.
 * One line for each check; ends with "N passed, N failed" and exit code 1 when any failed.
 */
import { parseArgs } from 'node:util'
import { showProgress } from '../../cli/dev/show-progress.ts'
import { runUntilStopped } from '../../core/lifecycle.ts'
import { startTestNetwork } from '../network.ts'
import { allChecks } from './all-checks.ts'
import { type CheckResult, resultLine, runChecks } from './run-checks.ts'
import { World } from './world.ts'

const { values } = parseArgs({ options: { only: { type: 'string' } } })
const wanted = values.only?.split(',')
// What later checks stand on is published by the first ones, so those always run.
const checks = allChecks.filter(
  ({ name }) => wanted === undefined || name.startsWith('publish.') || wanted.some((start) => name.startsWith(start)),
)

const startedAt = performance.now()
const stop = new AbortController()
await runUntilStopped(
  async () => {
    const progress = showProgress()
    const network = await startTestNetwork({ onProgress: progress.step })
    progress.end()
    console.log(`network ready in ${((performance.now() - startedAt) / 1_000).toFixed(1)} s\n`)
    void runChecks(checks, new World(network), (result) => console.log(resultLine(result))).then(summarise)
    return network
  },
  { signal: stop.signal },
)

function summarise(results: readonly CheckResult[]): void {
  const failed = results.filter(({ ok }) => !ok)
  console.log(
    `\n${results.length - failed.length} passed, ${failed.length} failed in ${((performance.now() - startedAt) / 1_000).toFixed(0)} s`,
  )
  process.exitCode = failed.length > 0 || results.length === 0 ? 1 : 0
  stop.abort()
}
