import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FakeClock } from '../../core/clock.ts'
import { createMetrics } from '../../core/metrics.ts'
import { gatewayConfigSchema } from '../config.ts'
import { gatewayMetrics } from '../metrics.ts'
import { FakeError, FakeNames } from '../testing/fakes.ts'
import { Routes } from './routes.ts'

const target = { kind: 'program', itemHash: 'aa' } as const

function setUp(config: object = {}) {
  const clock = new FakeClock()
  const names = new FakeNames().set('a.test', target)
  const routes = new Routes(gatewayConfigSchema.parse({ routes: config }), {
    names,
    clock,
    metrics: gatewayMetrics(createMetrics()),
  })
  return { clock, names, routes }
}

test('many requests for a new name make one lookup', async () => {
  const { names, routes } = setUp()
  const sites = await Promise.all(Array.from({ length: 100 }, () => routes.match('a.test')))
  assert.equal(new Set(sites).size, 1)
  assert.equal(names.lookups, 1)
})

test('a name with traffic is refreshed before its answer expires, without a wait', async () => {
  const { clock, names, routes } = setUp()
  await routes.match('a.test')
  await clock.advance(50_000)
  await routes.match('a.test')
  assert.equal(names.lookups, 1)
  await clock.advance(5_000)
  names.set('a.test', { kind: 'program', itemHash: 'bb' })
  assert.deepEqual((await routes.match('a.test')).resolution.target, target)
  await clock.advance(1)
  assert.deepEqual((await routes.match('a.test')).resolution.target, { kind: 'program', itemHash: 'bb' })
  assert.equal(names.lookups, 2)
})

test('an unknown name is remembered for a short time only, so that a corrected record is seen soon', async () => {
  const { clock, names, routes } = setUp()
  for (let i = 0; i < 10; i++) await assert.rejects(routes.match('new.test'), { code: 'NAME_UNKNOWN' })
  assert.equal(names.lookups, 1)
  names.set('new.test', target)
  await clock.advance(5_001)
  assert.equal((await routes.match('new.test')).host, 'new.test')
})

test('while lookups fail the last good answer serves on, for a bounded time', async () => {
  const { clock, names, routes } = setUp({ staleMs: 600_000 })
  await routes.match('a.test')
  names.table.set('a.test', new FakeError('DNS_DOWN', 503))
  await clock.advance(60_001)
  assert.equal((await routes.match('a.test')).host, 'a.test')
  await clock.advance(600_000)
  await assert.rejects(routes.match('a.test'), { code: 'DNS_DOWN' })
})

test('a name that is no longer proven stops at once', async () => {
  const { clock, names, routes } = setUp()
  await routes.match('a.test')
  names.table.set('a.test', new FakeError('NAME_NOT_PROVEN', 421))
  await clock.advance(60_001)
  await assert.rejects(routes.match('a.test'), { code: 'NAME_NOT_PROVEN' })
})

test('a refresh that finds the name gone counts although the old answer has not expired', async () => {
  const { clock, names, routes } = setUp()
  await routes.match('a.test')
  names.table.set('a.test', new FakeError('NAME_NOT_PROVEN', 421))
  await clock.advance(55_000)
  await routes.match('a.test')
  await clock.advance(1)
  await assert.rejects(routes.match('a.test'), { code: 'NAME_NOT_PROVEN' })
})

test('a lookup that hangs ends in a clear error, also when the source does not heed the signal', async () => {
  const { clock, names, routes } = setUp()
  names.resolve = () => new Promise(() => {})
  const failed = assert.rejects(routes.match('slow.test'), { code: 'GATEWAY_LOOKUP_TIMEOUT' })
  await clock.advance(10_000)
  await failed
})

test('lookups at the same time are bounded, and so is what is remembered', async () => {
  const clock = new FakeClock()
  const names = new FakeNames()
  const config = gatewayConfigSchema.parse({ limits: { lookupsMax: 2 }, routes: { sitesMax: 3 } })
  const routes = new Routes(config, { names, clock, metrics: gatewayMetrics(createMetrics()) })
  const failures = await Promise.allSettled(['x', 'y', 'z'].map((name) => routes.match(name)))
  assert.equal((failures[2] as PromiseRejectedResult).reason.code, 'GATEWAY_OVERLOADED')
  for (const name of ['1', '2', '3', '4', '5']) {
    names.set(name, target)
    await routes.match(name)
  }
  assert.deepEqual(
    routes.snapshot().map(({ host }) => host),
    ['5', '4', '3'],
  )
})
