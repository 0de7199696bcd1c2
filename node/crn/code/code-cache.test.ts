import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { PlannedVolume } from '../plan-vm.ts'
import { createTableNetwork, packZip } from '../table-network.ts'
import { CodeCache } from './code-cache.ts'

const root = mkdtempSync(join(tmpdir(), 'lastmile-cache-'))
after(() => rmSync(root, { recursive: true, force: true }))
const signal = new AbortController().signal
const volume = (encoding: PlannedVolume['encoding'], fileName = ''): PlannedVolume => ({
  slot: 'b',
  mount: '/m',
  ref: 'r',
  useLatest: false,
  encoding,
  fileName,
})

async function openCache(more: Partial<ConstructorParameters<typeof CodeCache>[0]> = {}) {
  const network = createTableNetwork()
  const dir = mkdtempSync(join(root, 'code-'))
  const cache = new CodeCache({
    dir,
    network,
    codeBytesMax: 100_000,
    unpackedBytesMax: 1_000_000,
    unpackedFilesMax: 100,
    cacheBytesMax: 10_000_000,
    ...more,
  })
  await cache.open()
  return { cache, network, dir }
}

function unpack(image: string): string {
  const folder = mkdtempSync(join(root, 'unpacked-'))
  execFileSync('unsquashfs', ['-quiet', '-no-progress', '-force', '-dest', folder, image], { stdio: 'ignore' })
  return folder
}

test('an archive becomes an image with its files, once for all who ask at one time', async () => {
  const { cache, network } = await openCache()
  const hash = network.addFile(packZip({ 'a.py': 'one', 'b/c.txt': 'two' }))
  const paths = await Promise.all([1, 2, 3].map(() => cache.get(hash, volume('zip'), signal)))
  assert.equal(new Set(paths).size, 1)
  const folder = unpack(paths[0] as string)
  assert.equal(readFileSync(join(folder, 'a.py'), 'utf8'), 'one')
  assert.equal(readFileSync(join(folder, 'b/c.txt'), 'utf8'), 'two')
  assert.equal(await cache.get(hash, volume('zip'), signal), paths[0])
  assert.equal(network.downloads.get(hash), 1)
})

test('a plain file becomes an executable of the given name', async () => {
  const { cache, network } = await openCache()
  const hash = network.addFile(Buffer.from('#!/bin/sh\n'))
  const folder = unpack(await cache.get(hash, volume('plain', 'run.sh'), signal))
  assert.deepEqual(readdirSync(folder), ['run.sh'])
})

test('a squashfs image is taken as it is', async () => {
  const { cache, network } = await openCache()
  const source = await cache.get(network.addFile(packZip({ x: 'y' })), volume('zip'), signal)
  const bytes = readFileSync(source)
  const image = await cache.get(network.addFile(bytes), volume('squashfs'), signal)
  assert.deepEqual(readFileSync(image), bytes)
})

const faults: [
  string,
  string,
  (network: ReturnType<typeof createTableNetwork>) => string,
  PlannedVolume['encoding'],
][] = [
  [
    'other content than the hash promises',
    'CRN_FILE_HASH',
    (network) => {
      const hash = network.addFile(packZip({ a: 'b' }))
      network.corrupt(hash)
      return hash
    },
    'zip',
  ],
  ['a file that is too large', 'CRN_FILE_TOO_LARGE', (network) => network.addFile(Buffer.alloc(200_000)), 'zip'],
  ['no archive', 'CRN_BAD_ARCHIVE', (network) => network.addFile(Buffer.from('not a zip')), 'zip'],
  ['no squashfs image', 'CRN_BAD_ARCHIVE', (network) => network.addFile(Buffer.from('not an image')), 'squashfs'],
  ['an unknown file', 'CRN_NOT_FOUND', () => 'f'.repeat(64), 'zip'],
]
for (const [what, code, prepare, encoding] of faults) {
  test(`${what} is a clear error, and nothing of it is kept`, async () => {
    const { cache, network, dir } = await openCache()
    await assert.rejects(cache.get(prepare(network), volume(encoding), signal), { code })
    assert.deepEqual(readdirSync(dir), [])
  })
}

test('the least recently used image makes room', async () => {
  const { cache, network } = await openCache({ cacheBytesMax: 100_000 })
  const hashes = [1, 2, 3].map((number) => network.addFile(packZip({ a: Buffer.alloc(40_000, number) })))
  const get = (index: number): Promise<string> => cache.get(hashes[index] as string, volume('zip'), signal)
  await get(0)
  await get(1)
  await new Promise((resolve) => setTimeout(resolve, 20))
  await get(0)
  await get(2)
  assert.ok(await cache.find(hashes[0] as string, volume('zip')), 'used last')
  assert.equal(await cache.find(hashes[1] as string, volume('zip')), undefined)
})

test('what an interrupted download left is removed at the start', async () => {
  const { cache, dir } = await openCache()
  mkdirSync(join(dir, 'work-abc'))
  await cache.open()
  assert.deepEqual(readdirSync(dir), [])
})
