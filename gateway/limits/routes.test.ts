// What is remembered of host names, and what look-ups may cost.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FakeClock } from '../../core/clock.ts'
import { createMetrics } from '../../core/metrics.ts'
import { gatewayConfigSchema } from '../config.ts'
import { gatewayMetrics } from '../metrics.ts'
import { Routes } from '../route/routes.ts'
import { FakeError, FakeNames } from '../testing/fakes.ts'

function setUp(config: object) {
  const clock = new FakeClock()
  const names = new FakeNames()
  const metrics = gatewayMetrics(createMetrics())
  const routes = new Routes(gatewayConfigSchema.parse({ routes: config }), { names, clock, metrics })
  const ask = async (name: string): Promise<void> => void (await routes.match(name).catch(() => {}))
  return { clock, names, ask }
}

test('no more than unknownMax names are known as not served; the one that was asked for longest ago is forgotten', async () => {
  const { names, ask } = setUp({ unknownMax: 2, unknownMs: 60_000 })
  for (const name of ['a', 'b', 'a', 'b']) await ask(name)
  assert.equal(names.lookups, 2)
  await ask('c')
  await ask('b')
  assert.equal(names.lookups, 3)
  await ask('a')
  assert.equal(names.lookups, 4)
})

test('a name is known as not served for unknownMs, and one whose look-up failed is left alone for retryMs', async () => {
  for (const [error, ms] of [
    [new FakeError('NAME_UNKNOWN', 404), 5_000],
    [new FakeError('RESOLVER_DOWN', 503), 1_000],
  ] as const) {
    const { clock, names, ask } = setUp({})
    names.table.set('a', error)
    await ask('a')
    await clock.advance(ms - 1)
    await ask('a')
    assert.equal(names.lookups, 1)
    await clock.advance(1)
    await ask('a')
    assert.equal(names.lookups, 2)
  }
})
