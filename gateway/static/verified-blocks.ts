import { createHash, timingSafeEqual } from 'node:crypto'
import { CID } from 'multiformats/cid'
import type { Clock } from '../../core/clock.ts'
import { inTime } from '../../core/in-time.ts'
import { SingleFlight } from '../../core/single-flight.ts'
import type { GatewayConfig } from '../config.ts'
import { BlockTimeoutError, TamperedBlockError, UnsupportedBlockError } from '../errors.ts'
import type { GatewayMetrics } from '../metrics.ts'
import type { BlockSource } from '../ports.ts'
import { createBytesCache, type RecentCache } from '../recent-cache.ts'

const sha256Code = 0x12
const identityCode = 0x00
const dagPbCode = 0x70
const rawCode = 0x55
/** An identity CID carries its data in itself; more than this is no longer an identifier. */
const identityBytesMax = 128

export interface VerifiedBlocksPorts {
  blocks: BlockSource
  clock: Clock
  metrics: GatewayMetrics
}

/**
 * Blocks whose content has been checked against their identifier: nothing else is ever returned or remembered.
 * Verified blocks are kept in memory up to a number of bytes; two requests for one block share one fetch.
 */
export class VerifiedBlocks {
  readonly #config: GatewayConfig['static']
  readonly #ports: VerifiedBlocksPorts
  readonly #cache: RecentCache<string, Uint8Array>
  readonly #flights = new SingleFlight<string, Uint8Array>()

  constructor(config: GatewayConfig['static'], ports: VerifiedBlocksPorts) {
    this.#config = config
    this.#ports = ports
    this.#cache = createBytesCache(config.cacheBytesMax)
  }

  /** @throws TamperedBlockError, UnsupportedBlockError, BlockTimeoutError, or what the block source throws */
  async get(cid: CID): Promise<Uint8Array> {
    if (cid.code !== dagPbCode && cid.code !== rawCode)
      throw new UnsupportedBlockError(String(cid), 'only UnixFS (dag-pb) and raw blocks are read')
    if (cid.multihash.code === identityCode) return inlineBlock(cid)
    if (cid.multihash.code !== sha256Code) throw new UnsupportedBlockError(String(cid), 'its hash is not sha2-256')
    const key = `${cid}`
    const cached = this.#cache.get(key)
    if (cached) {
      this.#ports.metrics.blocks.add({ source: 'memory', outcome: 'verified' })
      return cached
    }
    return this.#flights.run(key, () => this.#fetch(cid, key))
  }

  async #fetch(cid: CID, key: string): Promise<Uint8Array> {
    const { blockBytesMax } = this.#config
    const block = await this.#ask(key)
    const wrong = block.length > blockBytesMax || !hasHash(block, cid.multihash.digest)
    this.#ports.metrics.blocks.add({ source: 'network', outcome: wrong ? 'refused' : 'verified' })
    if (block.length > blockBytesMax) throw new UnsupportedBlockError(key, `it has more than ${blockBytesMax} bytes`)
    if (wrong) throw new TamperedBlockError(key)
    this.#cache.set(key, block)
    return block
  }

  #ask(key: string): Promise<Uint8Array> {
    const { blockMs } = this.#config
    const { clock, blocks } = this.#ports
    const late = () => new BlockTimeoutError(key, blockMs)
    return inTime(clock, blockMs, late, (signal) => blocks.block(key, signal))
  }
}

/** @throws UnsupportedBlockError when the text is no CID */
export function parseCid(text: string): CID {
  try {
    return CID.parse(text)
  } catch (cause) {
    throw new UnsupportedBlockError(text.slice(0, 100), 'it is not a content identifier', { cause })
  }
}

function hasHash(block: Uint8Array, digest: Uint8Array): boolean {
  return digest.length === 32 && timingSafeEqual(createHash('sha256').update(block).digest(), digest)
}

function inlineBlock(cid: CID): Uint8Array {
  if (cid.multihash.digest.length > identityBytesMax)
    throw new UnsupportedBlockError(String(cid), 'an inline block must be short')
  return cid.multihash.digest
}
