import { createHash } from 'node:crypto'
import { InvalidFormatError } from './errors.ts'

/** Where the content of a message is: in the message, in the file store by SHA-256, or in IPFS by CID. */
export type ItemType = 'inline' | 'storage' | 'ipfs'

/** Lower-case hex SHA-256 of bytes or of a text's UTF-8 bytes. */
export function sha256Hex(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex')
}

/**
 * Tells from its form what kind of hash a text is: 64 hex, CIDv0 (`Qm`, 44 to 46 characters) or base32 CIDv1 (`bafy`, 59).
 * `bafk` is accepted beside it: raw leaves of the same length that our own file server hands out.
 */
export function hashKind(hash: string): 'storage' | 'ipfs' | undefined {
  if (/^[0-9a-f]{64}$/.test(hash)) return 'storage'
  if (/^Qm[1-9A-HJ-NP-Za-km-z]{42,44}$/.test(hash)) return 'ipfs'
  if (/^baf[yk][a-z2-7]{55}$/.test(hash)) return 'ipfs'
  return undefined
}

/**
 * Checks that inline content has the hash it is published under: SHA-256 of the text as received, never re-serialised.
 * @throws InvalidFormatError
 */
export function verifyItemHash(itemContent: string, itemHash: string): void {
  const actual = sha256Hex(itemContent)
  if (actual === itemHash) return
  throw new InvalidFormatError(`The item_hash ${itemHash} is not the SHA-256 of item_content, which is ${actual}.`, {
    hint: 'Hash the exact text that is sent as item_content, as UTF-8.',
  })
}
