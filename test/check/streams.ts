import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import type { OutsideClient } from './outside-client.ts'

const chunkBytes = 64 * 1024

/** Pseudo-random bytes that never stand in memory as a whole, and the SHA-256 of all that was handed out. */
export function hashedBytes(totalBytes: number): {
  stream: Readable
  digest: () => string
  sentBytes: () => number
} {
  const hash = createHash('sha256')
  const block = randomBytes(chunkBytes)
  let sent = 0
  const stream = new Readable({
    read() {
      if (sent >= totalBytes) return void this.push(null)
      const chunk = Buffer.from(block.subarray(0, Math.min(chunkBytes, totalBytes - sent)))
      // The counter makes every chunk different, so that a repeated or lost one shows in the hash.
      chunk.writeUInt32LE(sent / chunkBytes, 0)
      sent += chunk.length
      hash.update(chunk)
      this.push(chunk)
    },
  })
  return { stream, digest: () => hash.digest('hex'), sentBytes: () => sent }
}

/** Reads server-sent events; for each, the milliseconds from the request to its arrival. */
export async function eventArrivals(client: OutsideClient, url: string): Promise<number[]> {
  const startedAt = performance.now()
  const response = await client.open(url, { headers: { accept: 'text/event-stream' } })
  assert.match(String(response.headers['content-type']), /text\/event-stream/)
  const arrivals: number[] = []
  let text = ''
  for await (const chunk of response) {
    text += String(chunk)
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      arrivals.push(performance.now() - startedAt)
      text = text.slice(end + 2)
    }
  }
  return arrivals
}

export interface PercentileSummary {
  p50: number
  p99: number
}

/** Median and 99th percentile (nearest rank) of some durations. */
export function percentiles(values: readonly number[]): PercentileSummary {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN
  return { p50: at(0.5), p99: at(0.99) }
}

export const milliseconds = (value: number): string => `${value < 10 ? value.toFixed(1) : value.toFixed(0)} ms`
