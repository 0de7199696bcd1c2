import { createHash } from 'node:crypto'
import { blockKey, parseCid, verifyBlock } from '../../protocol/cid.ts'
import { TooLargeError } from '../errors.ts'
import type { FileStore, StagedBlocks, StagedFile } from '../ports.ts'

/** A file store that lives as long as the process. For tests and trials. */
export function createMemoryFileStore(): FileStore {
  const files = new Map<string, Uint8Array>()
  const blocks = new Map<string, Uint8Array>()
  return {
    async stage(source, bytesMax): Promise<StagedFile> {
      const bytes = await collect(source, bytesMax)
      const hash = createHash('sha256').update(bytes).digest('hex')
      return {
        hash,
        sizeBytes: bytes.length,
        commit: async () => void files.set(hash, bytes),
        [Symbol.asyncDispose]: async () => {},
      }
    },
    async open(hash) {
      const bytes = files.get(hash)
      return bytes && { sizeBytes: bytes.length, stream: () => chunks(bytes) }
    },
    async stageBlocks(): Promise<StagedBlocks> {
      const staged = new Map<string, Uint8Array>()
      return {
        async put(text, bytes) {
          const cid = parseCid(text)
          verifyBlock(cid, bytes)
          staged.set(blockKey(cid), Uint8Array.from(bytes))
        },
        block: async (text) => staged.get(blockKey(parseCid(text))) ?? blocks.get(blockKey(parseCid(text))),
        async commit() {
          for (const [key, bytes] of staged) blocks.set(key, bytes)
        },
        [Symbol.asyncDispose]: async () => staged.clear(),
      }
    },
    block: async (text) => blocks.get(blockKey(parseCid(text))),
    remove: async (hash) => void files.delete(hash),
  }
}

async function collect(source: AsyncIterable<Uint8Array>, bytesMax: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  let total = 0
  for await (const chunk of source) {
    total += chunk.length
    if (total > bytesMax) throw new TooLargeError('file', bytesMax)
    parts.push(chunk)
  }
  return Buffer.concat(parts)
}

async function* chunks(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536)
}
