import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { HashMismatchError } from '../protocol/errors.ts'
import { sha256Hex } from '../protocol/item-hash.ts'
import { importFile } from '../protocol/unixfs.ts'
import { NetworkUnreachableError } from './errors.ts'
import { startFakeCcn } from './testing/fake-ccn.ts'
import { connect, owner, sign, text } from './testing/network.ts'

const { signal } = new AbortController()
const patience = { answerTimeoutMs: 500, silenceTimeoutMs: 500 }

test('a node that stalls within a small answer is left for the next one', async () => {
  await using stalled = await startFakeCcn()
  await using honest = await startFakeCcn()
  const message = await sign('STORE', { item_type: 'storage', item_hash: 'ab'.repeat(32), ref: 'name' })
  const chunks = async function* () {
    yield Buffer.from('block')
  }
  for (const ccn of [stalled, honest]) ccn.add(message)
  const { cid } = await importFile(chunks(), async (name, block) => {
    for (const ccn of [stalled, honest]) ccn.blocks.set(name, block)
  })
  for (const ccn of [stalled, honest]) ccn.aggregates.set(owner.address, { key: { member: 1 } })
  stalled.stallAfterBytes = 3
  const fresh = () => connect([stalled, honest], patience)
  await using one = fresh()
  await using two = fresh()
  await using three = fresh()
  await using four = fresh()
  const [found, hash, aggregate, block] = await Promise.all([
    one.message(message.item_hash, signal),
    two.fileHash('name', owner.address, true, signal),
    three.aggregate(owner.address, 'key', signal),
    four.block(cid, signal),
  ])
  assert.ok(found && block)
  assert.deepEqual([hash, aggregate], ['ab'.repeat(32), { member: 1 }])
  await using alone = connect([stalled], patience)
  await assert.rejects(alone.message(message.item_hash, signal), NetworkUnreachableError)
})

test('a caller that gives up is let go at once, while others still wait for the same answer', async () => {
  await using stalled = await startFakeCcn()
  await using client = connect([stalled], { answerTimeoutMs: 300 })
  const message = await sign('POST', { type: 't', content: 1 })
  stalled.add(message)
  stalled.stallAfterBytes = 3
  const given = new AbortController()
  const patient = client.message(message.item_hash, signal)
  const hurried = client.message(message.item_hash, given.signal)
  given.abort(new Error('gone'))
  await assert.rejects(hurried, /gone/)
  await assert.rejects(patient, NetworkUnreachableError)
})

test('a file goes on from the next node where a node falls silent', async () => {
  await using stalled = await startFakeCcn()
  await using honest = await startFakeCcn()
  const bytes = randomBytes(500_000)
  const hash = stalled.addFile(bytes)
  honest.addFile(bytes)
  stalled.stallAfterBytes = 300_000
  await using client = connect([stalled, honest], patience)
  const parts: Uint8Array[] = []
  for await (const part of client.verifiedFile(hash, signal)) parts.push(part)
  assert.deepEqual(Buffer.concat(parts), bytes)
  await using alone = connect([stalled], patience)
  await assert.rejects(text(alone.file(hash, signal)), NetworkUnreachableError)
})

test('a slow reader of a file is not taken for a silent node', async () => {
  await using ccn = await startFakeCcn()
  await using client = connect([ccn], { silenceTimeoutMs: 500 })
  const hash = ccn.addFile(randomBytes(500_000))
  let total = 0
  for await (const part of client.verifiedFile(hash, signal)) {
    if (total === 0) await new Promise((resolve) => setTimeout(resolve, 700))
    total += part.length
  }
  assert.equal(total, 500_000)
})

// The node that answered last was asked first again, so that trying again met the same wrong bytes.
test('a node that gave wrong bytes is asked last, so that trying again reaches another one', async () => {
  const good = Buffer.from('good')
  const hash = sha256Hex(good)
  for (const first of ['verifiedFile', 'file'] as const) {
    await using liar = await startFakeCcn()
    await using honest = await startFakeCcn()
    liar.files.set(hash, Buffer.from('evil'))
    honest.addFile(good)
    await using client = connect([liar, honest])
    if (first === 'file') assert.equal(await text(client.file(hash, signal)), 'evil')
    else await assert.rejects(text(client.verifiedFile(hash, signal)), HashMismatchError)
    assert.equal(await text(client.verifiedFile(hash, signal)), 'good')
  }
})

test('content of a message that one node gives wrongly is read from another', async () => {
  await using liar = await startFakeCcn()
  await using honest = await startFakeCcn()
  const inline = await sign('POST', { type: 't', content: 'large' })
  const { item_content = '', ...rest } = inline
  for (const ccn of [liar, honest]) ccn.add({ ...rest, item_type: 'storage' })
  liar.files.set(inline.item_hash, Buffer.from('evil'))
  honest.addFile(Buffer.from(item_content))
  await using client = connect([liar, honest])
  assert.equal((await client.message(inline.item_hash, signal))?.content.content, 'large')
})
