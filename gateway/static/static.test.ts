import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import fc from 'fast-check'
import { importer } from 'ipfs-unixfs-importer'
import { fixedSize } from 'ipfs-unixfs-importer/chunker'
import { balanced } from 'ipfs-unixfs-importer/layout'
import { CID } from 'multiformats/cid'
import { identity } from 'multiformats/hashes/identity'
import { ask, connectTls } from '../testing/client.ts'
import type { FakeBlocks } from '../testing/fakes.ts'
import { startTestGateway, type TestGateway } from '../testing/test-gateway.ts'
import { contentType } from './content-type.ts'
import { parseRange } from './range.ts'

/** Adds files to the blocks; returns the CID of their folder, and of each file. */
async function addSite(
  blocks: FakeBlocks,
  files: Record<string, string | Uint8Array>,
  options: object = {},
): Promise<{ root: string; cids: Map<string, string> }> {
  const store = {
    async put(cid: CID, bytes: Uint8Array) {
      blocks.map.set(String(cid), bytes)
      return cid
    },
    async *get(cid: CID) {
      yield blocks.map.get(String(cid)) as Uint8Array
    },
  }
  const source = Object.entries(files).map(([path, content]) => ({
    path,
    content: typeof content === 'string' ? Buffer.from(content) : content,
  }))
  const cids = new Map<string, string>()
  const settings = { profile: 'unixfs-v0-2015', wrapWithDirectory: true, ...options }
  for await (const { path, cid } of importer(source, store as never, settings as never))
    cids.set(path ?? '', String(cid))
  return { root: cids.get('') as string, cids }
}

/** A file of several levels although it is small: 100 leaves of 4 KiB, eight to a node. */
const big = Buffer.alloc(400 * 1024)
for (let i = 0; i < big.length; i += 4_096) big.writeUInt32LE(i, i)
const deep = { chunker: fixedSize({ chunkSize: 4_096 }), layout: balanced({ maxChildrenPerNode: 8 }) }

describe('a static site', () => {
  let gateway: TestGateway
  let cids: Map<string, string>
  const get = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
    ask({ port: gateway.httpsPort, host: 'static.test', path, headers, method })
  before(async () => {
    gateway = await startTestGateway()
    const files = {
      'index.html': '<h1>home</h1>',
      'app.js': 'let x',
      'docs/index.html': 'docs',
      'docs/a b.txt': 'spaced',
      'empty.txt': '',
      '404.html': 'lost',
      'big.bin': big,
    }
    const site = await addSite(gateway.blocks, files, deep)
    cids = site.cids
    gateway.names.set('static.test', { kind: 'static', cid: site.root })
  })
  after(() => gateway[Symbol.asyncDispose]())

  test('shows index.html for its root and for folders, and files by their path', async () => {
    assert.equal((await get('/')).body, '<h1>home</h1>')
    assert.equal((await get('/docs/')).body, 'docs')
    assert.equal((await get('/docs/a%20b.txt')).body, 'spaced')
    const script = await get('/app.js?v=1')
    assert.deepEqual([script.status, script.headers['content-type']], [200, 'text/javascript; charset=utf-8'])
    const empty = await get('/empty.txt')
    assert.deepEqual([empty.status, empty.headers['content-length']], [200, '0'])
  })

  test('redirects a folder without its slash, keeping the query', async () => {
    const answer = await get('/docs?x=1')
    assert.deepEqual([answer.status, answer.headers.location], [301, '/docs/?x=1'])
    assert.equal((await get('//docs')).headers.location, '/docs/')
  })

  test('answers a missing file with its 404.html', async () => {
    const answer = await get('/nothing/here')
    assert.deepEqual([answer.status, answer.body], [404, 'lost'])
  })

  test('is cached by its content: ETag is the CID, and an unchanged file is 304', async () => {
    const etag = `"${cids.get('app.js')}"`
    const first = await get('/app.js')
    assert.equal(first.headers.etag, etag)
    assert.equal(first.headers['cache-control'], 'public, max-age=0, must-revalidate')
    const again = await get('/app.js', { 'If-None-Match': `"x", W/${etag}` })
    assert.deepEqual([again.status, again.body], [304, ''])
  })

  test('answers HEAD without a body', async () => {
    const answer = await get('/big.bin', {}, 'HEAD')
    assert.deepEqual([answer.status, answer.headers['content-length'], answer.body], [200, String(big.length), ''])
  })

  test('answers single ranges of a file of many blocks', async () => {
    for (const [range, from, to] of [
      ['bytes=0-9', 0, 10],
      ['bytes=262140-262150', 262_140, 262_151],
      ['bytes=4090-130000', 4_090, 130_001],
      [`bytes=${big.length - 5}-`, big.length - 5, big.length],
      ['bytes=-4100', big.length - 4_100, big.length],
    ] as const) {
      const parts: Buffer[] = []
      const socket = await connectTls(gateway.httpsPort, 'static.test')
      socket.on('data', (part) => parts.push(part))
      socket.write(`GET /big.bin HTTP/1.1\r\nHost: static.test\r\nConnection: close\r\nRange: ${range}\r\n\r\n`)
      await new Promise((resolve) => socket.once('close', resolve))
      const bytes = Buffer.concat(parts)
      const head = bytes.subarray(0, bytes.indexOf('\r\n\r\n')).toString()
      assert.match(head, /^HTTP\/1.1 206 /)
      assert.match(head, new RegExp(`Content-Range: bytes ${from}-${to - 1}/${big.length}`))
      assert.ok(bytes.subarray(bytes.indexOf('\r\n\r\n') + 4).equals(big.subarray(from, to)))
    }
    assert.equal((await get('/big.bin', { Range: `bytes=${big.length}-` })).status, 416)
    assert.equal((await get('/app.js', { Range: 'bytes=0-1', 'If-Range': '"other"' })).status, 200)
  })

  test('takes no other method, and no path that names no file', async () => {
    assert.equal((await get('/', {}, 'DELETE')).status, 405)
    for (const path of ['/a%2fb', '/%zz', '/a%00b', '/%5c', '/a/%2e%2e/b', `/${'a/'.repeat(70)}`])
      assert.equal((await get(path)).status, 400, path)
  })

  test('keeps verified blocks, so a second request fetches none', async () => {
    await get('/docs/')
    const { fetched } = gateway.blocks
    await get('/docs/')
    assert.equal(gateway.blocks.fetched, fetched)
  })
})

test('a single-page app gets its page for every path', async () => {
  await using gateway = await startTestGateway()
  const { root } = await addSite(gateway.blocks, { 'index.html': 'app' })
  gateway.names.set('static.test', { kind: 'static', cid: root, catchAllPath: '/index.html' })
  const answer = await ask({ port: gateway.httpsPort, host: 'static.test', path: '/any/route' })
  assert.deepEqual(
    [answer.status, answer.body, answer.headers['content-type']],
    [200, 'app', 'text/html; charset=utf-8'],
  )
})

test('files of a folder that is sharded, and raw leaves of CID version 1, are served', async () => {
  await using gateway = await startTestGateway()
  const files = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`file-${i}.txt`, `content ${i}`]))
  const { root } = await addSite(gateway.blocks, files, { profile: 'unixfs-v1-2025', shardSplitThresholdBytes: 1_000 })
  gateway.names.set('static.test', { kind: 'static', cid: root })
  for (const i of [0, 17, 299]) {
    assert.equal(
      (await ask({ port: gateway.httpsPort, host: 'static.test', path: `/file-${i}.txt` })).body,
      `content ${i}`,
    )
  }
  assert.equal((await ask({ port: gateway.httpsPort, host: 'static.test', path: '/file-300.txt' })).status, 404)
})

test('a store that returns another block is caught, and none of its bytes reach the client', async () => {
  await using gateway = await startTestGateway()
  const { root, cids } = await addSite(gateway.blocks, { 'index.html': 'honest' })
  gateway.names.set('static.test', { kind: 'static', cid: root })
  const other = await addSite(gateway.blocks, { 'index.html': 'tampered' })
  gateway.blocks.map.set(
    cids.get('index.html') as string,
    gateway.blocks.map.get(other.cids.get('index.html') as string) as Uint8Array,
  )
  const answer = await ask({ port: gateway.httpsPort, host: 'static.test' })
  assert.deepEqual([answer.status, JSON.parse(answer.body).code], [502, 'GATEWAY_TAMPERED_BLOCK'])
  assert.doesNotMatch(answer.body, /tampered<|honest/)
  gateway.blocks.map.set(root, gateway.blocks.map.get(other.root) as Uint8Array)
})

test('a bad block deep in a large file cuts the connection, and the gateway lives on', async () => {
  await using gateway = await startTestGateway()
  const { root } = await addSite(gateway.blocks, { 'big.bin': big, 'index.html': 'home' }, deep)
  gateway.names.set('static.test', { kind: 'static', cid: root })
  const leaves = [...gateway.blocks.map].filter(([, block]) => block.length >= 4_096)
  const [cid, block] = leaves[60] as [string, Uint8Array]
  const flipped = Uint8Array.from(block)
  flipped[1_000] = (flipped[1_000] as number) ^ 1
  gateway.blocks.map.set(cid, flipped)
  await assert.rejects(
    ask({ port: gateway.httpsPort, host: 'static.test', path: '/big.bin' }),
    /aborted|hang up|ECONNRESET/,
  )
  assert.equal((await ask({ port: gateway.httpsPort, host: 'static.test' })).body, 'home')
})

test('content that cannot be read is refused with its reason', async () => {
  await using gateway = await startTestGateway()
  const inline = CID.createV1(0x55, identity.digest(Buffer.from('hello')))
  const long = CID.createV1(0x55, identity.digest(Buffer.alloc(200)))
  const cases: [string, number, string][] = [
    ['not-a-cid', 502, 'GATEWAY_UNSUPPORTED_BLOCK'],
    [String(long), 502, 'GATEWAY_UNSUPPORTED_BLOCK'],
    [
      'bafyrgqhai26anf3i7pips7q22coa4sz2fr4gk4q4sqdtymvvjyginfzaqewveaeqdh524nsktaq43j65v22xxrybrtertmcfxufdam3da3hbk',
      502,
      'GATEWAY_UNSUPPORTED_BLOCK',
    ],
    ['QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn', 404, 'BLOCK_NOT_FOUND'],
  ]
  for (const [cid, status, code] of cases) {
    gateway.names.set('static.test', { kind: 'static', cid })
    await using fresh = await startTestGateway({}, { names: gateway.names })
    const answer = await ask({ port: fresh.httpsPort, host: 'static.test' })
    assert.deepEqual([answer.status, JSON.parse(answer.body).code], [status, code], cid)
  }
  gateway.names.set('other.test', { kind: 'static', cid: String(inline) })
  assert.equal((await ask({ port: gateway.httpsPort, host: 'other.test' })).body, 'hello')
})

test('a range is read as RFC 9110 says', () => {
  assert.deepEqual(parseRange('bytes=0-0', 10), { start: 0, end: 1 })
  assert.deepEqual(parseRange('bytes=5-', 10), { start: 5, end: 10 })
  assert.deepEqual(parseRange('bytes=-3', 10), { start: 7, end: 10 })
  assert.deepEqual(parseRange('bytes=-30', 10), { start: 0, end: 10 })
  assert.deepEqual(parseRange('bytes=5-99', 10), { start: 5, end: 10 })
  for (const none of [undefined, '', 'bytes=', 'bytes=-', 'bytes=3-2', 'bytes=0-1,3-4', 'lines=0-1', 'bytes=a-b'])
    assert.equal(parseRange(none, 10), undefined, none)
  for (const bad of ['bytes=10-', 'bytes=-0']) assert.equal(parseRange(bad, 10), 'unsatisfiable')
  fc.assert(
    fc.property(fc.string(), fc.nat(1_000), (text, size) => {
      const range = parseRange(`bytes=${text}`, size)
      if (typeof range === 'object') assert.ok(range.start >= 0 && range.start < range.end && range.end <= size)
    }),
  )
})

test('an unknown ending is bytes', () => {
  assert.equal(contentType('a.constructor'), 'application/octet-stream')
  assert.equal(contentType('LOGO.SVG'), 'image/svg+xml')
  assert.equal(contentType('README'), 'application/octet-stream')
})
