/** Every check of `npm start -- --check`, as tests: one network, one client outside it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { allChecks } from '../check/all-checks.ts'
import { resultLine, runChecks } from '../check/run-checks.ts'
import { World } from '../check/world.ts'
import { startTestNetwork } from '../network.ts'

test('a client outside sees the whole path work, from the name to the microVM and back', async (t) => {
  await using network = await startTestNetwork()
  const world = new World(network)
  for (const check of allChecks) {
    await t.test(check.name, async () => {
      const [result] = await runChecks([check], world, (result) => console.log(resultLine(result)))
      assert.ok(result?.ok, result?.detail)
    })
  }
})
