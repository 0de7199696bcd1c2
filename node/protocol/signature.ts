import { UnknownChainError } from './errors.ts'
import { evmChains, verifyEthereum } from './ethereum.ts'
import { solanaChains, verifySolana } from './solana.ts'

/** The part of an envelope that a signature covers. */
export interface SignedFields {
  chain: string
  sender: string
  type: string
  item_hash: string
}

/** Chains of the network whose verification this node does not have yet. */
export const chainsNotBuiltIn: ReadonlySet<string> = new Set(['AVAX', 'CSDK', 'DOT', 'TEZOS', 'NULS', 'NULS2'])

/** The bytes that are signed, the same for all chains: four lines without a final newline. */
export function verificationBuffer(message: SignedFields): Uint8Array {
  return Buffer.from(`${message.chain}\n${message.sender}\n${message.type}\n${message.item_hash}`)
}

/**
 * Checks that the sender signed this message. Constant work per call; about 0.15 ms for EVM chains.
 * @throws InvalidSignatureError (network error 1) when not
 * @throws UnknownChainError (network error 0) for a chain without a verifier here
 */
export function verifySignature(message: SignedFields & { signature: string }): void {
  const { chain, sender, signature } = message
  if (evmChains.has(chain)) verifyEthereum(verificationBuffer(message), sender, signature)
  else if (solanaChains.has(chain)) verifySolana(verificationBuffer(message), sender, signature)
  else throw unknownChain(chain)
}

function unknownChain(chain: string): UnknownChainError {
  if (chainsNotBuiltIn.has(chain)) {
    return new UnknownChainError(`The chain ${chain} is known, but its verification is not built in yet.`, {
      hint: 'Sign with an EVM or Solana account for now.',
    })
  }
  return new UnknownChainError(`The chain "${chain.slice(0, 32)}" is unknown.`, {
    hint: 'Chain ids are upper case, for example ETH, BASE or SOL.',
  })
}
