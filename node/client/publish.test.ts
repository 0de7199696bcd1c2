import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '../../core/clock.ts'
import { startFakeCcn } from './testing/fake-ccn.ts'
import { connect, owner } from './testing/network.ts'

const { signal } = new AbortController()
const { signer, ...plain } = { signer: owner, encoding: 'zip', entrypoint: 'main:app', runtime: 'python' } as const

// Two updates within one millisecond had the same time, and the greater hash won instead of the later one.
test('the times of what is published strictly increase, also while the clock stands still or goes back', async () => {
  await using ccn = await startFakeCcn()
  let nowMs = 1_700_000_000_500
  await using client = connect([ccn], { clock: { ...systemClock, nowMs: () => nowMs-- } })
  for (const content of [1, 2, 3]) await client.publishAggregate({ signer, key: 'k', content: { content } })
  await client.publishProgram({ signer, ...plain, code: Buffer.from('code') })
  const times = ccn.messages.map(({ item_content = '{}' }) => JSON.parse(item_content).time as number)
  assert.equal(times.length, 5)
  assert.deepEqual(
    [...new Set(times)].sort((a, b) => a - b),
    times,
  )
  assert.equal(await client.aggregateMember(owner.address, 'k', 'content', signal), 3)
})

test('a program published as an update has new code under the old hash, and a hash of its own', async () => {
  await using ccn = await startFakeCcn()
  await using client = connect([ccn])
  const first = await client.publishProgram({ signer, ...plain, code: Buffer.from('1') })
  const second = await client.publishProgram({ signer, ...plain, code: Buffer.from('2'), updates: first.codeHash })
  assert.equal(second.codeHash, first.codeHash)
  assert.notEqual(second.itemHash, first.itemHash)
  assert.deepEqual(
    ccn.messages.map(({ type }) => type),
    ['STORE', 'PROGRAM', 'STORE', 'PROGRAM'],
  )
})
