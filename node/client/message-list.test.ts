import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sha256Hex } from '../protocol/item-hash.ts'
import type { SignedMessage } from '../protocol/message.ts'
import { AnswerForgedError } from './errors.ts'
import { type FakeCcn, startFakeCcn } from './testing/fake-ccn.ts'
import { connect, owner, sign, stranger } from './testing/network.ts'

const { signal } = new AbortController()
const update = (digit: string, time: number, more: Record<string, unknown> = {}, signer = owner) =>
  sign('STORE', { item_type: 'storage', item_hash: digit.repeat(64), ref: 'site', ...more }, { time, signer })
const latest = (...ccns: FakeCcn[]) => connect(ccns).fileHash('site', owner.address, true, signal)

// Each of these made the whole page "forged", so that one such message hid every update of its owner.
test('messages that cannot be verified here are left out of a list, and fail when asked for by their hash', async () => {
  const good = await update('a', 1_000)
  const revoked = await update('b', 2_000, { address: owner.address }, stranger)
  const unsigned = { ...(await update('c', 3_000)), signature: null as unknown as string }
  const foreign = { ...(await update('d', 4_000)), chain: 'TEZOS' }
  const malformed = await update('e', 5_000, { size: 'large' })
  const text = Buffer.from([0x7b, 0xff])
  const binary: SignedMessage = { ...(await update('f', 6_000)), item_type: 'storage', item_hash: sha256Hex(text) }
  delete binary.item_content
  for (const odd of [revoked, unsigned, foreign, malformed, binary]) {
    await using ccn = await startFakeCcn()
    ccn.addFile(text)
    for (const message of [odd, good]) ccn.add(message)
    ccn.lie = (path, body) => (path.endsWith('messages.json') ? body.replace('"messages":[', '"messages":[7,') : body)
    assert.equal(await latest(ccn), 'a'.repeat(64), odd.chain)
    await using client = connect([ccn])
    await assert.rejects(client.message(odd.item_hash, signal), AnswerForgedError)
  }
})

test('a page in which a content is not that of its hash is a lie: the next node is asked for it', async () => {
  await using liar = await startFakeCcn()
  await using honest = await startFakeCcn()
  const [older, newer] = [await update('a', 1_000), await update('b', 2_000)]
  for (const message of [older, newer]) {
    liar.add(message)
    honest.add(message)
  }
  liar.lie = (_path, body) => body.replaceAll('b'.repeat(64), 'c'.repeat(64))
  assert.equal(await latest(liar, honest), 'b'.repeat(64))
  await assert.rejects(latest(liar), AnswerForgedError)
})

test('a page of nothing but messages that cannot be verified does not end the list', async () => {
  await using ccn = await startFakeCcn()
  const unsigned = { ...(await update('c', 3_000)), signature: null as unknown as string }
  const good = await update('a', 1_000)
  ccn.lie = (path, body) => {
    if (!path.endsWith('messages.json')) return body
    const first = ccn.asked.filter((asked) => asked === path).length === 1
    return JSON.stringify({ messages: [first ? unsigned : good], next_cursor: first ? 'more' : null })
  }
  ccn.add(good)
  assert.equal(await latest(ccn), 'a'.repeat(64))
})
