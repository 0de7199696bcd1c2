import { checksummedAddress } from '../protocol/ethereum.ts'

/**
 * The ways in which nodes may have an account on record. Nodes compare the text of an owner, while an Ethereum address is the
 * same account in any case: people write it in lower case, and wallets with its check sum (EIP-55) in the case of letters.
 * @returns the text as given first, each spelling once
 */
export function addressSpellings(address: string): string[] {
  if (!/^0x[0-9a-fA-F]{40}$/.test(address)) return [address]
  const hex = address.slice(2).toLowerCase()
  return [...new Set([address, checksummedAddress(hex), `0x${hex}`])]
}
