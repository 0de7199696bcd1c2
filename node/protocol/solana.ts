import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto'
import { base58btc } from 'multiformats/bases/base58'
import { InvalidSignatureError } from './errors.ts'

/** Chain ids whose messages carry an ed25519 signature in Solana's form. */
export const solanaChains: ReadonlySet<string> = new Set(['SOL', 'ES'])

// Importing a key costs as much as using it, and senders repeat. A bounded map, oldest out first.
const keysMax = 4_096
const keys = new Map<string, KeyObject>()
const publicPrefix = Buffer.from('302a300506032b6570032100', 'hex')
const privatePrefix = Buffer.from('302e020100300506032b657004220420', 'hex')

/**
 * Checks an ed25519 signature.
 * @param signature - JSON text `{"signature": base58 of 64 bytes, "publicKey": base58 of 32 bytes}`
 * @throws InvalidSignatureError when malformed, wrong, or made by another key than `sender`
 */
export function verifySolana(buffer: Uint8Array, sender: string, signature: string): void {
  const { bytes, publicKey } = parseSignature(signature)
  if (publicKey !== sender) throw new InvalidSignatureError('The public key of the signature is not the sender.')
  if (!verify(null, buffer, keyOf(publicKey), bytes))
    throw new InvalidSignatureError('The signature does not fit the message.')
}

function parseSignature(text: string): { bytes: Uint8Array; publicKey: string } {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new InvalidSignatureError('A Solana signature must be a JSON text with signature and publicKey.', { cause })
  }
  const { signature, publicKey } = (value ?? {}) as { signature?: unknown; publicKey?: unknown }
  if (typeof signature !== 'string' || typeof publicKey !== 'string') {
    throw new InvalidSignatureError('A Solana signature must hold the texts signature and publicKey.')
  }
  return { bytes: decodeBase58(signature, 64), publicKey }
}

function keyOf(publicKey: string): KeyObject {
  const known = keys.get(publicKey)
  if (known) return known
  const raw = decodeBase58(publicKey, 32)
  const key = createPublicKey({ key: Buffer.concat([publicPrefix, raw]), format: 'der', type: 'spki' })
  if (keys.size >= keysMax) keys.delete(keys.keys().next().value as string)
  keys.set(publicKey, key)
  return key
}

function decodeBase58(text: string, length: number): Uint8Array {
  // Base58 decoding is quadratic: refuse long texts before looking at them.
  if (text.length > 128) throw new InvalidSignatureError('A base58 member of the signature is too long.')
  let bytes: Uint8Array
  try {
    bytes = base58btc.baseDecode(text)
  } catch (cause) {
    throw new InvalidSignatureError('A member of the signature is not base58.', { cause })
  }
  if (bytes.length !== length)
    throw new InvalidSignatureError(`A member of the signature has ${bytes.length} bytes, not ${length}.`)
  return bytes
}

/** The Solana address of an ed25519 seed of 32 bytes. */
export function solanaAddress(seed: Uint8Array): string {
  const spki = createPublicKey(privateKeyOf(seed)).export({ format: 'der', type: 'spki' })
  return base58btc.baseEncode(spki.subarray(publicPrefix.length))
}

/** Signs in Solana's form. @returns the JSON text that goes into the envelope */
export function signSolana(buffer: Uint8Array, seed: Uint8Array): string {
  const signature = base58btc.baseEncode(sign(null, buffer, privateKeyOf(seed)))
  return JSON.stringify({ signature, publicKey: solanaAddress(seed) })
}

function privateKeyOf(seed: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.concat([privatePrefix, seed]), format: 'der', type: 'pkcs8' })
}
