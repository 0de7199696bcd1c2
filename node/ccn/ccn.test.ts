import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FakeClock } from '../../core/clock.ts'
import { sha256Hex } from '../protocol/item-hash.ts'
import { createMemoryMessageStore } from './store/memory-message-store.ts'
import { owner, programContent, sign, startTestCcn, stranger, type TestCcn } from './testing/start-test-ccn.ts'

/** Publishes and expects a status and, when refused or waiting, the network's error code. */
async function expectPublish(ccn: TestCcn, message: unknown, status: number, errorCode?: number): Promise<void> {
  const answer = await ccn.publish(message)
  assert.deepEqual(
    [answer.status, answer.body.error_code],
    [status, errorCode],
    JSON.stringify(answer.body).slice(0, 400),
  )
}

async function store(ccn: TestCcn, text: string, more: Record<string, unknown> = {}, time = 1_000): Promise<string> {
  const message = await sign('STORE', { item_type: 'storage', item_hash: sha256Hex(text), ...more }, { time })
  const answer = await ccn.upload('/api/v0/storage/add_file', new Blob([text]), message)
  assert.equal(answer.status, 200, JSON.stringify(answer.body))
  return message.item_hash
}

test('POST: the amend with the greatest signed time is shown; forgetting it brings the one before back', async () => {
  await using ccn = await startTestCcn()
  const original = await sign('POST', { type: 'note', content: { v: 0 } })
  await expectPublish(ccn, original, 200)
  const amend = (v: number, time: number) =>
    sign('POST', { type: 'amend', ref: original.item_hash, content: { v } }, { time })
  const [early, late] = [await amend(1, 2_000), await amend(2, 3_000)]
  await expectPublish(ccn, late, 200)
  await expectPublish(ccn, early, 200)
  const shown = async () => (await ccn.get('/api/v1/posts.json?types=note')).body.posts[0]?.content
  assert.deepEqual(await shown(), { v: 2 })
  await expectPublish(ccn, await sign('FORGET', { hashes: [late.item_hash] }), 200)
  assert.deepEqual(await shown(), { v: 1 })
  await expectPublish(ccn, await sign('FORGET', { hashes: [original.item_hash] }), 200)
  assert.equal(await shown(), undefined)
  assert.equal(
    (await ccn.get(`/api/v0/messages/${early.item_hash}`)).body.status,
    'forgotten',
    'amends go with the original',
  )
})

test('POST: an amend without target, of an amend, or by another is refused; one that comes early waits', async () => {
  await using ccn = await startTestCcn()
  const original = await sign('POST', { type: 'note', content: 0 })
  const amend = await sign('POST', { type: 'amend', ref: original.item_hash, content: 1 })
  await expectPublish(ccn, amend, 202, 101)
  assert.equal((await ccn.get(`/api/v0/messages/${amend.item_hash}`)).body.status, 'pending')
  await expectPublish(ccn, original, 200)
  await eventually(
    async () => (await ccn.get(`/api/v0/messages/${amend.item_hash}/status`)).body.status === 'processed',
  )
  await expectPublish(ccn, await sign('POST', { type: 'amend', content: 1 }), 422, 100)
  await expectPublish(ccn, await sign('POST', { type: 'amend', ref: amend.item_hash, content: 1 }), 422, 102)
  const foreign = await sign('POST', { type: 'amend', ref: original.item_hash, content: 1 }, { signer: stranger })
  await expectPublish(ccn, foreign, 422, 2)
})

test('a sync publication of a message that waits is answered as soon as what it needs arrives', async () => {
  await using ccn = await startTestCcn()
  const original = await sign('POST', { type: 'note', content: 0 })
  const amend = await sign('POST', { type: 'amend', ref: original.item_hash, content: 1 })
  const waiting = ccn.publish(amend, { sync: true })
  await eventually(async () => (await ccn.get(`/api/v0/messages/${amend.item_hash}`)).status === 200)
  await expectPublish(ccn, original, 200)
  const answer = await waiting
  assert.deepEqual([answer.status, answer.body.message_status], [200, 'processed'])
})

test('AGGREGATE: elements merge by signed time in whatever order they arrive, and without a forgotten one', async () => {
  const elements = await Promise.all(
    [1, 2, 3, 4].map((n) =>
      sign('AGGREGATE', { key: 'k', content: { [`m${n}`]: n, last: n, gone: n === 4 ? null : n } }, { time: n }),
    ),
  )
  const merged = { m1: 1, m2: 2, m3: 3, m4: 4, last: 4, gone: null }
  for (const order of [
    [0, 1, 2, 3],
    [3, 2, 1, 0],
    [1, 3, 0, 2],
    [2, 0, 3, 1],
  ]) {
    await using ccn = await startTestCcn()
    for (const index of order) await expectPublish(ccn, elements[index], 200)
    const read = async () => (await ccn.get(`/api/v0/aggregates/${owner.address}.json?keys=k&with_info=1`)).body
    const { data, info } = await read()
    assert.deepEqual(data.k, merged)
    assert.equal(info.k.original_item_hash, elements[0]?.item_hash)
    assert.equal(info.k.last_update_item_hash, elements[3]?.item_hash)
    await expectPublish(ccn, await sign('FORGET', { hashes: [elements[3]?.item_hash] }), 200)
    assert.deepEqual((await read()).data.k, { m1: 1, m2: 2, m3: 3, last: 3, gone: 3 })
  }
})

test('AGGREGATE: a member named __proto__ is data like any other', async () => {
  await using ccn = await startTestCcn()
  const text = `{"address":"${owner.address}","time":1,"key":"k","content":{"__proto__":{"polluted":1},"a":1}}`
  const content = JSON.parse(text)
  await expectPublish(ccn, await sign('AGGREGATE', content), 200)
  assert.equal(({} as { polluted?: unknown }).polluted, undefined)
})

test('delegation: only what the security aggregate of the owner allows passes', async () => {
  await using ccn = await startTestCcn()
  const asOwner = (key: string) =>
    sign('AGGREGATE', { address: owner.address, key, content: { a: 1 } }, { signer: stranger })
  await expectPublish(ccn, await asOwner('allowed'), 422, 2)
  const rule = { address: stranger.address.toLowerCase(), types: ['AGGREGATE'], aggregate_keys: ['allowed'] }
  await expectPublish(ccn, await sign('AGGREGATE', { key: 'security', content: { authorizations: [rule] } }), 200)
  await expectPublish(ccn, await asOwner('allowed'), 200)
  await expectPublish(ccn, await asOwner('security'), 422, 2)
  const post = await sign('POST', { address: owner.address, type: 't', content: 1 }, { signer: stranger })
  await expectPublish(ccn, post, 422, 2)
})

test('STORE: updates move the tag, the newest by signed time wins, forgetting falls back', async () => {
  await using ccn = await startTestCcn()
  const first = await store(ccn, 'v1')
  const third = await store(ccn, 'v3', { ref: first }, 3_000)
  await store(ccn, 'v2', { ref: first }, 2_000)
  const current = async () => (await ccn.get(`/api/v0/storage/by-ref/${first}`)).body.file_hash
  assert.equal(await current(), sha256Hex('v3'))
  await expectPublish(ccn, await sign('FORGET', { hashes: [third] }), 200)
  assert.equal(await current(), sha256Hex('v2'))
  const named = await store(ccn, 'n', { ref: 'name' })
  assert.equal((await ccn.get(`/api/v0/storage/by-ref/${owner.address}/name`)).body.file_hash, sha256Hex('n'))
  assert.equal((await ccn.get(`/api/v0/storage/by-message-hash/${named}`)).body.file_hash, sha256Hex('n'))
  assert.equal((await ccn.get(`/api/v0/storage/count/${sha256Hex('n')}`)).body, 1)
})

test('STORE: absent file and absent ref wait; update of an update, foreign ref and streams are refused', async () => {
  await using ccn = await startTestCcn()
  const content = { item_type: 'storage', item_hash: sha256Hex('later') }
  const early = await sign('STORE', content)
  await expectPublish(ccn, early, 202, 4)
  await ccn.upload('/api/v0/storage/add_file', new Blob(['later']))
  await eventually(
    async () => (await ccn.get(`/api/v0/messages/${early.item_hash}/status`)).body.status === 'processed',
  )
  await expectPublish(ccn, await sign('STORE', { ...content, ref: 'ab'.repeat(32) }), 202, 200)
  const update = await store(ccn, 'u', { ref: early.item_hash })
  await expectPublish(ccn, await sign('STORE', { ...content, ref: update }), 422, 201)
  await expectPublish(ccn, await sign('STORE', { ...content, ref: early.item_hash }, { signer: stranger }), 422, 2)
  await expectPublish(ccn, await sign('STORE', { ...content, payment: { type: 'superfluid' } }), 422, 202)
})

test('PROGRAM: waits for its code; replaces only what allows it; keeps its code from being forgotten', async () => {
  await using ccn = await startTestCcn()
  const codeMessage = await sign('STORE', { item_type: 'storage', item_hash: sha256Hex('code') })
  const program = await sign('PROGRAM', programContent(codeMessage.item_hash))
  await expectPublish(ccn, program, 202, 301)
  const uploaded = await ccn.upload('/api/v0/storage/add_file', new Blob(['code']), codeMessage)
  assert.equal(uploaded.status, 200)
  await eventually(
    async () => (await ccn.get(`/api/v0/messages/${program.item_hash}/status`)).body.status === 'processed',
  )
  await expectPublish(ccn, await sign('FORGET', { hashes: [codeMessage.item_hash] }), 422, 503)
  const next = await sign(
    'PROGRAM',
    programContent(codeMessage.item_hash, { replaces: program.item_hash, allow_amend: false }),
  )
  await expectPublish(ccn, next, 200)
  const replaces = (hash: string) =>
    sign('PROGRAM', programContent(codeMessage.item_hash, { replaces: hash }), { time: 5_000 })
  await expectPublish(ccn, await replaces(next.item_hash), 422, 303)
  await expectPublish(ccn, await replaces('ab'.repeat(32)), 202, 300)
  const fixed = await sign('PROGRAM', programContent(codeMessage.item_hash, { allow_amend: false }))
  await expectPublish(ccn, fixed, 200)
  await expectPublish(ccn, await replaces(fixed.item_hash), 422, 302)
  await expectPublish(ccn, await sign('FORGET', { hashes: [program.item_hash, next.item_hash, fixed.item_hash] }), 200)
  await expectPublish(ccn, await sign('FORGET', { hashes: [codeMessage.item_hash], reason: 'unused now' }), 200)
})

test('INSTANCE: a disk smaller than its parent image is refused with both sizes', async () => {
  await using ccn = await startTestCcn()
  const image = await store(ccn, 'x'.repeat(1_048_577))
  const content = {
    allow_amend: false,
    environment: { hypervisor: 'qemu' },
    rootfs: { parent: { ref: image, use_latest: true }, persistence: 'host', size_mib: 1 },
  }
  const answer = await ccn.publish(await sign('INSTANCE', content))
  assert.deepEqual([answer.status, answer.body.error_code], [422, 304])
  assert.equal(answer.body.details.errors[0].parent_size, 1_048_577)
})

test('FORGET: nothing named, a FORGET, an unknown target and a stranger are each answered by their code', async () => {
  await using ccn = await startTestCcn()
  const post = await sign('POST', { type: 't', content: 1 })
  await expectPublish(ccn, post, 200)
  await expectPublish(ccn, await sign('FORGET', { hashes: [] }), 422, 500)
  await expectPublish(ccn, await sign('FORGET', { hashes: ['ab'.repeat(32)] }), 202, 501)
  await expectPublish(ccn, await sign('FORGET', { hashes: [post.item_hash] }, { signer: stranger }), 422, 2)
  const claimed = await sign('FORGET', { address: owner.address, hashes: [post.item_hash] }, { signer: stranger })
  await expectPublish(ccn, claimed, 422, 2)
  const forget = await sign('FORGET', { hashes: [post.item_hash] })
  await expectPublish(ccn, forget, 200)
  await expectPublish(ccn, await sign('FORGET', { hashes: [forget.item_hash] }), 422, 502)
  await expectPublish(ccn, post, 410, 504)
  const shown = (await ccn.get(`/api/v0/messages/${post.item_hash}`)).body
  assert.deepEqual(
    [shown.status, shown.forgotten_by, shown.message.item_content],
    ['forgotten', [forget.item_hash], undefined],
  )
  const second = await sign('FORGET', { hashes: [post.item_hash], reason: 'again' })
  await expectPublish(ccn, second, 200)
  const { forgotten_by } = (await ccn.get(`/api/v0/messages/${post.item_hash}`)).body
  assert.deepEqual(forgotten_by, [forget.item_hash, second.item_hash])
})

test('a refused message is shown with its reason, and may be sent again once the reason is gone', async () => {
  await using ccn = await startTestCcn()
  const message = await sign('AGGREGATE', { address: owner.address, key: 'k', content: {} }, { signer: stranger })
  await expectPublish(ccn, message, 422, 2)
  const shown = (await ccn.get(`/api/v0/messages/${message.item_hash}`)).body
  assert.deepEqual([shown.status, shown.error_code], ['rejected', 2])
  assert.equal(typeof shown.details.errors[0], 'string')
  const rule = { address: stranger.address }
  await expectPublish(ccn, await sign('AGGREGATE', { key: 'security', content: { authorizations: [rule] } }), 200)
  await expectPublish(ccn, message, 200)
})

test('a forged message leaves no trace: neither a rejection nor a claim on its hash', async () => {
  await using ccn = await startTestCcn()
  const good = await sign('POST', { type: 't', content: 1 })
  const forged = { ...good, signature: (await sign('POST', { type: 't', content: 1 }, { signer: stranger })).signature }
  await expectPublish(ccn, forged, 422, 1)
  assert.equal((await ccn.get(`/api/v0/messages/${good.item_hash}`)).status, 404)
  await expectPublish(ccn, good, 200)
  await expectPublish(ccn, forged, 422, 1)
  assert.equal((await ccn.get(`/api/v0/messages/${good.item_hash}`)).body.message.signature, good.signature)
})

test('content that is wrong in itself is refused with each member named', async () => {
  await using ccn = await startTestCcn()
  const answer = await ccn.publish(await sign('PROGRAM', { ...programContent('ab'.repeat(32)), surprise: 1, code: 5 }))
  assert.deepEqual([answer.status, answer.body.error_code], [422, 0])
  const text = JSON.stringify(answer.body.details.errors)
  assert.match(text, /code/)
  assert.match(text, /surprise/)
  await expectPublish(ccn, await sign('POST', { type: 't', content: '\u0000' }), 422, 0)
})

test('messages whose content is stored or in IPFS are fetched, checked and shown with their content', async () => {
  await using ccn = await startTestCcn()
  const { item_content, ...envelope } = await sign('POST', { type: 't', content: 'far away' })
  const stored = { ...envelope, item_type: 'storage' }
  await expectPublish(ccn, stored, 202, 3)
  const json = await fetch(`${ccn.url}/api/v0/storage/add_json`, { method: 'POST', body: item_content as string })
  assert.equal(((await json.json()) as { hash: string }).hash, envelope.item_hash)
  await eventually(
    async () => (await ccn.get(`/api/v0/messages/${envelope.item_hash}/status`)).body.status === 'processed',
  )
  const { message } = (await ccn.get(`/api/v0/messages/${envelope.item_hash}`)).body
  assert.deepEqual([message.item_content, message.content.content], [null, 'far away'])
})

test('a message that keeps waiting is rejected after the last attempt; pending ones survive a restart', async () => {
  const clock = new FakeClock()
  const kept = createMemoryMessageStore()
  const amend = await sign('POST', { type: 'amend', ref: 'ab'.repeat(32), content: 1 })
  {
    await using ccn = await startTestCcn({ clock, store: kept })
    await expectPublish(ccn, amend, 202, 101)
  }
  await using ccn = await startTestCcn({ clock, store: kept, config: { limits: { attemptsMax: 4 } } })
  await clock.advance(60_000)
  await eventually(async () => (await kept.message(amend.item_hash))?.status === 'rejected')
  const { body } = await ccn.get(`/api/v0/messages/${amend.item_hash}`)
  assert.deepEqual([body.status, body.error_code], ['rejected', 101])
})

test('uploads without a STORE are dropped after their time; pinned ones stay', async () => {
  const clock = new FakeClock()
  await using ccn = await startTestCcn({ clock, config: { limits: { unpinnedKeepMs: 7_200_000 } } })
  await ccn.upload('/api/v0/storage/add_file', new Blob(['loose']))
  await store(ccn, 'pinned')
  await clock.advance(3_600_000)
  assert.equal((await ccn.get(`/api/v0/storage/raw/${sha256Hex('loose')}`)).status, 200)
  await clock.advance(2 * 3_600_000)
  await eventually(async () => (await ccn.get(`/api/v0/storage/raw/${sha256Hex('loose')}`)).status === 404)
  assert.equal((await ccn.get(`/api/v0/storage/raw/${sha256Hex('pinned')}`)).body, 'pinned')
})

test('limits: body, content, pending messages and lists are refused past them with what is allowed', async () => {
  await using ccn = await startTestCcn({
    config: { limits: { bodyBytesMax: 4_096, pendingMax: 1, fileBytesMax: 1_000 } },
  })
  const large = await ccn.publish({ padding: 'x'.repeat(5_000) })
  assert.deepEqual([large.status, large.body.code], [413, 'CCN_TOO_LARGE'])
  const wait = (time: number) => sign('POST', { type: 'amend', ref: 'ab'.repeat(32), content: 1 }, { time })
  await expectPublish(ccn, await wait(1), 202, 101)
  assert.equal((await ccn.publish(await wait(2))).status, 503)
  const file = await ccn.upload('/api/v0/storage/add_file', new Blob(['x'.repeat(1_001)]))
  assert.deepEqual([file.status, file.body.code], [413, 'CCN_TOO_LARGE'])
  assert.equal((await ccn.get('/api/v0/messages.json?pagination=nine')).status, 422)
  assert.equal((await ccn.get('/api/v0/messages.json?cursor=!!')).status, 422)
})

test('pubsub publication takes the message as text or object, on the network’s topic only', async () => {
  await using ccn = await startTestCcn()
  const send = async (network: string, body: unknown): Promise<number> =>
    (await fetch(`${ccn.url}/api/v0/${network}/pubsub/pub`, { method: 'POST', body: JSON.stringify(body) })).status
  const message = await sign('POST', { type: 't', content: 1 })
  assert.equal(await send('p2p', { topic: 'ALEPH-TEST', data: JSON.stringify(message) }), 200)
  assert.equal(await send('ipfs', { topic: 'ALEPH-TEST', data: message }), 200)
  assert.equal(await send('p2p', { topic: 'OTHER', data: message }), 403)
  assert.equal(await send('p2p', { topic: 'ALEPH-TEST', data: '{' }), 422)
})

test('another node’s content is fetched by hash, and a node that lies is passed over', async () => {
  await using honest = await startTestCcn()
  await honest.upload('/api/v0/storage/add_file', new Blob(['shared']))
  const { body } = await honest.upload('/api/v0/ipfs/add_file', new Blob(['x'.repeat(600_000)]))
  const { createServer } = await import('node:http')
  const liar = createServer((_request, response) => response.end('something else'))
  await new Promise<void>((resolve) => liar.listen(0, '127.0.0.1', resolve))
  const { port } = liar.address() as { port: number }
  try {
    await using ccn = await startTestCcn({ config: { peers: [`http://127.0.0.1:${port}`, honest.url] } })
    await expectPublish(ccn, await sign('STORE', { item_type: 'storage', item_hash: sha256Hex('shared') }), 200)
    await expectPublish(ccn, await sign('STORE', { item_type: 'ipfs', item_hash: body.hash }), 200)
    assert.equal((await ccn.get(`/api/v0/storage/raw/${sha256Hex('shared')}`)).body, 'shared')
    assert.equal((await ccn.get(`/api/v0/storage/raw/${body.hash}`)).body.length, 600_000)
  } finally {
    liar.closeAllConnections()
    liar.close()
  }
})

test('requests are answered to any origin, and metrics name routes but no hash or address', async () => {
  await using ccn = await startTestCcn()
  const message = await sign('POST', { type: 't', content: 1 })
  await ccn.publish(message)
  await ccn.get(`/api/v0/messages/${message.item_hash}`)
  const response = await fetch(`${ccn.url}/api/v0/messages.json`, { headers: { origin: 'https://app.example' } })
  assert.equal(response.headers.get('access-control-allow-origin'), '*')
  await response.body?.cancel()
  assert.equal((await fetch(`${ccn.url}/api/v0/messages`, { method: 'OPTIONS' })).status, 204)
  const text = (await ccn.get('/metrics')).body
  assert.match(text, /ccn_messages_total\{type="POST",status="processed"\} 1/)
  assert.match(text, /route="\/api\/v0\/messages\/:hash"/)
  assert.doesNotMatch(text, new RegExp(`${message.item_hash}|${owner.address}|127\\.0\\.0\\.1`))
})

async function eventually(check: () => Promise<boolean>): Promise<void> {
  const startedAt = performance.now()
  while (!(await check())) {
    if (performance.now() - startedAt > 5_000) throw new Error('Nothing happened within 5 s.')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
