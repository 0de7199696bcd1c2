import { createHash, randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type FileHandle, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { blockKey, parseCid, verifyBlock } from '../../protocol/cid.ts'
import { TooLargeError } from '../errors.ts'
import type { FileStore, StagedBlocks, StagedFile, StoredFile } from '../ports.ts'

/**
 * Opens (or makes) a file store in a folder. Names are hashes in two levels of 256 folders; bytes are written to `incoming`,
 * synced, then renamed, so a name that exists is complete. `incoming` is emptied at the start: what a crash left there was
 * never acknowledged.
 */
export async function openDirectoryFileStore(folder: string): Promise<FileStore> {
  const incoming = join(folder, 'incoming')
  await rm(incoming, { recursive: true, force: true })
  for (const name of ['incoming', 'files', 'blocks']) await mkdir(join(folder, name), { recursive: true })
  const filePath = (hash: string): string => sharded(join(folder, 'files'), hash)
  const blockPath = (cid: string): string => sharded(join(folder, 'blocks'), blockKey(parseCid(cid)))

  return {
    stage: (source, bytesMax) => stageFile(source, bytesMax, join(incoming, randomUUID()), filePath),
    open: (hash) => openFile(filePath(hash)),
    stageBlocks: () => stageBlocks(join(incoming, randomUUID()), blockPath),
    block: (cid) => readIfThere(blockPath(cid)),
    remove: (hash) => rm(filePath(hash), { force: true }),
  }
}

function sharded(folder: string, hash: string): string {
  if (!/^[0-9a-f]{64}$/.test(hash)) throw new TypeError(`"${hash}" is no file hash.`)
  return join(folder, hash.slice(0, 2), hash.slice(2, 4), hash)
}

async function stageFile(
  source: AsyncIterable<Uint8Array>,
  bytesMax: number,
  path: string,
  pathOf: (hash: string) => string,
): Promise<StagedFile> {
  const handle = await open(path, 'wx')
  try {
    const { hash, sizeBytes } = await writeAll(handle, source, bytesMax)
    await handle.sync()
    return {
      hash,
      sizeBytes,
      commit: () => moveInto(path, pathOf(hash)),
      [Symbol.asyncDispose]: () => rm(path, { force: true }),
    }
  } catch (error) {
    await rm(path, { force: true })
    throw error
  } finally {
    await handle.close()
  }
}

async function writeAll(
  handle: FileHandle,
  source: AsyncIterable<Uint8Array>,
  bytesMax: number,
): Promise<{ hash: string; sizeBytes: number }> {
  const hash = createHash('sha256')
  let sizeBytes = 0
  for await (const chunk of source) {
    sizeBytes += chunk.length
    if (sizeBytes > bytesMax) throw new TooLargeError('file', bytesMax)
    hash.update(chunk)
    await handle.writeFile(chunk)
  }
  return { hash: hash.digest('hex'), sizeBytes }
}

async function stageBlocks(folder: string, pathOf: (cid: string) => string): Promise<StagedBlocks> {
  await mkdir(folder)
  const staged = new Map<string, string>()
  return {
    async put(text, bytes) {
      const cid = parseCid(text)
      verifyBlock(cid, bytes)
      const key = blockKey(cid)
      if (staged.has(key)) return
      await writeSynced(join(folder, key), bytes)
      staged.set(key, text)
    },
    async block(text) {
      const key = blockKey(parseCid(text))
      return readIfThere(staged.has(key) ? join(folder, key) : pathOf(text))
    },
    async commit() {
      for (const [key, text] of staged) await moveInto(join(folder, key), pathOf(text))
      staged.clear()
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  }
}

async function writeSynced(path: string, bytes: Uint8Array): Promise<void> {
  const handle = await open(path, 'w')
  try {
    await handle.writeFile(bytes)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Renames and syncs the folder: without that a crash may forget the new name though the bytes are safe. */
async function moveInto(from: string, to: string): Promise<void> {
  const folder = dirname(to)
  const made = await mkdir(folder, { recursive: true })
  await rename(from, to)
  await syncFolder(folder)
  if (made !== undefined)
    for (let at = dirname(folder); at.length >= dirname(made).length; at = dirname(at)) await syncFolder(at)
}

async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function openFile(path: string): Promise<StoredFile | undefined> {
  try {
    const { size } = await stat(path)
    return { sizeBytes: size, stream: () => createReadStream(path) }
  } catch (error) {
    return absentOrThrow(error)
  }
}

async function readIfThere(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(path)
  } catch (error) {
    return absentOrThrow(error)
  }
}

function absentOrThrow(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
  throw error
}
