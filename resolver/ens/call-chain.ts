import { CcipReadError } from '../errors.ts'
import { readOffchain } from './ccip-read.ts'
import type { EnsConfig } from './config.ts'
import { type RpcCall, type RpcResult, rpcBatch } from './json-rpc.ts'
import { type Address, encodeCallback, type Hex, isAddressEqual, readRevert } from './viem-codec.ts'

/** What a call to the Universal Resolver came to. */
export type CallOutcome =
  | { kind: 'value'; data: Hex; offchain: boolean }
  | { kind: 'no-resolver' }
  | { kind: 'no-profile' }
  | { kind: 'reverted'; name: string }

/** A contract call at one block. */
export function ethCall(to: Address, data: Hex, block: Hex): RpcCall {
  return { method: 'eth_call', params: [{ to, data }, block] }
}

/**
 * Follows a call's off-chain look-ups to their end, all at the same block and at most `ccip.depthMax` deep.
 * @throws CcipReadError, EnsRpcError
 */
export async function finishCall(
  first: RpcResult,
  to: Address,
  block: Hex,
  config: EnsConfig,
  signal: AbortSignal,
): Promise<CallOutcome> {
  let result = first
  for (let depth = 0; ; depth++) {
    if ('value' in result) return { kind: 'value', data: result.value, offchain: depth > 0 }
    if (result.revert.length / 2 > config.ccip.revertBytesMax) {
      throw new CcipReadError(`A contract reverted with more than ${config.ccip.revertBytesMax} bytes.`)
    }
    const meaning = readRevert(result.revert)
    if (meaning.kind === 'other') return { kind: 'reverted', name: meaning.name }
    if (meaning.kind !== 'offchain') return { kind: meaning.kind }
    if (depth >= config.ccip.depthMax) {
      throw new CcipReadError(`A name asks for more than ${config.ccip.depthMax} off-chain look-ups in a row.`, {
        hint: 'Its resolver contract or its gateway loops; only the owner of the name can mend that.',
      })
    }
    // Without this check a contract could have us carry answers meant for another one (EIP-3668).
    if (!isAddressEqual(meaning.sender, to))
      throw new CcipReadError('An off-chain look-up was asked for by another contract.')
    const { sender, urls, callData, callback, extraData } = meaning
    const response = await readOffchain({ sender, urls, data: callData }, config.ccip, signal)
    const next = ethCall(to, encodeCallback(callback, response, extraData), block)
    result = (await rpcBatch([next], config, signal))[0] as RpcResult
  }
}
