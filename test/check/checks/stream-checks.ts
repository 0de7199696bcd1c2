import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { WebSocket } from 'ws'
import { json } from '../expect.ts'
import type { Check } from '../run-checks.ts'
import { eventArrivals, hashedBytes } from '../streams.ts'
import type { World } from '../world.ts'

const mebi = 1024 * 1024
const transferMib = 64
const echoMessages = 1_000

/** Event streams, large bodies and WebSockets, end to end into the guest. */
export const streamChecks: Check<World>[] = [
  {
    name: 'stream.sse',
    async run(world) {
      const seen: string[] = []
      for (const language of ['python', 'node'] as const) {
        const arrivals = await eventArrivals(world.client, `${world.program(language).url}events`)
        assert.equal(arrivals.length, 5)
        const [first, last] = [arrivals[0] as number, arrivals[4] as number]
        // The program waits 300 ms between events: with buffering anywhere, all would come together at the end.
        assert.ok(last - first > 900, `events came ${(last - first).toFixed(0)} ms apart in all: something buffers`)
        seen.push(`${language}: first after ${first.toFixed(0)} ms, last after ${last.toFixed(0)} ms`)
      }
      return seen.join('; ')
    },
  },
  {
    name: 'stream.upload',
    async run(world) {
      const { network, client } = world
      const before = residentMib(network.gateway.pid)
      const up = hashedBytes(transferMib * mebi)
      let peak = before
      const watch = setInterval(() => {
        peak = Math.max(peak, residentMib(network.gateway.pid))
      }, 20)
      try {
        const answer = await client.ask(`${world.program('node').url}digest`, {
          method: 'POST',
          body: up.stream,
          headers: { 'content-type': 'application/octet-stream' },
          timeoutMs: 120_000,
        })
        assert.deepEqual(json<{ sha256: string; size: number }>(answer), {
          sha256: up.digest(),
          size: transferMib * mebi,
        })
        const down = await client.open(`${world.program('node').url}blob?mib=${transferMib}`, { timeoutMs: 120_000 })
        const hash = createHash('sha256')
        let size = 0
        for await (const chunk of down) {
          hash.update(chunk as Buffer)
          size += (chunk as Buffer).length
        }
        assert.equal(size, transferMib * mebi)
        assert.equal(hash.digest('hex'), blobDigest(transferMib))
      } finally {
        clearInterval(watch)
      }
      const grown = peak - before
      assert.ok(
        grown < transferMib * 0.75,
        `the gateway grew by ${grown.toFixed(0)} MiB for ${transferMib} MiB: it holds the body`,
      )
      return `${transferMib} MiB up and ${transferMib} MiB down, every byte right; the gateway grew by ${Math.max(0, grown).toFixed(0)} MiB`
    },
  },
  {
    name: 'stream.websocket',
    async run(world) {
      const texts: string[] = []
      for (const language of ['python', 'node'] as const)
        texts.push(`${language} ${await echoThrough(world, language)}`)
      return `${echoMessages} messages echoed: ${texts.join(', ')}`
    },
  },
]

async function echoThrough(world: World, language: 'python' | 'node'): Promise<string> {
  const { client, network } = world
  const host = new URL(world.program(language).url).host
  const socket = new WebSocket(`wss://${host}:${network.gatewayPorts.https}/ws`, {
    ca: client.options.caPem,
    lookup: client.lookup,
    headers: { host },
    servername: host,
  } as ConstructorParameters<typeof WebSocket>[2])
  await new Promise<void>((resolve, reject) => socket.once('open', resolve).once('error', reject))
  const startedAt = performance.now()
  let received = 0
  const done = new Promise<void>((resolve, reject) => {
    socket.on('message', (data) => {
      if (String(data) !== `message ${received}`)
        reject(new Error(`got "${String(data).slice(0, 40)}" in place of message ${received}`))
      if (++received === echoMessages) resolve()
    })
    socket.once('close', () => reject(new Error(`closed after ${received} messages`)))
    socket.once('error', reject)
  })
  for (let index = 0; index < echoMessages; index++) socket.send(`message ${index}`)
  await done
  socket.removeAllListeners('close')
  socket.close()
  return `in ${(performance.now() - startedAt).toFixed(0)} ms`
}

/** What the samples send at /blob: the bytes 0 to 255 over and over. */
function blobDigest(mib: number): string {
  const part = Buffer.from(Array.from({ length: mebi }, (_, index) => index % 256))
  const hash = createHash('sha256')
  for (let index = 0; index < mib; index++) hash.update(part)
  return hash.digest('hex')
}

function residentMib(pid: number): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024
}
