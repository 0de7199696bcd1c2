import type { Clock } from '../../core/clock.ts'
import type { Random } from '../../core/random.ts'
import { carBlockBytesMax } from '../protocol/car.ts'
import type { CcnMetrics } from './metrics.ts'

/** Other nodes that may have what is missing here. Each answer is from another peer; none is trusted. */
export interface Peers {
  file(hash: string, signal: AbortSignal): AsyncIterable<AsyncIterable<Uint8Array>>
  block(cid: string, signal: AbortSignal): AsyncIterable<Uint8Array>
}

/** Asks peers over HTTP one after another, in random order so that none carries all the load. */
export function createHttpPeers(
  urls: readonly string[],
  options: { clock: Clock; random: Random; metrics: CcnMetrics; timeoutMs: number },
): Peers {
  async function* answers(path: string, signal: AbortSignal): AsyncIterable<Response> {
    const order = urls.map((url) => ({ url, at: options.random.float() })).sort((a, b) => a.at - b.at)
    for (const { url } of order) {
      const response = await ask(`${url.replace(/\/+$/, '')}${path}`, signal)
      options.metrics.peerFetches.add({ result: response ? 'found' : 'missing' })
      if (response) yield response
    }
  }

  /** @returns undefined for any answer but a body: the next peer may do better */
  async function ask(url: string, signal: AbortSignal): Promise<Response | undefined> {
    const stop = new AbortController()
    using _timer = options.clock.schedule(options.timeoutMs, () => stop.abort(new Error('The peer is too slow.')))
    try {
      const response = await fetch(url, { signal: AbortSignal.any([signal, stop.signal]), redirect: 'error' })
      if (response.ok && response.body) return response
      await response.body?.cancel()
    } catch {
      signal.throwIfAborted()
    }
    return undefined
  }

  return {
    async *file(hash, signal) {
      for await (const response of answers(`/api/v0/storage/raw/${hash}`, signal))
        yield response.body as AsyncIterable<Uint8Array>
    },
    async *block(cid, signal) {
      for await (const response of answers(`/ipfs/${cid}?format=raw`, signal)) {
        const bytes = await readBounded(response, carBlockBytesMax)
        if (bytes) yield bytes
      }
    },
  }
}

async function readBounded(response: Response, bytesMax: number): Promise<Uint8Array | undefined> {
  const parts: Uint8Array[] = []
  let total = 0
  try {
    for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
      total += chunk.length
      if (total > bytesMax) return undefined
      parts.push(chunk)
    }
  } catch {
    return undefined
  }
  return Buffer.concat(parts)
}
