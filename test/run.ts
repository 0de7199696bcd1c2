/**
 * Runs the tests: units first, two files at a time, then the end-to-end ones alone.
 * Usage: test/run.ts [filter ...] — a filter is a part of a file's path.
 * Ends with the counts and the ten slowest tests; exit code 1 when anything failed or nothing ran.
 */
import { globSync } from 'node:fs'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'

interface Outcome {
  passed: number
  failed: number
  skipped: number
  slowest: { name: string; file: string; ms: number }[]
}

const root = new URL('..', import.meta.url).pathname
const filters = process.argv.slice(2)
const all = globSync(['{core,gateway,acme,resolver,node,cli,deploy,test}/**/*.test.ts'], {
  cwd: root,
  exclude: ['**/node_modules/**'],
})
  .filter((file) => filters.length === 0 || filters.some((filter) => file.includes(filter)))
  .sort()
const endToEnd = all.filter((file) => file.startsWith('test/e2e/'))
const units = all.filter((file) => !file.startsWith('test/e2e/'))

const outcome: Outcome = { passed: 0, failed: 0, skipped: 0, slowest: [] }
const startedAt = performance.now()
// A file that hangs is a failure, not a stop.
await runFiles(units, 2, 4 * 60_000)
await runFiles(endToEnd, 1, 15 * 60_000)

outcome.slowest.sort((a, b) => b.ms - a.ms)
console.log(
  `\n${outcome.passed} passed, ${outcome.failed} failed, ${outcome.skipped} skipped in ${seconds(performance.now() - startedAt)} (${all.length} files)`,
)
console.log('The slowest ten:')
for (const { name, file, ms } of outcome.slowest.slice(0, 10))
  console.log(`  ${seconds(ms).padStart(8)}  ${name}  (${file})`)
if (outcome.passed === 0) console.log('No test ran: that counts as a failure.')
process.exit(outcome.failed > 0 || outcome.passed === 0 ? 1 : 0)

async function runFiles(files: readonly string[], concurrency: number, timeoutMs: number): Promise<void> {
  if (files.length === 0) return
  const stream = run({ files: files.map((file) => root + file), concurrency, cwd: root, timeout: timeoutMs })
  stream.on('test:pass', (event) => {
    if (event.details.type === 'suite' || (event.nesting === 0 && event.name.endsWith('.test.ts'))) return
    if (event.skip) outcome.skipped++
    else outcome.passed++
    outcome.slowest.push({
      name: event.name,
      file: (event.file ?? '').replace(root, ''),
      ms: event.details.duration_ms,
    })
  })
  stream.on('test:fail', (event) => {
    if (event.details.type !== 'suite') outcome.failed++
  })
  const printed = stream.compose(new spec())
  printed.pipe(process.stdout, { end: false })
  await new Promise((resolve) => printed.on('end', resolve))
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`
}
