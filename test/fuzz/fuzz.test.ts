import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { seededRandom } from '../../core/random.ts'
import { readCorpus } from './corpus.ts'
import { replay, runTarget } from './run-target.ts'
import { targets } from './targets.ts'

const seed = Number(process.env.LASTMILE_FUZZ_SEED ?? 20_260)
const secondsEach = 2
/** The corpus is read by people, and replayed in every run. */
const corpusFilesMax = 300
const corpusBytesMax = 200 * 1_024

for (const target of targets) {
  describe(target.name, () => {
    after(() => target.close?.())

    test('every input of the corpus keeps the properties', async () => {
      const files = readCorpus(target.name)
      assert.ok(files.length > 0)
      const failed = await replay(target, files)
      if (failed) await target.check(failed.input)
      assert.equal(failed?.path, undefined)
    })

    test(`made-up inputs keep the properties (${secondsEach} s, seed ${seed})`, async () => {
      const endMs = performance.now() + secondsEach * 1_000
      const report = await runTarget(target, seededRandom(seed), () => performance.now() < endMs)
      if (report.failure) {
        const { error, input } = report.failure
        assert.fail(`seed ${seed}, input ${input.toString('hex')}: ${error}`)
      }
      assert.ok(report.cases > 0)
    })
  })
}

test('the corpus stays small', () => {
  const files = targets.flatMap(({ name }) => readCorpus(name))
  assert.ok(files.length < corpusFilesMax, `${files.length} files`)
  assert.ok(files.reduce((sum, { input }) => sum + input.length, 0) < corpusBytesMax)
})
