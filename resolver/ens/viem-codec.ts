// The only file that imports viem: ABI coding, name hashing and normalisation. No request passes through viem.
import {
  type Address,
  concat,
  decodeErrorResult,
  decodeFunctionData,
  decodeFunctionResult,
  encodeAbiParameters,
  encodeErrorResult,
  encodeFunctionData,
  encodeFunctionResult,
  getAddress,
  type Hex,
  isAddressEqual,
  parseAbi,
  zeroAddress,
} from 'viem'
import { namehash, normalize } from 'viem/ens'

export type { Address, Hex } from 'viem'
export { concat, getAddress, isAddressEqual, namehash, normalize, zeroAddress }

const registryAbi = parseAbi([
  'function owner(bytes32 node) view returns (address)',
  'function ownerOf(uint256 id) view returns (address)',
])
const errorsAbi = parseAbi([
  'error OffchainLookup(address sender, string[] urls, bytes callData, bytes4 callbackFunction, bytes extraData)',
  'error ResolverNotFound(bytes name)',
  'error ResolverNotContract(bytes name, address resolver)',
  'error ResolverError(bytes errorData)',
  'error UnsupportedResolverProfile(bytes4 selector)',
  'error HttpError(uint16 status, string message)',
])
const batchAbi = parseAbi([
  'function query((address sender, string[] urls, bytes data)[] requests) view returns (bool[] failures, bytes[] responses)',
])

/** What a revert means; `other` for errors that we do not know. */
export type RevertMeaning =
  | { kind: 'offchain'; sender: Address; urls: readonly string[]; callData: Hex; callback: Hex; extraData: Hex }
  | { kind: 'no-resolver' }
  | { kind: 'no-profile' }
  | { kind: 'other'; name: string }

/** Reads revert data. Never throws. */
export function readRevert(data: Hex): RevertMeaning {
  try {
    const error = decodeErrorResult({ abi: errorsAbi, data })
    if (error.errorName === 'OffchainLookup') {
      const [sender, urls, callData, callback, extraData] = error.args
      return { kind: 'offchain', sender, urls, callData, callback, extraData }
    }
    if (error.errorName === 'ResolverNotFound' || error.errorName === 'ResolverNotContract')
      return { kind: 'no-resolver' }
    if (error.errorName === 'UnsupportedResolverProfile') return { kind: 'no-profile' }
    return { kind: 'other', name: error.errorName }
  } catch {
    return { kind: 'other', name: data.slice(0, 10) }
  }
}

export function encodeOwner(node: Hex): Hex {
  return encodeFunctionData({ abi: registryAbi, functionName: 'owner', args: [node] })
}

export function encodeOwnerOf(node: Hex): Hex {
  return encodeFunctionData({ abi: registryAbi, functionName: 'ownerOf', args: [BigInt(node)] })
}

/** @throws when the data is no address */
export function decodeAddress(data: Hex): Address {
  return decodeFunctionResult({ abi: registryAbi, functionName: 'owner', data })
}

/** The call that carries a gateway's answer back into the contract (EIP-3668). */
export function encodeCallback(callback: Hex, response: Hex, extraData: Hex): Hex {
  return concat([callback, encodeAbiParameters([{ type: 'bytes' }, { type: 'bytes' }], [response, extraData])])
}

export interface BatchItem {
  sender: Address
  urls: readonly string[]
  data: Hex
}

/** The look-ups in a batch (ENSIP-21). @throws when the data is no batch */
export function decodeBatch(data: Hex): readonly BatchItem[] {
  return decodeFunctionData({ abi: batchAbi, data }).args[0]
}

/** The answer to a batch. A failed item carries an encoded error, which the contract sees. */
export function encodeBatchResult(results: readonly ({ response: Hex } | { failure: string })[]): Hex {
  const failures = results.map((result) => 'failure' in result)
  const responses = results.map((result) => ('failure' in result ? encodeFailure(result.failure) : result.response))
  return encodeFunctionResult({ abi: batchAbi, functionName: 'query', result: [failures, responses] })
}

function encodeFailure(message: string): Hex {
  return encodeErrorResult({ abi: errorsAbi, errorName: 'HttpError', args: [502, message] })
}
