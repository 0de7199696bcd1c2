import { exporter, type UnixFSEntry } from 'ipfs-unixfs-exporter'
import type { CID } from 'multiformats/cid'
import { AppError } from '../../core/errors.ts'
import { UnsupportedBlockError } from '../errors.ts'
import type { VerifiedBlocks } from './verified-blocks.ts'

/** What stands at a path of a site. */
export type SiteEntry =
  | { kind: 'directory'; cid: string }
  /** `read` yields verified bytes from `start` up to but not including `end`. */
  | {
      kind: 'file'
      cid: string
      bytes: number
      read(start: number, end: number): AsyncGenerator<Uint8Array, void, undefined>
    }

export interface UnixfsLimits {
  depthMax: number
}

/**
 * Finds an entry of a UnixFS directory (plain or sharded). Every block on the way is verified.
 * @param segments - decoded path segments, none of them empty
 * @returns undefined when the site has no such entry
 * @throws AppError of the blocks; UnsupportedBlockError when a block is not UnixFS
 */
export async function findEntry(
  blocks: VerifiedBlocks,
  root: CID,
  segments: readonly string[],
  limits: UnixfsLimits,
): Promise<SiteEntry | undefined> {
  let entry = await load(blocks, root)
  for (const segment of segments) {
    if (entry.type !== 'directory') return undefined
    const next = await childOf(blocks, entry.cid, segment)
    if (!next) return undefined
    entry = await load(blocks, next)
  }
  return siteEntry(blocks, entry, limits)
}

/** One step down: the exporter walks shards of a large directory by itself. */
async function childOf(blocks: VerifiedBlocks, directory: CID, name: string): Promise<CID | undefined> {
  try {
    return (await exporter(`${directory}/${name}`, storage(blocks))).cid
  } catch (error) {
    if (error instanceof Error && error.name === 'NotFoundError') return undefined
    throw asAppError(directory, error)
  }
}

async function load(blocks: VerifiedBlocks, cid: CID): Promise<UnixFSEntry> {
  try {
    return await exporter(cid, storage(blocks))
  } catch (error) {
    throw asAppError(cid, error)
  }
}

function siteEntry(blocks: VerifiedBlocks, entry: UnixFSEntry, limits: UnixfsLimits): SiteEntry {
  const cid = String(entry.cid)
  if (entry.type === 'directory') return { kind: 'directory', cid }
  if (entry.type === 'object') throw new UnsupportedBlockError(cid, 'it is neither a file nor a directory')
  const bytes = Number(entry.size)
  if (!Number.isSafeInteger(bytes)) throw new UnsupportedBlockError(cid, 'its size is not a number that can be served')
  return {
    kind: 'file',
    cid,
    bytes,
    read: (start, end) => readRange(blocks, entry, { start, end, depth: limits.depthMax }),
  }
}

interface Wanted {
  start: number
  end: number
  /** Levels that may still follow. */
  depth: number
}

/**
 * Walks a file depth first, one block at a time, so that the reader sets the pace. The exporter's own `content()` is not used: it reads
 * ahead without bound, and a bad block below the second level becomes an unhandled rejection there, which would end the process.
 */
async function* readRange(
  blocks: VerifiedBlocks,
  entry: UnixFSEntry,
  wanted: Wanted,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (entry.type === 'raw' || entry.type === 'identity') return yield* slice(entry.node, wanted)
  if (entry.type !== 'file') throw new UnsupportedBlockError(String(entry.cid), 'a part of a file is not a file')
  if (wanted.depth <= 0) throw new UnsupportedBlockError(String(entry.cid), 'the file has too many levels')
  const own = entry.unixfs.data
  if (own) yield* slice(own, wanted)
  let at = own?.length ?? 0
  if (entry.node.Links.length !== entry.unixfs.blockSizes.length)
    throw new UnsupportedBlockError(String(entry.cid), 'its links and sizes differ in number')
  for (const [index, link] of entry.node.Links.entries()) {
    const size = Number(entry.unixfs.blockSizes[index])
    if (at < wanted.end && at + size > wanted.start) {
      const child = await load(blocks, link.Hash as CID)
      if (Number((child as { size?: bigint }).size ?? -1n) !== size)
        throw new UnsupportedBlockError(String(link.Hash), 'it has another size than its parent says')
      yield* readRange(blocks, child, { start: wanted.start - at, end: wanted.end - at, depth: wanted.depth - 1 })
    }
    at += size
  }
}

function* slice(bytes: Uint8Array, { start, end }: Wanted): Generator<Uint8Array, void, undefined> {
  const part = bytes.subarray(Math.max(0, start), Math.min(bytes.length, end))
  if (end > 0 && part.length > 0) yield part
}

/** The blocks as the exporter wants them: generators of chunks. */
function storage(blocks: VerifiedBlocks): { get(cid: CID): AsyncGenerator<Uint8Array> } {
  return {
    async *get(cid) {
      yield await blocks.get(cid)
    },
  }
}

function asAppError(cid: CID, error: unknown): AppError {
  return error instanceof AppError
    ? error
    : new UnsupportedBlockError(String(cid), 'it is not valid UnixFS', { cause: error })
}
