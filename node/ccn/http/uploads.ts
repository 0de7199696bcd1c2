import { readCar } from '../../protocol/car.ts'
import { parseCid } from '../../protocol/cid.ts'
import { HashMismatchError, InvalidFormatError } from '../../protocol/errors.ts'
import { parseContentText, parseMessage, type SignedMessage } from '../../protocol/message.ts'
import { verifySignature } from '../../protocol/signature.ts'
import { importFile, walkDag } from '../../protocol/unixfs.ts'
import { BadRequestError, TooLargeError } from '../errors.ts'
import type { FileStore, StagedBlocks, StagedFile } from '../ports.ts'
import { parseJson } from './body.ts'

/** The STORE that came with an upload, its signature checked. */
export interface UploadMetadata {
  message: SignedMessage
  sync: boolean
  /** Hash or CID that the file must have. */
  fileHash: string
}

/**
 * Reads the `metadata` of an upload: `{"message": <inline STORE>, "sync": bool}`. Its signature is checked before the file is
 * read, as it decides how large the file may be.
 * @throws BadRequestError, MessageError
 */
export function parseMetadata(text: string, itemType: 'storage' | 'ipfs'): UploadMetadata {
  const value = parseJson(text)
  if (typeof value !== 'object' || value === null)
    throw new BadRequestError('The metadata of the upload must be a JSON object.')
  const { message: json, sync } = value as { message?: unknown; sync?: unknown }
  const message = parseMessage(json)
  if (message.type !== 'STORE' || message.item_content === undefined) {
    throw new InvalidFormatError('The message that comes with an upload must be an inline STORE.')
  }
  verifySignature(message)
  const content = parseContentText(message.item_content)
  if (content.item_type !== itemType || typeof content.item_hash !== 'string') {
    throw new InvalidFormatError(`The STORE that comes with this upload must have the item_type ${itemType}.`)
  }
  return { message, sync: sync === true, fileHash: content.item_hash }
}

/** Cuts a file into IPFS blocks, not visible until committed. @throws TooLargeError */
export async function stageIpfsFile(
  files: FileStore,
  source: AsyncIterable<Uint8Array>,
  bytesMax: number,
): Promise<StagedFile> {
  const staged = await files.stageBlocks()
  try {
    const { cid, sizeBytes } = await importFile(limited(source, bytesMax, 'file'), (name, bytes) =>
      staged.put(name, bytes),
    )
    return {
      hash: cid,
      sizeBytes,
      commit: () => staged.commit(),
      [Symbol.asyncDispose]: () => staged[Symbol.asyncDispose](),
    }
  } catch (error) {
    await staged[Symbol.asyncDispose]()
    throw error
  }
}

/**
 * Takes a CAR in, not visible until committed. Each block is hashed, and all that its root refers to must be in it or here.
 * @throws MalformedCarError, BadRequestError, TooLargeError
 */
export async function stageCar(
  files: FileStore,
  source: AsyncIterable<Uint8Array>,
  limits: { bytesMax: number; blocksMax: number },
): Promise<StagedFile> {
  const staged = await files.stageBlocks()
  try {
    const { roots, blocks } = await readCar(limited(source, limits.bytesMax, 'CAR'))
    const [root] = roots
    if (!root || roots.length > 1) throw new BadRequestError(`The CAR has ${roots.length} roots; it must have one.`)
    let count = 0
    for await (const { cid, bytes } of blocks) {
      if (++count > limits.blocksMax) throw new BadRequestError(`The CAR has more than ${limits.blocksMax} blocks.`)
      await putBlock(staged, cid.toString(), bytes)
    }
    const name = parseCid(root.toString()).toString()
    const { sizeBytes, missing } = await walkDag(name, (cid) => staged.block(cid), limits.blocksMax)
    if (missing !== undefined)
      throw new BadRequestError(`The CAR lacks the block ${missing} that its root ${name} refers to.`)
    return {
      hash: name,
      sizeBytes,
      commit: () => staged.commit(),
      [Symbol.asyncDispose]: () => staged[Symbol.asyncDispose](),
    }
  } catch (error) {
    await staged[Symbol.asyncDispose]()
    throw error
  }
}

async function putBlock(staged: StagedBlocks, cid: string, bytes: Uint8Array): Promise<void> {
  try {
    await staged.put(cid, bytes)
  } catch (cause) {
    if (!(cause instanceof HashMismatchError)) throw cause
    throw new BadRequestError(`The CAR holds other bytes than its block ${cid} names.`, { cause })
  }
}

async function* limited(source: AsyncIterable<Uint8Array>, bytesMax: number, what: string): AsyncIterable<Uint8Array> {
  let total = 0
  for await (const chunk of source) {
    total += chunk.length
    if (total > bytesMax)
      throw new TooLargeError(what, bytesMax, 'A larger one needs a signed STORE message in front of it.')
    yield chunk
  }
}
