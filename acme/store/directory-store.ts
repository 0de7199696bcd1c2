import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type Clock, systemClock } from '../../core/clock.ts'
import { AppError } from '../../core/errors.ts'
import { StoreDownError } from '../errors.ts'
import type { CertificateStore, Lock, StoredRecord } from '../ports.ts'
import { openFileMutex } from './file-mutex.ts'
import { isLatest, type LockState, planGrant, verifyKey, verifyLatest } from './keys.ts'

// Not in the alphabet of keys, so that the file of key `a` never meets the folder of key `a/b`.
const fileMark = '@'

/** Called between the steps of a write, so that a test can end the process there. */
export type WriteStep = (step: 'written' | 'renamed') => void

export interface DirectoryStoreOptions {
  clock?: Clock
  onStep?: WriteStep
}

/**
 * A certificate store in a folder of one machine (a local file system: the locks are the kernel's). Several processes may share it.
 *
 * Records are files below `records/`: a line with the revision, then the value. A write goes to `tmp/`, is synced, renamed, and
 * the folder synced. `locks/` keeps `{ token, expiresAtMs }` for every lock ever granted, so that tokens keep growing. The
 * check of a token and the rename happen inside one mutex: no holder can overtake in between.
 *
 * The folder is made with mode 0700, since it holds private keys.
 * @throws StoreDownError when the folder cannot be used
 */
export async function openDirectoryStore(
  path: string,
  options: DirectoryStoreOptions = {},
): Promise<CertificateStore & AsyncDisposable> {
  const folders = { records: join(path, 'records'), locks: join(path, 'locks'), tmp: join(path, 'tmp') }
  const mutex = await guard(`open ${path}`, async () => {
    for (const folder of [path, ...Object.values(folders)]) await mkdir(folder, { recursive: true, mode: 0o700 })
    return openFileMutex(join(path, 'mutex'))
  })
  const disk = createDisk(folders.tmp, options.onStep)
  const clock = options.clock ?? systemClock
  const fileOf = (folder: string, key: string): string => {
    verifyKey(key)
    return join(folder, key) + fileMark
  }
  const lockState = async (key: string): Promise<LockState | undefined> => {
    const bytes = await disk.read(fileOf(folders.locks, key))
    return bytes && (JSON.parse(bytes.toString()) as LockState)
  }
  const saveLock = async (key: string, state: LockState): Promise<Lock> => {
    await disk.write(fileOf(folders.locks, key), JSON.stringify(state))
    return { key, ...state }
  }
  const alone = <T>(what: string, work: () => Promise<T>): Promise<T> => guard(what, () => mutex.run(work))
  await alone('clear its temporary files', () => disk.clear())

  return {
    async read(key) {
      const file = fileOf(folders.records, key)
      return guard(`read ${key}`, async () => decodeRecord(await disk.read(file)))
    },
    async write(key, value, lock) {
      const file = fileOf(folders.records, key)
      await alone(`write ${key}`, async () => {
        verifyLatest(await lockState(lock.key), lock)
        const revision = (decodeRecord(await disk.read(file))?.revision ?? 0) + 1
        await disk.write(file, Buffer.concat([Buffer.from(`${revision}\n`), value]))
      })
    },
    async remove(key, lock) {
      const file = fileOf(folders.records, key)
      await alone(`remove ${key}`, async () => {
        verifyLatest(await lockState(lock.key), lock)
        await disk.remove(file)
      })
    },
    list: (prefix) =>
      guard(`list ${prefix}`, async () =>
        (await keysBelow(folders.records)).filter((key) => key.startsWith(prefix)).sort(),
      ),
    lock: (key, holdMs) =>
      alone(`lock ${key}`, async () => {
        const granted = planGrant(await lockState(key), clock.nowMs(), holdMs)
        return granted && saveLock(key, granted)
      }),
    extend: (lock, holdMs) =>
      alone(`extend ${lock.key}`, async () => {
        if (!isLatest(await lockState(lock.key), lock)) return undefined
        return saveLock(lock.key, { token: lock.token, expiresAtMs: clock.nowMs() + holdMs })
      }),
    unlock: (lock) =>
      alone(`unlock ${lock.key}`, async () => {
        if (isLatest(await lockState(lock.key), lock)) await saveLock(lock.key, { token: lock.token, expiresAtMs: 0 })
      }),
    async [Symbol.asyncDispose]() {
      await mutex.run(async () => {}).catch(() => {})
      mutex[Symbol.dispose]()
    },
  }
}

interface Disk {
  read(file: string): Promise<Buffer | undefined>
  write(file: string, bytes: string | Uint8Array): Promise<void>
  remove(file: string): Promise<void>
  /** Removes what a killed process left half-written. Only inside the mutex. */
  clear(): Promise<void>
}

function createDisk(tmp: string, onStep: WriteStep = () => {}): Disk {
  // One name is enough: writes happen inside the mutex.
  const draft = join(tmp, 'draft')
  return {
    async read(file) {
      return readFile(file).catch(ifMissing)
    },
    async write(file, bytes) {
      const isNew = await mkdir(dirname(file), { recursive: true, mode: 0o700 })
      await writeSynced(draft, bytes)
      onStep('written')
      await rename(draft, file)
      onStep('renamed')
      await syncFolder(dirname(file))
      if (isNew !== undefined) await syncParents(dirname(file), dirname(isNew))
    },
    async remove(file) {
      await rm(file, { force: true })
      await syncFolder(dirname(file)).catch(ifMissing)
    },
    async clear() {
      await rm(draft, { force: true })
    },
  }
}

async function writeSynced(file: string, bytes: string | Uint8Array): Promise<void> {
  await using handle = await open(file, 'w', 0o600)
  await handle.writeFile(bytes)
  await handle.sync()
}

async function syncFolder(folder: string): Promise<void> {
  await using handle = await open(folder, 'r')
  await handle.sync()
}

/** A folder made on the way is durable only when its parent is synced too. */
async function syncParents(folder: string, top: string): Promise<void> {
  for (let at = folder; at.length > top.length; at = dirname(at)) await syncFolder(dirname(at))
}

function decodeRecord(bytes: Buffer | undefined): StoredRecord | undefined {
  if (bytes === undefined) return undefined
  const lineEnd = bytes.indexOf(0x0a)
  const revision = Number(bytes.subarray(0, lineEnd).toString())
  if (lineEnd < 1 || !Number.isSafeInteger(revision)) throw new Error('the record has no revision line')
  return { value: new Uint8Array(bytes.subarray(lineEnd + 1)), revision }
}

async function keysBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile() && entry.name.endsWith(fileMark))
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1, -fileMark.length))
}

async function guard<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw error instanceof AppError ? error : new StoreDownError(what, error)
  }
}

function ifMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') throw error
  return undefined
}
