import { LRUCache } from 'lru-cache'
import type { Clock } from '../../core/clock.ts'
import { AppError } from '../../core/errors.ts'
import { SingleFlight } from '../../core/single-flight.ts'
import { EnsContractError, EnsRpcError, LookupFailedError } from '../errors.ts'
import type { ResolverMetrics } from '../metrics.ts'
import type { EnsRecords, EnsSource } from '../ports.ts'
import { raceSignal } from '../race-signal.ts'
import { ethCall, finishCall } from './call-chain.ts'
import type { EnsConfig } from './config.ts'
import { recordsCall } from './ensjs-records.ts'
import { type RpcResult, rpcBatch } from './json-rpc.ts'
import { normalizeEnsName } from './normalize-name.ts'
import { readContenthash } from './read-contenthash.ts'
import {
  type Address,
  decodeAddress,
  encodeOwner,
  encodeOwnerOf,
  getAddress,
  type Hex,
  isAddressEqual,
  namehash,
  zeroAddress,
} from './viem-codec.ts'

export interface EnsPorts {
  clock: Clock
  metrics?: ResolverMetrics
}

interface Entry {
  records: EnsRecords | undefined
  expiresAtMs: number
}

/**
 * Reads ENS from a chain over JSON-RPC. All reads of one name happen at one block; answers are kept for `ttlMs`.
 * A name that is looked up by many is asked once. Creating it sends nothing; `warmUp` loads tables and checks the chain.
 */
export function createEnsSource(
  config: EnsConfig,
  ports: EnsPorts,
): EnsSource & { warmUp(signal: AbortSignal): Promise<void> } {
  const { clock, metrics } = ports
  const entries = new LRUCache<string, Entry>({ max: config.entriesMax })
  const flights = new SingleFlight<string, EnsRecords | undefined>()

  const lookUp = async (name: string): Promise<EnsRecords | undefined> => {
    const startedMs = clock.monotonicMs()
    try {
      const records = await withDeadline(config, clock, (signal) => readName(name, config, signal))
      entries.set(name, { records, expiresAtMs: clock.monotonicMs() + config.ttlMs })
      metrics?.ensLookups.add({ result: records ? 'found' : 'none' })
      return records
    } catch (error) {
      metrics?.ensLookups.add({ result: error instanceof AppError ? error.code : 'error' })
      throw error
    } finally {
      metrics?.ensSeconds.observe((clock.monotonicMs() - startedMs) / 1_000)
    }
  }

  return {
    records: async (name, signal) => {
      const normalized = normalizeEnsName(name)
      const known = entries.get(normalized)
      const fresh = known !== undefined && known.expiresAtMs > clock.monotonicMs()
      metrics?.cacheLookups.add({ cache: 'ens', result: fresh ? 'hit' : 'miss' })
      if (fresh) return known.records
      return raceSignal(
        flights.run(normalized, () => lookUp(normalized)),
        signal,
      )
    },
    warmUp: async (signal) => {
      normalizeEnsName('warm.up.eth')
      const call = recordsCall('eth', contractsOf(config))
      const [chain] = await rpcBatch([{ method: 'eth_chainId', params: [] }], config, signal)
      const chainId = chain && 'value' in chain ? Number(chain.value) : Number.NaN
      if (chainId !== config.chainId) {
        throw new EnsRpcError(`The Ethereum node is on chain ${chainId}, not ${config.chainId}.`, {
          hint: 'Set ens.chainId to the chain of the node, or ens.rpcUrl to another node.',
        })
      }
      await call.read('0x').catch(() => {})
    },
  }
}

async function withDeadline<T>(config: EnsConfig, clock: Clock, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const stop = new AbortController()
  const late = new LookupFailedError(`The ENS name could not be read within ${config.lookupMsMax} ms.`, {
    hint: 'The Ethereum node or an off-chain gateway of the name is slow; try again.',
  })
  using _timer = clock.schedule(config.lookupMsMax, () => stop.abort(late))
  return await raceSignal(work(stop.signal), stop.signal)
}

async function readName(name: string, config: EnsConfig, signal: AbortSignal): Promise<EnsRecords | undefined> {
  const block = await latestBlock(config, signal)
  const call = recordsCall(name, contractsOf(config))
  const ancestors = ancestorNodes(name)
  const [answer, ...owners] = await rpcBatch(
    [
      ethCall(call.to, call.data, block),
      ...ancestors.map((node) => ethCall(config.registry as Address, encodeOwner(node), block)),
    ],
    config,
    signal,
  )
  const outcome = await finishCall(answer as RpcResult, call.to, block, config, signal)
  if (outcome.kind === 'no-resolver') return undefined
  if (outcome.kind === 'reverted') {
    throw new EnsContractError(`The resolver contract of ${name} failed (${outcome.name}).`, {
      hint: 'Its owner must set another resolver, or mend this one.',
    })
  }
  const owner = await findOwner(ancestors, owners, block, config, signal)
  const blank = { owner, vm: undefined, contentCid: undefined, unsupported: undefined, blockNumber: BigInt(block) }
  if (outcome.kind === 'no-profile') return blank
  const { vm, contenthash } = await call.read(outcome.data).catch((cause: unknown) => {
    throw new EnsContractError(`The resolver contract of ${name} answers with something unreadable.`, { cause })
  })
  return { ...blank, vm: boundedText(vm), ...readContenthash(contenthash) }
}

async function latestBlock(config: EnsConfig, signal: AbortSignal): Promise<Hex> {
  const [block] = await rpcBatch([{ method: 'eth_blockNumber', params: [] }], config, signal)
  if (block && 'value' in block) return block.value
  throw new EnsRpcError('The Ethereum node does not tell its block number.')
}

/** Nodes of the name and of its parents, without the top-level name: a name below a wildcard belongs to its nearest owned parent. */
function ancestorNodes(name: string): Hex[] {
  const labels = name.split('.')
  return labels.slice(0, Math.max(1, labels.length - 1)).map((_, index) => namehash(labels.slice(index).join('.')))
}

async function findOwner(
  nodes: readonly Hex[],
  owners: readonly RpcResult[],
  block: Hex,
  config: EnsConfig,
  signal: AbortSignal,
): Promise<string> {
  for (const [index, result] of owners.entries()) {
    const owner = addressOf(result)
    if (owner === undefined || isAddressEqual(owner, zeroAddress)) continue
    if (config.nameWrapper === undefined || !isAddressEqual(owner, config.nameWrapper as Address))
      return getAddress(owner)
    const wrapped = ethCall(config.nameWrapper as Address, encodeOwnerOf(nodes[index] as Hex), block)
    const inner = addressOf((await rpcBatch([wrapped], config, signal))[0] as RpcResult)
    if (inner !== undefined && !isAddressEqual(inner, zeroAddress)) return getAddress(inner)
  }
  return zeroAddress
}

function addressOf(result: RpcResult): Address | undefined {
  if (!('value' in result)) return undefined
  try {
    return decodeAddress(result.value)
  } catch {
    return undefined
  }
}

/** Longer texts are no hash in any form; they are shown as wrong, so a part is enough. */
const textCharsMax = 256

function boundedText(text: string | undefined): string | undefined {
  return text ? text.slice(0, textCharsMax) : undefined
}

function contractsOf(config: EnsConfig): { chainId: number; registry: Address; universalResolver: Address } {
  const { chainId, registry, universalResolver } = config
  return { chainId, registry: registry as Address, universalResolver: universalResolver as Address }
}
