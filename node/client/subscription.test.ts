import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FakeClock } from '../../core/clock.ts'
import { startFakeCcn } from './testing/fake-ccn.ts'
import { connect, eventually, sign } from './testing/network.ts'

const pingMs = 25_000
const list = '/api/v0/messages.json'

/** A client that listens to a node, once it stands. */
async function startListening() {
  const stack = new AsyncDisposableStack()
  const clock = new FakeClock()
  const ccn = stack.use(await startFakeCcn())
  const client = stack.use(connect([ccn], { clock, pingMs, timeoutMs: 120_000, answerTimeoutMs: 120_000 }))
  const heard: string[] = []
  client.onMessage(() => {
    throw new Error('a listener with a fault')
  })
  client.onMessage(({ itemHash }) => heard.push(itemHash))
  const post = async (agoSeconds = 0) => sign('POST', { type: 't', content: Math.random() }, { time: at(agoSeconds) })
  const store = async (agoSeconds: number) =>
    sign('STORE', { item_type: 'storage', item_hash: 'ab'.repeat(32), agoSeconds }, { time: at(agoSeconds) })
  const at = (agoSeconds: number) => clock.nowMs() / 1_000 - agoSeconds
  await eventually(() => ccn.asked.includes(list))
  const first = await post()
  ccn.add(first)
  await eventually(() => heard.length === 1)
  /** Moves time on until it is so. */
  const inTime = (check: () => boolean) =>
    eventually(async () => {
      await clock.advance(1_000)
      return check()
    })
  return { ccn, client, clock, heard, post, store, inTime, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

test('a listener that throws does not keep the others from hearing', async () => {
  await using net = await startListening()
  assert.equal(net.heard.length, 1)
})

test('a quiet connection whose other side is there stays as it is', async () => {
  await using net = await startListening()
  for (let round = 1; round <= 4; round++) {
    await net.clock.advance(pingMs)
    await eventually(() => net.ccn.pings === round)
    // Sent after the pong, so that it is there too once this is heard.
    net.ccn.add(await net.post())
    await eventually(() => net.heard.length === round + 1)
  }
  assert.equal(net.ccn.connections, 1)
})

// A node behind a broken middlebox neither answers nor closes: programs stayed at their old code until a restart.
test('a connection without a sign of life is made anew, and what it missed is heard', async () => {
  await using net = await startListening()
  net.ccn.freeze()
  const missed = await net.post()
  net.ccn.add(missed)
  await net.inTime(() => net.heard.includes(missed.item_hash))
  assert.ok(net.ccn.connections >= 2)
})

// The time of an envelope is whatever its publisher wrote: an update signed hours ago and published during a break was missed.
test('a STORE that was dated long before the break is heard after it, and nothing is heard twice', async () => {
  await using net = await startListening()
  const live = await net.store(7_200)
  net.ccn.add(live)
  await eventually(() => net.heard.length === 2)
  net.ccn.down = true
  net.ccn.cut()
  const [early, older] = [await net.store(10_800), await net.store(200_000)]
  for (const message of [early, older]) net.ccn.add(message, false)
  net.ccn.down = false
  await net.inTime(() => net.heard.length === 3)
  assert.equal(net.heard[2], early.item_hash, 'the bound is a day')
})

test('when what was missed cannot be read, the next connection tries again', async () => {
  await using net = await startListening()
  net.ccn.down = true
  net.ccn.cut()
  const missed = await net.post()
  net.ccn.add(missed, false)
  let failures = 0
  net.ccn.lie = (path, body) => (path === list && failures++ < 3 ? 'not JSON' : body)
  net.ccn.down = false
  // Later than the overlap: only a remembered break leads back to it.
  await net.inTime(() => failures >= 3)
  await net.clock.advance(600_000)
  await net.inTime(() => net.heard.includes(missed.item_hash))
})
