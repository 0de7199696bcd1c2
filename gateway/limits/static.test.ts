// What a static site may cost, whatever its owner has put into it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { importer } from 'ipfs-unixfs-importer'
import { fixedSize } from 'ipfs-unixfs-importer/chunker'
import { balanced } from 'ipfs-unixfs-importer/layout'
import { CID } from 'multiformats/cid'
import { identity } from 'multiformats/hashes/identity'
import { ask } from '../testing/client.ts'
import type { FakeBlocks } from '../testing/fakes.ts'
import { startTestGateway, type TestGateway } from '../testing/test-gateway.ts'
import { startTimedGateway } from '../testing/timed-gateway.ts'
import { until } from '../testing/until.ts'

/** Adds files and points `static.test` at their folder. */
async function addSite(
  gateway: TestGateway,
  files: Record<string, Uint8Array>,
  options: object = {},
): Promise<Map<string, string>> {
  const { map } = gateway.blocks
  const store = {
    put: async (cid: CID, bytes: Uint8Array) => {
      map.set(String(cid), bytes)
      return cid
    },
    async *get(cid: CID) {
      yield map.get(String(cid)) as Uint8Array
    },
  }
  const source = Object.entries(files).map(([path, content]) => ({ path, content }))
  const settings = { profile: 'unixfs-v0-2015', wrapWithDirectory: true, ...options }
  const cids = new Map<string, string>()
  for await (const { path, cid } of importer(source, store as never, settings as never))
    cids.set(path ?? '', String(cid))
  gateway.names.set('static.test', { kind: 'static', cid: cids.get('') as string })
  return cids
}

const get = (gateway: TestGateway, path: string) => ask({ port: gateway.httpsPort, host: 'static.test', path })

test('a block of more than blockBytesMax is refused, though its hash is right', async () => {
  await using gateway = await startTestGateway({ static: { blockBytesMax: 4_096 } })
  const chunks = { chunker: fixedSize({ chunkSize: 5_000 }), rawLeaves: true }
  await addSite(gateway, { 'right.bin': Buffer.alloc(4_096), 'long.bin': Buffer.alloc(4_097) }, chunks)
  assert.equal((await get(gateway, '/right.bin')).body.length, 4_096)
  const answer = await get(gateway, '/long.bin')
  assert.deepEqual([answer.status, JSON.parse(answer.body).code], [502, 'GATEWAY_UNSUPPORTED_BLOCK'])
})

test('a file of more than depthMax levels is refused', async () => {
  await using gateway = await startTestGateway({ static: { depthMax: 2 } })
  const chunks = { chunker: fixedSize({ chunkSize: 16 }), layout: balanced({ maxChildrenPerNode: 2 }) }
  // Of leaves of 16 bytes, two to a node: two nodes above the leaf, and three.
  const raw = { ...chunks, rawLeaves: true }
  await addSite(gateway, { 'four.bin': Buffer.alloc(64, 'x'), 'eight.bin': Buffer.alloc(128, 'x') }, raw)
  assert.equal((await get(gateway, '/four.bin')).body.length, 64)
  const answer = await get(gateway, '/eight.bin')
  assert.equal(answer.status, 502)
  assert.match(answer.body, /too many levels/)
})

test('a path of more than pathSegmentsMax segments is refused before anything is fetched', async () => {
  await using gateway = await startTestGateway({ static: { pathSegmentsMax: 3 } })
  await addSite(gateway, { 'a/b/c': Buffer.from('deep') })
  assert.equal((await get(gateway, '/a/b/c')).body, 'deep')
  const { fetched } = gateway.blocks
  assert.equal((await get(gateway, '/a/b/c/d')).status, 400)
  assert.equal(gateway.blocks.fetched, fetched)
})

test('a block that does not come within blockMs ends in 504, also from a store that does not heed the signal', async () => {
  await using gateway = await startTimedGateway()
  await addSite(gateway, { 'a.txt': Buffer.from('a') })
  const { blocks } = gateway as { blocks: FakeBlocks }
  let waiting = 0
  blocks.block = () => {
    waiting++
    return new Promise(() => {})
  }
  const answer = get(gateway, '/a.txt')
  await until(() => waiting === 1)
  let answered = false
  void answer.then(() => {
    answered = true
  })
  await gateway.clock.advance(29_000)
  assert.equal(answered, false)
  await gateway.clock.advance(1_500)
  assert.equal((await answer).status, 504)
})

test('verified blocks are kept up to cacheBytesMax, the least used go first', async () => {
  await using gateway = await startTestGateway({ static: { cacheBytesMax: 6_000 } })
  await addSite(gateway, { 'one.bin': Buffer.alloc(4_000, '1'), 'two.bin': Buffer.alloc(4_000, '2') })
  const fetchesOf = async (path: string): Promise<number> => {
    const before = gateway.blocks.fetched
    assert.equal((await get(gateway, path)).body.length, 4_000)
    return gateway.blocks.fetched - before
  }
  await fetchesOf('/one.bin')
  assert.equal(await fetchesOf('/one.bin'), 0)
  await fetchesOf('/two.bin')
  assert.equal(await fetchesOf('/one.bin'), 1)
})

test('an identifier that holds its data is read up to 128 bytes', async () => {
  await using gateway = await startTestGateway()
  for (const [bytes, status] of [
    [128, 200],
    [129, 502],
  ] as const) {
    const name = `n${bytes}.test`
    gateway.certificates.ready.set(name, gateway.certificates.find('static.test') as never)
    const cid = String(CID.createV1(0x55, identity.digest(Buffer.alloc(bytes, 'x'))))
    gateway.names.set(name, { kind: 'static', cid })
    assert.equal((await ask({ port: gateway.httpsPort, host: name })).status, status)
  }
})
