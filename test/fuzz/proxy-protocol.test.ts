import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from '../../core/random.ts'
import { target } from './proxy-protocol.ts'

test('5,000 PROXY headers, valid and damaged, break nothing', () => {
  const seed = Number(process.env.LASTMILE_FUZZ_SEED ?? 20_260)
  const cases = target.run(seededRandom(seed), (done) => done < 5_000)
  assert.equal(cases, 5_000, `seed ${seed}`)
})
