import assert from 'node:assert/strict'
import { createCipheriv, createHash } from 'node:crypto'
import { test } from 'node:test'
import { parseCid } from './cid.ts'
import { HashMismatchError, MalformedBlockError } from './errors.ts'
import { importDirectory, importFile, openUnixfs, walkDag } from './unixfs.ts'

/** The stream that Kubo's tests make from a seed: ChaCha20 under the seed's SHA-256. */
function seeded(seed: string, length: number): Uint8Array {
  const key = createHash('sha256').update(seed).digest()
  return createCipheriv('chacha20', key, Buffer.alloc(16)).update(Buffer.alloc(length))
}

const known: [string, Uint8Array, string][] = [
  ['an empty file', new Uint8Array(), 'QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH'],
  ['a short text', Buffer.from('hello world\n'), 'QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o'],
  ['one full chunk', seeded('chunk-v0-seed', 262_144), 'QmWmRj3dFDZdb6ABvbmKhEL6TmPbAfBZ1t5BxsEyJrcZhE'],
  ['one byte more', seeded('chunk-v0-seed', 262_145), 'QmYyLxtzZyW22zpoVAtKANLRHpDjZtNeDjQdJrcQNWoRkJ'],
]

for (const [what, bytes, cid] of known) {
  test(`${what} gets the CID that the network’s IPFS node gives it, and reads back the same`, async () => {
    const store = new Map<string, Uint8Array>()
    const imported = await importFile(chunks(bytes), async (name, block) => void store.set(name, block))
    assert.deepEqual(imported, { cid, sizeBytes: bytes.length })
    assert.deepEqual(await readAll(cid, store), Buffer.from(bytes))
  })
}

test('a directory lists the CID of each file; every block is visited once', async () => {
  const store = new Map<string, Uint8Array>()
  const files = [
    { path: 'index.html', content: chunks(Buffer.from('hello world\n')) },
    { path: 'a/b.txt', content: chunks(Buffer.from('hello world\n')) },
  ]
  const { cid, fileCids } = await importDirectory(files, async (name, block) => void store.set(name, block))
  assert.equal(fileCids['index.html'], 'QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o')
  assert.equal(fileCids['a/b.txt'], fileCids['index.html'])
  assert.equal((await openUnixfs(cid, async (name) => store.get(name)))?.kind, 'directory')
  assert.deepEqual((await walkDag(cid, async (name) => store.get(name), 10)).blocks, 3)
  store.delete(fileCids['index.html'] as string)
  assert.equal((await walkDag(cid, async (name) => store.get(name), 10)).missing, fileCids['index.html'])
})

test('a block with other bytes is caught before it is used', async () => {
  const store = new Map<string, Uint8Array>()
  const { cid } = await importFile(chunks(seeded('x', 300_000)), async (name, block) => void store.set(name, block))
  const leaf = [...store.keys()].find((name) => name !== cid) as string
  store.set(leaf, Buffer.from(store.get(leaf) as Uint8Array).fill(0, 100, 101))
  await assert.rejects(readAll(cid, store), HashMismatchError)
  store.delete(leaf)
  await assert.rejects(readAll(cid, store), MalformedBlockError)
})

test('a DAG with more blocks than the limit is not walked to its end', async () => {
  const store = new Map<string, Uint8Array>()
  const { cid } = await importFile(chunks(seeded('x', 1_200_000)), async (name, block) => void store.set(name, block))
  await assert.rejects(
    walkDag(cid, async (name) => store.get(name), 3),
    MalformedBlockError,
  )
})

async function* chunks(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes
}

async function readAll(cid: string, store: ReadonlyMap<string, Uint8Array>): Promise<Buffer> {
  const entry = await openUnixfs(cid, async (name) => store.get(parseCid(name).toString()))
  if (entry?.kind !== 'file') throw new Error(`${cid} is no file`)
  const parts: Uint8Array[] = []
  for await (const part of entry.stream()) parts.push(part)
  return Buffer.concat(parts)
}
