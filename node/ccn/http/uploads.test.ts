import assert from 'node:assert/strict'
import { request } from 'node:http'
import { test } from 'node:test'
import fc from 'fast-check'
import { encodeCarBlock, encodeCarHeader } from '../../protocol/car.ts'
import { parseCid } from '../../protocol/cid.ts'
import { sha256Hex } from '../../protocol/item-hash.ts'
import { importDirectory } from '../../protocol/unixfs.ts'
import { sign, startTestCcn, type TestCcn } from '../testing/start-test-ccn.ts'

const addFile = '/api/v0/storage/add_file'

test('a file part without a file name or type is a file, as the network’s SDK sends it', async () => {
  await using ccn = await startTestCcn()
  const message = await sign('STORE', { item_type: 'storage', item_hash: sha256Hex('hello world') })
  const body = form([
    ['name="metadata"', JSON.stringify({ message, sync: true })],
    ['name="file"', 'hello world'],
  ])
  const answer = await post(ccn, addFile, body)
  assert.deepEqual(
    [answer.status, answer.body.hash, answer.body.message_status],
    [200, sha256Hex('hello world'), 'processed'],
  )
})

test('metadata may follow the file', async () => {
  await using ccn = await startTestCcn()
  const message = await sign('STORE', { item_type: 'storage', item_hash: sha256Hex('x') })
  const answer = await post(
    ccn,
    addFile,
    form([
      ['name="file"', 'x'],
      ['name="metadata"', JSON.stringify({ message })],
    ]),
  )
  assert.equal(answer.status, 200)
})

test('a file that is not what its STORE names is refused with advice, and nothing stays of it', async () => {
  await using ccn = await startTestCcn()
  const message = await sign('STORE', { item_type: 'storage', item_hash: sha256Hex('other') })
  const answer = await ccn.upload(addFile, new Blob(['x']), message)
  assert.deepEqual([answer.status, answer.body.error_code], [422, 0])
  assert.match(answer.body.hint, /Blob/)
  assert.equal((await ccn.get(`/api/v0/storage/raw/${sha256Hex('x')}`)).status, 404)
  assert.equal((await ccn.get(`/api/v0/messages/${message.item_hash}`)).status, 404)
})

test('a signed STORE lets a file be larger than without; a wrong signature does not', async () => {
  await using ccn = await startTestCcn({ config: { limits: { fileBytesMax: 100, signedFileBytesMax: 1_000 } } })
  const text = 'x'.repeat(500)
  const message = await sign('STORE', { item_type: 'storage', item_hash: sha256Hex(text) })
  assert.equal((await ccn.upload(addFile, new Blob([text]))).status, 413)
  const forged = await ccn.upload(addFile, new Blob([text]), { ...message, signature: `0x${'11'.repeat(65)}` })
  assert.deepEqual([forged.status, forged.body.error_code], [422, 1])
  assert.equal((await ccn.upload(addFile, new Blob([text]), message)).status, 200)
  const long = await ccn.upload(addFile, new Blob(['x'.repeat(20_000_000)]))
  assert.deepEqual([long.status, long.body.code], [413, 'CCN_TOO_LARGE'], 'also when most of it is still to come')
  const huge = 'x'.repeat(1_001)
  const other = await sign('STORE', { item_type: 'storage', item_hash: sha256Hex(huge) })
  assert.equal((await ccn.upload(addFile, new Blob([huge]), other)).status, 413)
})

test('a form without a file, with broken framing, or that ends early is refused, and nothing stays', async () => {
  await using ccn = await startTestCcn()
  assert.equal((await post(ccn, addFile, form([['name="other"', 'x']]))).status, 422)
  assert.equal((await post(ccn, addFile, Buffer.from('--b\r\nno header'))).status, 422)
  assert.equal((await post(ccn, addFile, form([['name="file"', 'cut off']]).subarray(0, -8))).status, 422)
  const noBoundary = await fetch(ccn.url + addFile, {
    method: 'POST',
    body: 'x',
    headers: { 'content-type': 'multipart/form-data' },
  })
  assert.equal(noBoundary.status, 422)
  assert.equal((await ccn.get(`/api/v0/storage/raw/${sha256Hex('cut off')}`)).status, 404)
})

test('an upload whose connection breaks leaves nothing, and the node goes on', async () => {
  await using ccn = await startTestCcn()
  const body = form([['name="file"', 'y'.repeat(100_000)]])
  await new Promise<void>((resolve) => {
    const sent = request(ccn.url + addFile, {
      method: 'POST',
      headers: { 'content-type': 'multipart/form-data; boundary=b', 'content-length': body.length },
    })
    sent.on('error', () => resolve())
    sent.write(body.subarray(0, 50_000), () => setTimeout(() => sent.destroy(), 20))
    sent.on('close', () => resolve())
  })
  assert.equal((await ccn.upload(addFile, new Blob(['after']))).status, 200)
})

test('a raw body is a file too', async () => {
  await using ccn = await startTestCcn()
  const response = await fetch(ccn.url + addFile, {
    method: 'POST',
    body: 'raw',
    headers: { 'content-type': 'application/octet-stream' },
  })
  assert.equal(((await response.json()) as { hash: string }).hash, sha256Hex('raw'))
})

test('a site uploaded as a CAR is pinned by its STORE and given out block by block', async () => {
  await using ccn = await startTestCcn()
  const { cid, car, blocks } = await makeSite()
  const message = await sign('STORE', { item_type: 'ipfs', item_hash: cid })
  const answer = await ccn.upload('/api/v0/ipfs/add_car', new Blob([car as Uint8Array<ArrayBuffer>]), message)
  assert.deepEqual([answer.status, answer.body.hash, answer.body.message_status], [200, cid, 'processed'])
  for (const [name, bytes] of blocks) {
    const response = await fetch(`${ccn.url}/ipfs/${name}`, { headers: { accept: 'application/vnd.ipld.raw' } })
    assert.equal(response.headers.get('content-type'), 'application/vnd.ipld.raw')
    assert.deepEqual(Buffer.from(await response.arrayBuffer()), Buffer.from(bytes))
  }
})

test('a CAR with an altered block, a block missing, or two roots is refused, and nothing stays', async () => {
  await using ccn = await startTestCcn()
  const { cid, blocks } = await makeSite()
  const [first, ...rest] = [...blocks]
  const section = ([name, bytes]: [string, Uint8Array]) => encodeCarBlock(parseCid(name), bytes)
  const header = encodeCarHeader(parseCid(cid))
  assert.ok(first)
  const altered = Buffer.from(first[1])
  altered[0] = (altered[0] ?? 0) ^ 1
  const cars = [
    Buffer.concat([header, ...rest.map(section), encodeCarBlock(parseCid(first[0]), altered)]),
    Buffer.concat([header, ...rest.map(section)]),
    Buffer.concat([header, ...[...blocks].map(section)]).subarray(0, -3),
    Buffer.from('not a car'),
  ]
  for (const car of cars) {
    const answer = await ccn.upload('/api/v0/ipfs/add_car', new Blob([car as Uint8Array<ArrayBuffer>]))
    assert.equal(answer.status, 422)
  }
  for (const name of blocks.keys()) assert.equal((await ccn.get(`/ipfs/${name}?format=raw`)).status, 404)
})

test('whatever a form holds, the node answers with a client error or the hash of the file', async () => {
  await using ccn = await startTestCcn()
  const fragment = fc.constantFrom(
    '--b',
    '--b--',
    '\r\n',
    '\n',
    'Content-Disposition: form-data; ',
    'name="file"',
    'name="metadata"',
    ': ',
    '{}',
    '"',
  )
  const bodies = fc
    .array(fc.oneof(fragment, fc.string({ maxLength: 10 })), { maxLength: 20 })
    .map((parts) => Buffer.from(parts.join('')))
  await fc.assert(
    fc.asyncProperty(bodies, async (body) => {
      const { status } = await post(ccn, addFile, body)
      assert.ok(status === 200 || (status >= 400 && status < 500), `${status}`)
    }),
    { numRuns: 60 },
  )
})

function form(parts: readonly (readonly [string, string])[]): Buffer {
  const text = parts.map(
    ([disposition, value]) => `--b\r\nContent-Disposition: form-data; ${disposition}\r\n\r\n${value}\r\n`,
  )
  return Buffer.from(`${text.join('')}--b--\r\n`)
}

async function post(ccn: TestCcn, path: string, body: Buffer) {
  const headers = { 'content-type': 'multipart/form-data; boundary=b' }
  const response = await fetch(ccn.url + path, {
    method: 'POST',
    body: new Uint8Array(body),
    headers,
    signal: AbortSignal.timeout(5_000),
  })
  return { status: response.status, body: JSON.parse(await response.text()) }
}

async function makeSite(): Promise<{ cid: string; car: Uint8Array; blocks: Map<string, Uint8Array> }> {
  const blocks = new Map<string, Uint8Array>()
  const content = async function* (text: string) {
    yield Buffer.from(text)
  }
  const files = [
    { path: 'index.html', content: content('<h1>site</h1>') },
    { path: 'assets/app.js', content: content('x'.repeat(300_000)) },
  ]
  const { cid } = await importDirectory(files, async (name, bytes) => void blocks.set(name, bytes))
  const sections = [...blocks].map(([name, bytes]) => encodeCarBlock(parseCid(name), bytes))
  return { cid, car: Buffer.concat([encodeCarHeader(parseCid(cid)), ...sections]), blocks }
}
