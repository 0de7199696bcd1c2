import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { CID, rawCid } from '../../protocol/cid.ts'
import { HashMismatchError } from '../../protocol/errors.ts'
import { sha256Hex } from '../../protocol/item-hash.ts'
import { TooLargeError } from '../errors.ts'
import type { FileStore } from '../ports.ts'
import { openDirectoryFileStore } from './directory-file-store.ts'
import { createMemoryFileStore } from './memory-file-store.ts'

const folders: string[] = []
after(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true }))))

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'lastmile-files-'))
  folders.push(folder)
  return folder
}

/** What every file store must do; run against each adapter. */
const adapters: Record<string, () => Promise<FileStore>> = {
  memory: async () => createMemoryFileStore(),
  directory: async () => openDirectoryFileStore(await newFolder()),
}

for (const [name, make] of Object.entries(adapters)) {
  test(`${name}: a file is visible once committed, under the SHA-256 of its bytes`, async () => {
    const store = await make()
    await using staged = await store.stage(chunks('hello ', 'world'), 11)
    assert.deepEqual([staged.hash, staged.sizeBytes], [sha256Hex('hello world'), 11])
    assert.equal(await store.open(staged.hash), undefined)
    await staged.commit()
    assert.equal(await readAll(store, staged.hash), 'hello world')
    assert.equal(await readAll(store, staged.hash), 'hello world', 'a file can be read more than once')
  })

  test(`${name}: nothing stays of a file that is dropped, too large, or breaks off`, async () => {
    const store = await make()
    {
      await using _staged = await store.stage(chunks('dropped'), 100)
    }
    assert.equal(await store.open(sha256Hex('dropped')), undefined)
    await assert.rejects(store.stage(chunks('12345', '6'), 5), TooLargeError)
    await assert.rejects(store.stage(breaking(), 100), /broke off/)
  })

  test(`${name}: the same bytes staged twice are kept once, and dropping one leaves the other`, async () => {
    const store = await make()
    await using second = await store.stage(chunks('twice'), 100)
    {
      await using first = await store.stage(chunks('twice'), 100)
      await first.commit()
    }
    await second[Symbol.asyncDispose]()
    assert.equal(await readAll(store, sha256Hex('twice')), 'twice')
    await store.remove(sha256Hex('twice'))
    await store.remove(sha256Hex('twice'))
    assert.equal(await store.open(sha256Hex('twice')), undefined)
  })

  test(`${name}: blocks are checked, visible together, and found by either version of their CID`, async () => {
    const store = await make()
    const [a, b] = [Buffer.from('block a'), Buffer.from('block b')]
    await using staged = await store.stageBlocks()
    await staged.put(rawCid(a).toString(), a)
    await staged.put(rawCid(a).toString(), a)
    await staged.put(rawCid(b).toString(), b)
    await assert.rejects(staged.put(rawCid(a).toString(), b), HashMismatchError)
    assert.deepEqual(Buffer.from((await staged.block(rawCid(a).toString())) ?? []), a)
    assert.equal(await store.block(rawCid(a).toString()), undefined)
    await staged.commit()
    await using later = await store.stageBlocks()
    assert.deepEqual(Buffer.from((await later.block(rawCid(b).toString())) ?? []), b, 'staging sees what is stored')
    const v0 = CID.createV0(rawCid(a).multihash as Parameters<typeof CID.createV0>[0]).toString()
    assert.deepEqual(Buffer.from((await store.block(v0)) ?? []), a)
  })

  test(`${name}: blocks that are not committed are gone`, async () => {
    const store = await make()
    const bytes = Buffer.from('dropped block')
    {
      await using staged = await store.stageBlocks()
      await staged.put(rawCid(bytes).toString(), bytes)
    }
    assert.equal(await store.block(rawCid(bytes).toString()), undefined)
  })

  test(`${name}: an empty file is a file`, async () => {
    const store = await make()
    await using staged = await store.stage(chunks(), 10)
    await staged.commit()
    assert.equal(await readAll(store, sha256Hex('')), '')
  })
}

test('directory: what a crash left half-written is cleared at the next start, what was committed stays', async () => {
  const folder = await newFolder()
  const store = await openDirectoryFileStore(folder)
  await using staged = await store.stage(chunks('kept'), 10)
  await staged.commit()
  await mkdir(join(folder, 'incoming', 'folder'))
  await writeFile(join(folder, 'incoming', 'half'), 'half')
  const again = await openDirectoryFileStore(folder)
  assert.deepEqual(await readdir(join(folder, 'incoming')), [])
  assert.equal(await readAll(again, sha256Hex('kept')), 'kept')
})

async function* chunks(...texts: string[]): AsyncIterable<Uint8Array> {
  for (const text of texts) yield Buffer.from(text)
}

async function* breaking(): AsyncIterable<Uint8Array> {
  yield Buffer.from('x')
  throw new Error('broke off')
}

async function readAll(store: FileStore, hash: string): Promise<string> {
  const file = await store.open(hash)
  assert.ok(file, `${hash} is not here`)
  const parts: Uint8Array[] = []
  for await (const part of file.stream()) parts.push(part)
  assert.equal(Buffer.concat(parts).length, file.sizeBytes)
  return Buffer.concat(parts).toString()
}
