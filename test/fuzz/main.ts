/**
 * Feeds a parser made-up and damaged inputs until a property does not hold.
 * Usage: npm run fuzz -- <target> [--seconds 10] [--seed N] [--grow]
 * The corpus in test/fuzz/corpus is replayed first. Exit code 1 when an input failed; the smallest one found is added to the corpus.
 */
import { parseArgs } from 'node:util'
import { seededRandom } from '../../core/random.ts'
import { keepInput } from './corpus.ts'
import { runTarget } from './run-target.ts'
import { targets } from './targets.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seconds: { type: 'string' }, seed: { type: 'string' }, grow: { type: 'boolean' } },
})
const target = targets.find(({ name }) => name === positionals[0])
const seconds = Number(values.seconds ?? 10)
const seed = Number(values.seed ?? Date.now() % 1_000_000_007)
if (!target || positionals.length !== 1 || !(seconds > 0) || !Number.isSafeInteger(seed)) {
  const names = targets.map(({ name }) => name).join('|')
  console.error(`Usage: npm run fuzz -- ${names} [--seconds N] [--seed N] [--grow]`)
  process.exit(2)
}

console.log(`${target.name}: seed ${seed}, ${seconds} s`)
const startedMs = performance.now()
const elapsed = (): number => (performance.now() - startedMs) / 1_000
const grow = values.grow ?? false
const report = await runTarget(target, seededRandom(seed), () => elapsed() < seconds, { grow })
const rate = Math.round(report.cases / elapsed())
console.log(
  `${report.replayed} inputs of the corpus, ${report.cases} new ones, ${rate} per second, ${report.outcomes} outcomes`,
)
for (const path of report.grown) console.log(`kept ${path}`)
if (report.failure) {
  const { error, input } = report.failure
  console.error(error)
  console.error(`\nfails on ${input.length} bytes: ${JSON.stringify(input.toString('latin1'))}`)
  console.error(`hex ${input.toString('hex')}`)
  console.error(`kept in ${keepInput(target.name, input)}; seed ${seed}, case ${report.cases}`)
}
await target.close?.()
process.exit(report.failure ? 1 : 0)
