import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { PassThrough } from 'node:stream'
import { WebSocket } from 'ws'
import { json } from '../expect.ts'
import type { OutsideClient } from '../outside-client.ts'
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
      const url = world.program('node').url
      await echoesMeanwhile(client, `${url}echo`)
      const memory = watchMemory(network.gateway.pid)
      try {
        const up = hashedBytes(transferMib * mebi)
        // Buffers and heap grow to their working size during the first quarter; from there on memory must stay flat.
        up.stream.on('data', () => up.sentBytes() > (transferMib / 4) * mebi && memory.settle())
        const startedAt = performance.now()
        const answer = await client.ask(`${url}digest`, {
          method: 'POST',
          body: up.stream,
          headers: { 'content-type': 'application/octet-stream' },
          timeoutMs: 120_000,
        })
        const uploadedAt = performance.now()
        assert.deepEqual(json<{ sha256: string; size: number }>(answer), {
          sha256: up.digest(),
          size: transferMib * mebi,
        })
        const down = await digestOf(await client.open(`${url}blob?mib=${transferMib}`, { timeoutMs: 120_000 }))
        assert.deepEqual(down, { digest: blobDigest(transferMib), size: transferMib * mebi })
        const speed = (ms: number): string => `${(transferMib / (ms / 1_000)).toFixed(0)} MiB/s`
        const grownMib = memory.grownMib()
        assert.ok(grownMib < 1.5 * transferMib, `the gateway grew by ${grownMib.toFixed(0)} MiB: it holds the body`)
        return `${transferMib} MiB up at ${speed(uploadedAt - startedAt)}, down at ${speed(performance.now() - uploadedAt)}, every byte right; the gateway's memory grew by ${Math.max(0, grownMib).toFixed(0)} MiB`
      } finally {
        memory.stop()
      }
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

/** Half of a body must come back before the other half is sent: whoever collects bodies on the way cannot do that. */
async function echoesMeanwhile(client: OutsideClient, url: string): Promise<void> {
  const body = new PassThrough()
  const opening = client.open(url, { method: 'POST', body, timeoutMs: 10_000 })
  body.write('one half, ')
  const response = (await opening).setEncoding('utf8')
  let text = ''
  for await (const part of response) {
    text += part
    if (text === 'one half, ') body.end('then the other')
  }
  assert.equal(text, 'one half, then the other')
}

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

async function digestOf(stream: AsyncIterable<Buffer>): Promise<{ digest: string; size: number }> {
  const hash = createHash('sha256')
  let size = 0
  for await (const chunk of stream) {
    hash.update(chunk)
    size += chunk.length
  }
  return { digest: hash.digest('hex'), size }
}

/** Follows the resident memory of a process: how far its peak after `settle` lies above the peak before. */
function watchMemory(pid: number): { settle(): void; grownMib(): number; stop(): void } {
  let before = 0
  let after = 0
  let settled = false
  const look = (): void => {
    const now = residentMib(pid)
    if (settled) after = Math.max(after, now)
    else before = Math.max(before, now)
  }
  const timer = setInterval(look, 20)
  return {
    settle: () => {
      if (!settled) look()
      settled = true
    },
    grownMib: () => after - before,
    stop: () => clearInterval(timer),
  }
}

function residentMib(pid: number): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024
}
