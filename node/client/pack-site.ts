import { readdir, readFile } from 'node:fs/promises'
import { join, relative, sep } from 'node:path'
import { encodeCarBlock, encodeCarHeader } from '../protocol/car.ts'
import { parseCid } from '../protocol/cid.ts'
import { importDirectory, type SourceFile } from '../protocol/unixfs.ts'
import { PublishRefusedError } from './errors.ts'

/** A directory as IPFS blocks in one CAR. */
export interface PackedSite {
  /** Of the directory. */
  cid: string
  /** CID of each file by its path. */
  fileCids: Record<string, string>
  car: Uint8Array
}

// Held in memory to be sent as one form; a larger site is better added by a Kubo node of one's own.
const siteBytesMax = 512 * 1_048_576

/** Packs files given by their relative path. The same files give the same CID. @throws PublishRefusedError past 512 MiB */
export function importSite(files: Readonly<Record<string, Uint8Array>>): Promise<PackedSite> {
  return pack(
    Object.keys(files)
      .sort()
      .map((path) => ({ path, content: oneChunk(files[path] as Uint8Array) })),
  )
}

/** Packs the regular files below a directory; links are not followed. @throws PublishRefusedError past 512 MiB */
export function packDirectory(directory: string): Promise<PackedSite> {
  return pack(filesOf(directory))
}

async function pack(files: Iterable<SourceFile> | AsyncIterable<SourceFile>): Promise<PackedSite> {
  const sections: Uint8Array[] = []
  let total = 0
  const { cid, fileCids } = await importDirectory(files, async (name, bytes) => {
    total += bytes.length
    if (total > siteBytesMax) throw new PublishRefusedError(`The site has more than ${siteBytesMax} bytes.`)
    sections.push(encodeCarBlock(parseCid(name), bytes))
  })
  return { cid, fileCids, car: Buffer.concat([encodeCarHeader(parseCid(cid)), ...sections]) }
}

async function* filesOf(directory: string): AsyncIterable<SourceFile> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  // In a fixed order, so that the same directory gives the same CID.
  for (const path of paths.sort()) {
    yield { path: relative(directory, path).split(sep).join('/'), content: oneChunk(await readFile(path)) }
  }
}

async function* oneChunk(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes
}
