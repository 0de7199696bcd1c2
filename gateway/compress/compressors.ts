import {
  brotliCompressSync,
  constants,
  createBrotliCompress,
  createGzip,
  createZstdCompress,
  gzipSync,
  zstdCompressSync,
} from 'node:zlib'
import type { Encoding } from './choose-encoding.ts'
import { type CompressedSink, CompressingBody } from './compressing-body.ts'

export interface CompressorSettings {
  /** 1-19; 3 is the library's own choice. */
  zstdLevel: number
  /** 0-11; above 5 the time grows many times over. */
  brotliQuality: number
  /** 1-9. */
  gzipLevel: number
  /** Bodies that are compressed at the same time. */
  concurrentMax: number
}

/**
 * Look-back window, as a power of two: 512 KiB for zstd and Brotli. With the defaults (2 MiB and 4 MiB) a hundred streams would hold
 * several hundred MiB for a gain that answers of this size do not show. Far below the 8 MiB that clients must accept (RFC 9659).
 */
const windowBits = 19
/** Whole bodies up to this size are compressed at once, on the spot: a stream would take longer to make. Bytes. */
export const wholeBytesMax = 16_384

/**
 * Makes compressors, a bounded number at a time: each holds up to about 2 MiB and keeps a thread busy. Every body gets a context of its
 * own that is thrown away afterwards, so no byte of one answer can show in the length or the content of another.
 */
export class Compressors {
  readonly #settings: CompressorSettings
  #active = 0
  readonly #leave = () => {
    this.#active--
  }

  constructor(settings: CompressorSettings) {
    this.#settings = settings
  }

  /** Bodies that are being compressed now. For a metric. */
  get active(): number {
    return this.#active
  }

  /** Begins a body. Undefined when as many as allowed are under way: send the answer as it is. */
  start(encoding: Encoding, sink: CompressedSink): CompressingBody | undefined {
    if (this.#active >= this.#settings.concurrentMax) return undefined
    this.#active++
    return new CompressingBody(this.#stream(encoding), flushKind[encoding], sink, this.#leave)
  }

  /**
   * Compresses a body that is there as a whole, at most `wholeBytesMax`. Blocks for some tens of microseconds up to half a millisecond.
   * @returns undefined when it is too large, or would not become smaller
   */
  whole(encoding: Encoding, body: Buffer): Buffer | undefined {
    if (body.length > wholeBytesMax) return undefined
    const small = compressWhole(encoding, body, this.#settings)
    return small.length < body.length ? small : undefined
  }

  #stream(encoding: Encoding) {
    const settings = this.#settings
    if (encoding === 'zstd') return createZstdCompress({ params: zstdParams(settings) })
    if (encoding === 'br') return createBrotliCompress({ params: brotliParams(settings) })
    return createGzip({ level: settings.gzipLevel })
  }
}

/** Makes everything written so far readable for the client, and keeps what was learnt for the rest. */
const flushKind: Record<Encoding, number> = {
  zstd: constants.ZSTD_e_flush,
  br: constants.BROTLI_OPERATION_FLUSH,
  gzip: constants.Z_SYNC_FLUSH,
}

function zstdParams(settings: CompressorSettings): Record<number, number> {
  return { [constants.ZSTD_c_compressionLevel]: settings.zstdLevel, [constants.ZSTD_c_windowLog]: windowBits }
}

function brotliParams(settings: CompressorSettings): Record<number, number> {
  return { [constants.BROTLI_PARAM_QUALITY]: settings.brotliQuality, [constants.BROTLI_PARAM_LGWIN]: windowBits }
}

function compressWhole(encoding: Encoding, body: Buffer, settings: CompressorSettings): Buffer {
  if (encoding === 'zstd') return zstdCompressSync(body, { params: zstdParams(settings) })
  if (encoding === 'br')
    return brotliCompressSync(body, {
      params: { ...brotliParams(settings), [constants.BROTLI_PARAM_SIZE_HINT]: body.length },
    })
  return gzipSync(body, { level: settings.gzipLevel })
}
