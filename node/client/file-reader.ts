import { createHash } from 'node:crypto'
import { carBlockBytesMax } from '../protocol/car.ts'
import { parseCid, verifyBlock } from '../protocol/cid.ts'
import { HashMismatchError } from '../protocol/errors.ts'
import { hashKind } from '../protocol/item-hash.ts'
import { openUnixfs } from '../protocol/unixfs.ts'
import type { CcnPool } from './ccn-pool.ts'
import { WrongTypeError } from './errors.ts'
import { NotServedError } from './read-answer.ts'

/** Reads files and blocks by their hash. */
export interface FileReader {
  /** Bytes of a file. By SHA-256: not verified here. By CID: verified block by block. */
  file(hash: string, signal: AbortSignal): AsyncIterable<Uint8Array>
  /** Bytes of a file; ends with HashMismatchError when they are not those of the hash. Use nothing before the end. */
  verifiedFile(hash: string, signal: AbortSignal): AsyncIterable<Uint8Array>
  /** One block, checked against its CID; nodes that give other bytes are passed over. */
  block(cid: string, signal: AbortSignal): Promise<Uint8Array>
}

/** A reader that remembers for a while which nodes gave wrong bytes, so that trying again reaches another one. */
export function createFileReader(pool: CcnPool): FileReader {
  async function* byHash(hash: string, signal: AbortSignal, verified: boolean): AsyncIterable<Uint8Array> {
    const path = `/api/v0/storage/raw/${encodeURIComponent(hash)}`
    const digest = createHash('sha256')
    const senders = new Set<string>()
    for await (const chunk of pool.stream(path, `the file ${hash}`, signal, (url) => senders.add(url))) {
      digest.update(chunk)
      yield chunk
    }
    const actual = digest.digest('hex')
    if (actual === hash) return
    for (const url of senders) pool.distrust(url)
    if (verified) throw new HashMismatchError(`The file ${hash} arrived with the hash ${actual}.`)
  }

  async function* byCid(cid: string, signal: AbortSignal): AsyncIterable<Uint8Array> {
    const entry = await openUnixfs(cid, (asked) => reader.block(asked, signal))
    if (entry?.kind !== 'file') throw new WrongTypeError(`The CID ${cid} is a directory, not a file.`)
    yield* entry.stream()
  }

  const reader: FileReader = {
    file: (hash, signal) => (hashKind(hash) === 'ipfs' ? byCid(hash, signal) : byHash(hash, signal, false)),
    verifiedFile: (hash, signal) => (hashKind(hash) === 'ipfs' ? byCid(hash, signal) : byHash(hash, signal, true)),
    async block(text, signal) {
      const cid = parseCid(text)
      const options = { signal, bytesMax: carBlockBytesMax }
      return pool.ask(`/ipfs/${text}?format=raw`, `the block ${text}`, options, async ({ ok, status, bytes }) => {
        if (!ok) throw new NotServedError(`The node answered ${status}.`)
        verifyBlock(cid, bytes)
        return bytes
      })
    },
  }
  return reader
}
