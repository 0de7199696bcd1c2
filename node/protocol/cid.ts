import { createHash } from 'node:crypto'
import { CID } from 'multiformats/cid'
import { create as createDigest } from 'multiformats/hashes/digest'
import { HashMismatchError, InvalidCidError } from './errors.ts'

const sha256Code = 0x12
/** Codec numbers that blocks of files have. */
export const rawCodec = 0x55
export const dagPbCodec = 0x70
const cidCharsMax = 128

/**
 * Reads a content identifier in text form.
 * @throws InvalidCidError when malformed, or when its hash is not SHA-256: only that is verified here
 */
export function parseCid(text: string): CID {
  if (text.length > cidCharsMax) throw new InvalidCidError(`A CID of ${text.length} characters is too long.`)
  let cid: CID
  try {
    cid = CID.parse(text)
  } catch (cause) {
    throw new InvalidCidError(`"${text}" is no CID.`, { cause })
  }
  if (cid.multihash.code === sha256Code && cid.multihash.digest.length === 32) return cid
  throw new InvalidCidError(`The CID ${text} does not use SHA-256.`, { hint: 'Add the file again with sha2-256.' })
}

/** @throws HashMismatchError when the bytes are not those that the CID names */
export function verifyBlock(cid: CID, bytes: Uint8Array): void {
  const actual = createHash('sha256').update(bytes).digest()
  if (cid.multihash.code === sha256Code && actual.equals(cid.multihash.digest)) return
  throw new HashMismatchError(`A block of ${bytes.length} bytes does not have the hash of ${cid}.`)
}

/**
 * One name for a block however its CID is written: the SHA-256 of its bytes, in hex.
 * CIDv0 and v1 of the same block share it.
 */
export function blockKey(cid: CID): string {
  return Buffer.from(cid.multihash.digest).toString('hex')
}

/** The CIDv1 of a raw block. */
export function rawCid(bytes: Uint8Array): CID {
  return CID.createV1(rawCodec, createDigest(sha256Code, createHash('sha256').update(bytes).digest()))
}

export { CID }
