import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FakeClock, systemClock } from '../../core/clock.ts'
import { KeptMessages } from './kept-messages.ts'
import { startFakeCcn } from './testing/fake-ccn.ts'
import { connect, eventually, owner, sign } from './testing/network.ts'
import { verifyMessage } from './verified-message.ts'

const { signal } = new AbortController()
const large = async (name: string, chars: number) => {
  const json = await sign('POST', { type: 't', content: name + 'x'.repeat(chars) })
  const none = async () => assert.fail('nothing else is read')
  return verifyMessage(json, none, none)
}

test('kept messages are bounded by bytes: the oldest leave for the newest', async () => {
  const clock = new FakeClock()
  const kept = new KeptMessages({ clock, keepMs: 1_000, unsettledKeepMs: 10, bytesMax: 1_000_000 })
  const messages = await Promise.all(Array.from({ length: 20 }, (_, index) => large(String(index), 20_000)))
  for (const message of messages) kept.set(message.itemHash, { status: 'processed', message })
  assert.ok(kept.bytes <= 1_000_000)
  assert.equal(kept.get(messages[0]?.itemHash ?? ''), undefined)
  assert.ok(kept.get(messages[19]?.itemHash ?? ''))
  const huge = await large('huge', 190_000)
  kept.set(huge.itemHash, { status: 'processed', message: huge })
  assert.equal(kept.get(huge.itemHash), undefined, 'one larger than all the room does not push the others out')
  assert.ok(kept.get(messages[19]?.itemHash ?? ''))
  await clock.advance(1_000)
  for (const { itemHash } of messages) assert.equal(kept.get(itemHash), undefined)
  assert.equal(kept.bytes, 0)
})

test('what is unknown or pending is remembered briefly, and in bounded number', async () => {
  const clock = new FakeClock()
  const kept = new KeptMessages({ clock, keepMs: 30_000, unsettledKeepMs: 1_500, bytesMax: 1_000_000 })
  for (let index = 0; index < 10_000; index++) kept.set(String(index), { status: 'unknown' })
  assert.ok(kept.bytes <= 1_000_000)
  kept.set('pending', { status: 'pending' })
  assert.ok(kept.get('9999'))
  await clock.advance(1_500)
  assert.equal(kept.get('9999'), undefined)
  assert.equal(kept.get('pending'), undefined)
})

// Each request for a host name that stands for no program cost one question to every node.
test('a flood of requests for an unknown hash is one question to the network', async () => {
  await using ccn = await startFakeCcn()
  await using client = connect([ccn])
  const hash = '00'.repeat(32)
  for (let round = 0; round < 20; round++) assert.equal(await client.message(hash, signal), undefined)
  assert.equal(ccn.asked.length, 1)
})

test('an unknown message is found as soon as this client publishes or hears it, and soon otherwise', async () => {
  await using ccn = await startFakeCcn()
  await using client = connect([ccn], { unsettledKeepMs: 60_000 })
  await using brief = connect([ccn], { unsettledKeepMs: 20 })
  using _listening = client.onMessage(() => {})
  await eventually(() => ccn.asked.includes('/api/v0/messages.json'))
  const heard = await sign('POST', { type: 't', content: 1 }, { time: systemClock.nowMs() / 1_000 })
  for (const asking of [client, brief]) assert.equal(await asking.message(heard.item_hash, signal), undefined)
  ccn.add(heard)
  for (const asking of [client, brief]) {
    await eventually(async () => (await asking.message(heard.item_hash, signal)) !== undefined)
  }
  const nowMs = 5_000_000
  await using publisher = connect([ccn], { unsettledKeepMs: 60_000, clock: { ...systemClock, nowMs: () => nowMs } })
  const { item_hash } = await sign('POST', { type: 't', content: 2 }, { time: nowMs / 1_000 })
  assert.equal(await publisher.message(item_hash, signal), undefined)
  await publisher.publishPost({ signer: owner, type: 't', content: 2 })
  assert.ok(await publisher.message(item_hash, signal))
})
