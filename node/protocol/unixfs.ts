import { exporter } from 'ipfs-unixfs-exporter'
import { importer } from 'ipfs-unixfs-importer'
import { type CID, parseCid, rawCodec, verifyBlock } from './cid.ts'
import { blockLinks } from './dag-pb.ts'
import { MalformedBlockError } from './errors.ts'

/** Takes a block in. Called in an order that may put children before parents. */
export type BlockSink = (cid: string, bytes: Uint8Array) => Promise<void>
/** Gives a block, or undefined when it is not here. */
export type BlockReader = (cid: string) => Promise<Uint8Array | undefined>

/** A file to import; `path` is relative, with `/`. */
export interface SourceFile {
  path: string
  content: AsyncIterable<Uint8Array>
}

// The importer's own defaults are not Kubo's; this profile is what `ipfs add` does, so CIDs agree with the network's.
const profile = 'unixfs-v0-2015'

/** Cuts one file into blocks the way `ipfs add` does. @returns the root's CID and the file's size */
export async function importFile(
  source: AsyncIterable<Uint8Array>,
  sink: BlockSink,
): Promise<{ cid: string; sizeBytes: number }> {
  let sizeBytes = 0
  async function* counted(): AsyncIterable<Uint8Array> {
    for await (const chunk of source) {
      sizeBytes += chunk.length
      yield chunk
    }
  }
  const [root] = await importAll([{ path: '', content: counted() }], sink, false)
  if (!root) throw new MalformedBlockError('Nothing was given to import.')
  return { cid: root.cid, sizeBytes }
}

/** Cuts a directory into blocks the way `ipfs add -r` does. @returns the CIDs of the directory and of each file by path */
export async function importDirectory(
  files: Iterable<SourceFile> | AsyncIterable<SourceFile>,
  sink: BlockSink,
): Promise<{ cid: string; fileCids: Record<string, string> }> {
  const entries = await importAll(files, sink, true)
  const root = entries.at(-1)
  if (root?.path !== '') throw new MalformedBlockError('Nothing was given to import.')
  return { cid: root.cid, fileCids: Object.fromEntries(entries.slice(0, -1).map(({ path, cid }) => [path, cid])) }
}

/** @returns files first, then the directories that hold them, the root last */
async function importAll(
  files: Iterable<SourceFile> | AsyncIterable<SourceFile>,
  sink: BlockSink,
  wrapWithDirectory: boolean,
): Promise<{ path: string; cid: string }[]> {
  const store = {
    async put(cid: CID, bytes: Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<CID> {
      await sink(cid.toString(), bytes instanceof Uint8Array ? bytes : await concat(bytes))
      return cid
    },
  }
  const entries: { path: string; cid: string }[] = []
  for await (const { cid, path } of importer(files, store, { profile, wrapWithDirectory })) {
    entries.push({ path: path ?? '', cid: cid.toString() })
  }
  return entries
}

/** What a CID stands for. A directory is not followed here. */
export type UnixfsEntry =
  | { kind: 'file'; sizeBytes: number; stream: () => AsyncIterable<Uint8Array> }
  | { kind: 'directory' }

/**
 * Opens the file or directory behind a CID. Every block is checked against its hash before use.
 * @returns undefined when the root block is not here
 * @throws MalformedBlockError when the blocks are no UnixFS, or one is missing while streaming
 */
export async function openUnixfs(cid: string, read: BlockReader): Promise<UnixfsEntry | undefined> {
  const root = parseCid(cid)
  if ((await read(cid)) === undefined) return undefined
  const store = {
    async *get(asked: CID): AsyncGenerator<Uint8Array> {
      const bytes = await read(asked.toString())
      if (!bytes) throw new MalformedBlockError(`The block ${asked} of ${cid} is not here.`)
      verifyBlock(asked, bytes)
      yield bytes
    },
  }
  const entry = await exporter(root, store)
  if (entry.type === 'directory') return { kind: 'directory' }
  if (entry.type !== 'file' && entry.type !== 'raw') throw new MalformedBlockError(`The CID ${cid} is no file.`)
  return { kind: 'file', sizeBytes: Number(entry.size), stream: () => entry.content() }
}

/**
 * Visits every block below a root once, parents first, and adds up their bytes.
 * @param read - undefined for a block ends the walk: the DAG is incomplete
 * @returns the blocks met and their bytes in all; `missing` names the first block that is not here
 * @throws MalformedBlockError past `blocksMax`
 */
export async function walkDag(
  root: string,
  read: BlockReader,
  blocksMax: number,
): Promise<{ blocks: number; sizeBytes: number; missing?: string }> {
  const queue: CID[] = [parseCid(root)]
  const seen = new Set<string>()
  let sizeBytes = 0
  for (let cid = queue.pop(); cid !== undefined; cid = queue.pop()) {
    const name = cid.toString()
    if (seen.has(name)) continue
    if (seen.size >= blocksMax) throw new MalformedBlockError(`The CID ${root} has more than ${blocksMax} blocks.`)
    seen.add(name)
    parseCid(name)
    const bytes = await read(name)
    if (!bytes) return { blocks: seen.size, sizeBytes, missing: name }
    sizeBytes += bytes.length
    if (cid.code !== rawCodec) queue.push(...blockLinks(cid, bytes).map((link) => link.cid))
  }
  return { blocks: seen.size, sizeBytes }
}

async function concat(parts: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const all: Uint8Array[] = []
  for await (const part of parts) all.push(part)
  return Buffer.concat(all)
}
