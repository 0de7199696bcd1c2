import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { systemClock as clock } from '../../core/clock.ts'
import { silentLog as log } from '../../core/log.ts'
import { createMetrics } from '../../core/metrics.ts'
import { systemRandom as random } from '../../core/random.ts'
import { startCcn } from '../../node/ccn/ccn.ts'
import { ccnConfigSchema } from '../../node/ccn/config.ts'
import { createMemoryFileStore } from '../../node/ccn/files/memory-file-store.ts'
import { createMemoryMessageStore } from '../../node/ccn/store/memory-message-store.ts'
import { PublishRefusedError } from '../../node/client/errors.ts'
import { createNetworkClient } from '../../node/client/network-client.ts'
import { ethereumSigner, solanaSigner } from '../../node/protocol/signer.ts'

const { signal } = new AbortController()

async function startBoth() {
  const ports = {
    store: createMemoryMessageStore(),
    files: createMemoryFileStore(),
    clock,
    random,
    log,
    metrics: createMetrics(),
  }
  const ccn = await startCcn(ccnConfigSchema.parse({ port: 0, limits: { syncWaitMs: 50 } }), ports)
  const client = createNetworkClient({ ccnUrls: [ccn.url], clock, random, log })
  return {
    client,
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]()
      await ccn[Symbol.asyncDispose]()
    },
  }
}

for (const signer of [ethereumSigner(Buffer.alloc(32, 0x11)), solanaSigner(Buffer.alloc(32, 0x11))]) {
  test(`${signer.chain}: our client publishes a program to our node, reads it back verified, and updates its code`, async () => {
    await using net = await startBoth()
    const program = { signer, encoding: 'zip', entrypoint: 'main:app', runtime: 'python' } as const
    const first = await net.client.publishProgram({ ...program, code: Buffer.from('one') })
    assert.equal(first.status, 'processed')
    const { content } = await net.client.program(first.itemHash, signal)
    assert.equal((content.code as { ref: string }).ref, first.codeHash)
    const hash = await net.client.fileHash(first.codeHash, signer.address, true, signal)
    const update = await net.client.publishFile({ signer, bytes: Buffer.from('two'), ref: first.codeHash })
    assert.notEqual(update.fileHash, hash)
    assert.equal(await net.client.fileHash(first.codeHash, signer.address, true, signal), update.fileHash)
  })
}

test('a directory published as a site is read back block by block', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'lastmile-site-'))
  await writeFile(join(directory, 'index.html'), '<h1>hello</h1>')
  try {
    await using net = await startBoth()
    const site = await net.client.publishSite({ signer: ethereumSigner(Buffer.alloc(32, 0x11)), directory })
    assert.equal((await net.client.message(site.itemHash, signal))?.cid, site.cid)
    assert.ok((await net.client.block(site.cid, signal)).length > 0)
  } finally {
    await rm(directory, { recursive: true })
  }
})

test('a refusal carries the error code of the network and what to do', async () => {
  await using net = await startBoth()
  const signer = ethereumSigner(Buffer.alloc(32, 0x11))
  const forged = { ...signer, address: ethereumSigner(Buffer.alloc(32, 0x22)).address }
  await assert.rejects(net.client.publishPost({ signer: forged, type: 't', content: 1 }), (error) => {
    assert.ok(error instanceof PublishRefusedError)
    assert.equal((error.details as { error_code: number }).error_code, 1)
    return true
  })
  const pending = await net.client.forget({ signer, hashes: ['ab'.repeat(32)] })
  assert.equal(pending.status, 'pending')
})
