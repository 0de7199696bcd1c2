import { HashMismatchError } from '../protocol/errors.ts'
import { hashKind } from '../protocol/item-hash.ts'
import { openUnixfs, walkDag } from '../protocol/unixfs.ts'
import type { CcnLimits } from './config.ts'
import { TooLargeError } from './errors.ts'
import type { Peers } from './peers.ts'
import type { FileStore, StagedBlocks, StoredFile } from './ports.ts'

// 4 GiB of blocks of 256 KiB, and as many inner nodes again: what the largest upload can hold.
const dagBlocksMax = 32_768

/** Finds file bytes. Only `ensure` and `read` ask peers: serving a download never causes one, so nodes cannot chase each other. */
export interface ContentSource {
  /** A file that is here, by SHA-256 or CID. @returns undefined when it is absent, or is a directory */
  open(hash: string): Promise<StoredFile | undefined>
  /** Makes sure that all of a file or directory is here, from peers where needed. @returns its size, or undefined */
  ensure(hash: string, signal: AbortSignal): Promise<number | undefined>
  /** The bytes of a message's content. @returns undefined when they are nowhere @throws TooLargeError */
  read(hash: string, signal: AbortSignal): Promise<Uint8Array | undefined>
}

/** Joins the file store and the peers. */
export function createContentSource(files: FileStore, peers: Peers, limits: CcnLimits): ContentSource {
  async function ensureFile(hash: string, signal: AbortSignal): Promise<number | undefined> {
    const known = await files.open(hash)
    if (known) return known.sizeBytes
    for await (const stream of peers.file(hash, signal)) {
      try {
        await using staged = await files.stage(stream, limits.signedFileBytesMax)
        if (staged.hash !== hash) continue
        await staged.commit()
        return staged.sizeBytes
      } catch {
        // A peer that breaks off or sends too much is passed over.
        signal.throwIfAborted()
      }
    }
    return undefined
  }

  async function ensureDag(cid: string, signal: AbortSignal): Promise<number | undefined> {
    await using staged = await files.stageBlocks()
    const { sizeBytes, missing } = await walkDag(cid, (asked) => blockFrom(staged, asked, signal), dagBlocksMax)
    if (missing !== undefined) return undefined
    await staged.commit()
    return sizeBytes
  }

  async function blockFrom(staged: StagedBlocks, cid: string, signal: AbortSignal): Promise<Uint8Array | undefined> {
    const here = await staged.block(cid)
    if (here) return here
    for await (const bytes of peers.block(cid, signal)) {
      try {
        await staged.put(cid, bytes)
        return bytes
      } catch (error) {
        // A peer that answers with other bytes is passed over.
        if (!(error instanceof HashMismatchError)) throw error
      }
    }
    return undefined
  }

  const source: ContentSource = {
    ensure: (hash, signal) => (hashKind(hash) === 'storage' ? ensureFile(hash, signal) : ensureDag(hash, signal)),
    async open(hash) {
      if (hashKind(hash) === 'storage') return files.open(hash)
      const entry = await openUnixfs(hash, (cid) => files.block(cid))
      return entry?.kind === 'file' ? entry : undefined
    },
    async read(hash, signal) {
      await source.ensure(hash, signal)
      const file = await source.open(hash)
      if (!file) return undefined
      if (file.sizeBytes > limits.contentBytesMax)
        throw new TooLargeError('content of the message', limits.contentBytesMax)
      const parts: Uint8Array[] = []
      for await (const chunk of file.stream()) parts.push(chunk)
      return Buffer.concat(parts)
    },
  }
  return source
}
