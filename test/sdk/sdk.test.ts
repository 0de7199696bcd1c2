import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { systemClock as clock } from '../../core/clock.ts'
import { silentLog as log } from '../../core/log.ts'
import { createMetrics } from '../../core/metrics.ts'
import { systemRandom as random } from '../../core/random.ts'
import { openCcnStores, startCcn } from '../../node/ccn/ccn.ts'
import { ccnConfigSchema } from '../../node/ccn/config.ts'
import { createSdkClient, type PublishedBySdk, type SdkClient } from './sdk-client.ts'

const privateKey = '11'.repeat(32)
const binary = Uint8Array.from({ length: 70_000 }, (_, index) => (index * 7) % 256)
const stack = new AsyncDisposableStack()
let url = ''
const said = console.log

before(async () => {
  const stateDir = await mkdtemp(join(tmpdir(), 'lastmile-sdk-'))
  stack.defer(() => rm(stateDir, { recursive: true }))
  const stores = stack.use(await openCcnStores(stateDir))
  const config = ccnConfigSchema.parse({ port: 0, stateDir })
  url = stack.use(await startCcn(config, { ...stores, clock, random, log, metrics: createMetrics() })).url
  // The SDK's socket reports to the console.
  console.log = () => {}
})
after(async () => {
  console.log = said
  await stack.disposeAsync()
})

for (const chain of ['ETH', 'SOL'] as const) {
  const client = (): SdkClient => createSdkClient({ url, chain, privateKey })

  test(`${chain}: a post published through the SDK is read back the same, and amended`, async () => {
    const sdk = client()
    const sent = await sdk.post({ hello: 'ü', tags: ['a'] })
    await readBack(sdk, sent)
    await sdk.client.createPost({
      postType: 'amend',
      ref: sent.item_hash,
      content: { hello: 2 },
      channel: 'T',
      sync: true,
    })
    const post = await sdk.client.getPost({ types: 'lastmile-check', hashes: [sent.item_hash] })
    assert.deepEqual(post.content, { hello: 2 })
    assert.equal(post.hash, sent.item_hash)
  })

  test(`${chain}: aggregates merge, and read back by key`, async () => {
    const sdk = client()
    await readBack(sdk, await sdk.aggregate('profile', { name: 'n', keep: 1 }))
    await sdk.aggregate('profile', { name: 'm' })
    assert.deepEqual(await sdk.client.fetchAggregate(sdk.address, 'profile'), { name: 'm', keep: 1 })
    assert.deepEqual(await sdk.client.fetchAggregates(sdk.address, ['profile']), { profile: { name: 'm', keep: 1 } })
    await assert.rejects(sdk.client.fetchAggregate(sdk.address, 'absent'), /no aggregate found/)
  })

  test(`${chain}: a binary file is stored and downloaded unaltered`, async () => {
    const sdk = client()
    const sent = await sdk.store(binary)
    await readBack(sdk, sent)
    const fileHash = createHash('sha256').update(binary).digest('hex')
    assert.deepEqual(Buffer.from(await sdk.client.downloadFile(fileHash)), Buffer.from(binary))
  })

  test(`${chain}: a program and a new version of its code are accepted`, async () => {
    const sdk = client()
    const program = await readBack(sdk, await sdk.program({ code: binary, entrypoint: 'main:app' }))
    const { ref } = (program as unknown as { content: { code: { ref: string } } }).content.code
    const next = Buffer.from(`${chain} next version`)
    const fileHash = createHash('sha256').update(next).digest('hex')
    await sdk.storeVersion(ref, next, fileHash)
    const latest = (await (await fetch(`${url}/api/v0/storage/by-ref/${ref}`)).json()) as { file_hash: string }
    assert.equal(latest.file_hash, fileHash)
  })

  test(`${chain}: an instance is accepted`, async () => {
    const sdk = client()
    await readBack(sdk, await sdk.instance())
  })

  test(`${chain}: a forgotten message is gone, and its file may be asked for no more by that message`, async () => {
    const sdk = client()
    const sent = await sdk.post({ secret: 1 })
    await readBack(sdk, await sdk.forget(sent.item_hash))
    await assert.rejects(sdk.client.getMessage(sent.item_hash), /has been forgotten/)
  })

  test(`${chain}: content above 50 kB goes to storage and back`, async () => {
    const sdk = client()
    const warn = console.warn
    console.warn = () => {}
    const sent = await sdk.post({ text: 'x'.repeat(60_000) })
    console.warn = warn
    assert.equal(sent.item_type, 'storage')
    const shown = (await sdk.client.getMessage(sent.item_hash)) as unknown as { content: { content: { text: string } } }
    assert.equal(shown.content.content.text.length, 60_000)
  })

  test(`${chain}: a subscriber sees a new message in less than a second`, async () => {
    const sdk = client()
    const socket = sdk.subscribe()
    try {
      await until(() => socket.getIsOpen())
      const startedAt = performance.now()
      const sent = await sdk.post({ live: true })
      await until(() => hashesOf(socket.getData()).includes(sent.item_hash))
      assert.ok(performance.now() - startedAt < 1_000)
    } finally {
      socket.closeSocket()
    }
  })

  test(`${chain}: an altered message is refused with the documented error code`, async () => {
    const sent = await client().post({ altered: chain })
    const envelope = { ...sent, item_content: sent.item_content ?? '' }
    const other =
      chain === 'ETH' ? '0x0000000000000000000000000000000000000001' : 'So11111111111111111111111111111111111111112'
    const text = envelope.item_content
    const cases: [string, Record<string, unknown>, number][] = [
      ['signature', { signature: altered(envelope.signature) }, 1],
      ['item_hash', { item_hash: 'ab'.repeat(32) }, 0],
      ['content', { item_content: text.replace('altered', 'changed') }, 0],
      ['chain', { chain: 'BNB' }, 0],
      ['sender', { sender: other }, 1],
      ['type', { type: 'V-PROGRAM' }, 0],
      ['size', { item_content: `${text}${' '.repeat(200_001)}` }, 0],
    ]
    for (const [what, change, code] of cases) {
      const answer = await publish({ ...envelope, ...change })
      assert.deepEqual([answer.status, answer.body.error_code], [422, code], what)
      assert.equal(typeof answer.body.code, 'string', what)
    }
    const { body } = await publish(envelope)
    assert.equal(body.message_status, 'processed', 'the unaltered message still stands')
  })
}

test('prices and balances are zero, in the form that the SDK reads', async () => {
  const sdk = createSdkClient({ url, chain: 'ETH', privateKey })
  const sent = await sdk.store(Buffer.from('price'))
  const { storeClient } = sdk.client
  const cost = (await storeClient.getCost(sent.item_hash)) as unknown as { required_tokens: number }
  assert.equal(cost.required_tokens, 0)
})

/** What the node shows is what was signed. */
async function readBack(sdk: SdkClient, sent: PublishedBySdk): Promise<PublishedBySdk> {
  const shown = (await sdk.client.getMessage(sent.item_hash)) as unknown as PublishedBySdk
  for (const key of ['chain', 'sender', 'type', 'item_hash', 'item_content', 'signature', 'channel'] as const) {
    assert.equal(shown[key], sent[key], key)
  }
  const listed = await sdk.client.getMessages({ hashes: [sent.item_hash] })
  assert.equal(listed.messages.length, 1)
  return shown
}

async function publish(message: unknown): Promise<{ status: number; body: Record<string, unknown> }> {
  const body = JSON.stringify({ sync: true, message })
  const response = await fetch(`${url}/api/v0/messages`, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json' },
  })
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}

function altered(signature: string): string {
  const at = signature.startsWith('{') ? 20 : 10
  return signature.slice(0, at) + (signature[at] === '2' ? '3' : '2') + signature.slice(at + 1)
}

function hashesOf(data: unknown[]): unknown[] {
  return data.map((item) => (item as { item_hash?: unknown }).item_hash)
}

async function until(ready: () => boolean): Promise<void> {
  const startedAt = performance.now()
  while (!ready()) {
    if (performance.now() - startedAt > 5_000) throw new Error('Nothing happened within 5 s.')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
