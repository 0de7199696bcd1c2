// What the configuration itself may hold: more is a mistake, and is refused with its place.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gatewayConfigSchema } from '../config.ts'

const accepts = (config: object): boolean => gatewayConfigSchema.safeParse(config).success

const rows: [string, (count: number) => object, number][] = [
  ['trust.addresses', (count) => ({ trust: { addresses: Array(count).fill('10.0.0.1') } }), 1_000],
  ['balance.drainedHosts', (count) => ({ balance: { drainedHosts: Array(count).fill('host') } }), 10_000],
  ['workers', (count) => ({ workers: count }), 256],
  ['clients.tableMax', (count) => ({ clients: { tableMax: count } }), 4_000_000],
  ['bytes of an id in balance.drainedHosts', (count) => ({ balance: { drainedHosts: ['h'.repeat(count)] } }), 200],
]
for (const [what, config, most] of rows) {
  test(`${what}: ${most} and no more`, () => {
    assert.equal(accepts(config(most)), true)
    assert.equal(accepts(config(most + 1)), false)
  })
}

test('a site probe path is at most 256 characters', () => {
  const site = (length: number) => ({ sites: { '*': { probePath: `/${'p'.repeat(length - 1)}` } } })
  assert.deepEqual([accepts(site(256)), accepts(site(257))], [true, false])
})
