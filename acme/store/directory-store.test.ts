import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { chmod, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { Lock } from '../ports.ts'
import { testCertificateStore } from './conformance.ts'
import { openDirectoryStore } from './directory-store.ts'

let root: string
let count = 0
const newFolder = (): string => join(root, `store-${count++}`)

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'lastmile-store-'))
})
after(() => rm(root, { recursive: true, force: true }))

testCertificateStore('directory store', (clock) => openDirectoryStore(newFolder(), { clock }))

for (const [step, expected] of [
  ['written', 'old'],
  ['renamed', 'new'],
] as const) {
  test(`a process killed after a write was ${step} leaves the ${expected} value whole, and locks nobody out`, async () => {
    const folder = newFolder()
    const expectedRevision = expected === 'old' ? 1 : 2
    {
      await using store = await openDirectoryStore(folder)
      const lock = (await store.lock('writer', 60_000)) as Lock
      await store.write('a/b', Buffer.from('old'), lock)
      await store.unlock(lock)
    }
    assert.equal(await signalOf(folder, step), 'SIGKILL')
    await using store = await openDirectoryStore(folder)
    const found = await store.read('a/b')
    assert.deepEqual([Buffer.from(found!.value).toString(), found!.revision], [expected, expectedRevision])
    assert.deepEqual(await readdir(join(folder, 'tmp')), [], 'the draft is cleared away')
    assert.equal(await store.lock('writer', 1_000), undefined, 'the killed holder keeps its lock until it expires')
    assert.ok(await store.lock('other', 1_000))
  })
}

function signalOf(folder: string, step: string): Promise<NodeJS.Signals | null> {
  const program = join(import.meta.dirname, '../testing/crash-writer.ts')
  const child = spawn(process.execPath, [program, folder, step], { stdio: ['ignore', 'inherit', 'inherit'] })
  return new Promise((resolve) => child.once('exit', (_code, signal) => resolve(signal)))
}

test('two processes on one folder share records and locks', async () => {
  const folder = newFolder()
  await using first = await openDirectoryStore(folder)
  await using second = await openDirectoryStore(folder)
  const grants = await Promise.all(
    Array.from({ length: 8 }, (_, index) => (index % 2 ? first : second).lock('l', 60_000)),
  )
  const [lock, ...others] = grants.filter((grant) => grant !== undefined)
  assert.equal(others.length, 0)
  await first.write('a', Buffer.from('seen'), lock as Lock)
  assert.equal(Buffer.from((await second.read('a'))!.value).toString(), 'seen')
})

test('private keys are readable by the owner only', async () => {
  const folder = newFolder()
  await using store = await openDirectoryStore(folder)
  await store.write('a/b', Buffer.from('key'), (await store.lock('l', 1_000)) as Lock)
  assert.equal((await stat(folder)).mode & 0o077, 0)
  assert.equal((await stat(join(folder, 'records/a/b@'))).mode & 0o077, 0)
})

test('a folder that cannot be used is reported as a store that is down', async () => {
  const file = join(root, 'a-file')
  await writeFile(file, '')
  await assert.rejects(openDirectoryStore(join(file, 'below')), { code: 'ACME_STORE_DOWN', fault: 'ours' })
})

test('a record damaged from outside is reported, not taken for absent', async () => {
  const folder = newFolder()
  await using store = await openDirectoryStore(folder)
  await writeFile(join(folder, 'records', 'a@'), 'no revision here')
  await chmod(join(folder, 'records', 'a@'), 0o600)
  await assert.rejects(store.read('a'), { code: 'ACME_STORE_DOWN' })
})
