import type { MessageType } from './content.ts'
import { ethereumAddress, signEthereum } from './ethereum.ts'
import { sha256Hex } from './item-hash.ts'
import type { SignedMessage } from './message.ts'
import { verificationBuffer } from './signature.ts'
import { signSolana, solanaAddress } from './solana.ts'

/** Signs for one account. Implementations: a key in memory, a wallet, a device. */
export interface Signer {
  readonly chain: string
  /** Chain-native address: the `sender` of what is signed. */
  readonly address: string
  /** @returns the text that goes into `signature` */
  sign(buffer: Uint8Array): Promise<string>
}

/** Signs with an Ethereum key of 32 bytes, under any EVM chain id. */
export function ethereumSigner(privateKey: Uint8Array, chain = 'ETH'): Signer {
  return { chain, address: ethereumAddress(privateKey), sign: async (buffer) => signEthereum(buffer, privateKey) }
}

/** Signs with an ed25519 seed of 32 bytes in Solana's form. */
export function solanaSigner(seed: Uint8Array): Signer {
  return { chain: 'SOL', address: solanaAddress(seed), sign: async (buffer) => signSolana(buffer, seed) }
}

/** What to publish: the content is serialised once, and that text is hashed. `time` is unix seconds. */
export interface Draft {
  type: MessageType
  content: Record<string, unknown>
  time: number
  channel?: string | null
}

/** Makes a signed inline message. */
export async function signMessage(signer: Signer, draft: Draft): Promise<SignedMessage & { item_content: string }> {
  const itemContent = JSON.stringify(draft.content)
  const fields = { chain: signer.chain, sender: signer.address, type: draft.type, item_hash: sha256Hex(itemContent) }
  return {
    ...fields,
    signature: await signer.sign(verificationBuffer(fields)),
    item_type: 'inline',
    item_content: itemContent,
    time: draft.time,
    channel: draft.channel ?? null,
  }
}
