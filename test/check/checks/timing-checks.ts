import assert from 'node:assert/strict'
import { json, type SampleAnswer } from '../expect.ts'
import type { Check } from '../run-checks.ts'
import { milliseconds, percentiles } from '../streams.ts'
import type { PublishedProgram, World } from '../world.ts'

const coldStarts = 7
const warmRequests = 300
const coldGoalMs = 60

/** How long things take through the gateway. Figures are printed; only answers are asserted, since the machine is shared. */
export const timingChecks: Check<World>[] = [
  {
    name: 'timing.cold',
    async run(world) {
      const onDisk: ColdStart[] = []
      const absent: ColdStart[] = []
      for (let index = 0; index < coldStarts; index++) {
        const version = `cold-${index}`
        const program = await world.publishProgram('python', version)
        absent.push(await coldStart(world, program, version))
        // A second program with the same code: the host has the code on disk, and the runtime waits in the pool.
        onDisk.push(await coldStart(world, await world.publishTwin(program), version))
      }
      const [disk, fetched] = [onDisk, absent].map((starts) => percentiles(starts.map(({ answerMs }) => answerMs)))
      assert.ok(disk && fetched)
      const handshake = percentiles(onDisk.map(({ handshakeMs }) => handshakeMs))
      const goal = disk.p50 <= coldGoalMs ? 'met' : `MISSED by ${milliseconds(disk.p50 - coldGoalMs)}`
      return [
        `code on disk p50 ${milliseconds(disk.p50)} (max ${milliseconds(disk.p99)}; goal ${coldGoalMs} ms ${goal})`,
        `code absent p50 ${milliseconds(fetched.p50)}`,
        `TLS handshake and look-up of the name before it p50 ${milliseconds(handshake.p50)} (n=${coldStarts})`,
      ].join(', ')
    },
  },
  {
    name: 'timing.warm',
    async run(world) {
      const { client, network } = world
      const { url, itemHash } = world.program('python')
      const agent = client.keepAliveAgent()
      const through: number[] = []
      const direct: number[] = []
      const host = network.hosts[0]
      assert.ok(host)
      // One after the other in turns, so that both see the same machine.
      for (let index = 0; index < warmRequests; index++) {
        const answer = await client.ask(url, { agent })
        assert.equal(json<SampleAnswer>(answer).language, 'python')
        through.push(answer.ms)
        const startedAt = performance.now()
        const straight = await fetch(`${host.url}/vm/${itemHash}/`)
        await straight.arrayBuffer()
        assert.equal(straight.status, 200)
        direct.push(performance.now() - startedAt)
      }
      agent.destroy()
      const [a, b] = [percentiles(through), percentiles(direct)]
      return `through the gateway p50 ${milliseconds(a.p50)} p99 ${milliseconds(a.p99)}; host directly p50 ${milliseconds(b.p50)} p99 ${milliseconds(b.p99)}; overhead p50 ${milliseconds(a.p50 - b.p50)}`
    },
  },
]

interface ColdStart {
  handshakeMs: number
  /** From the request on an open connection to the end of the answer. */
  answerMs: number
}

/** First answer of a program that no host runs yet, once the pool of booted guests is full again. */
async function coldStart(world: World, program: PublishedProgram, version: string): Promise<ColdStart> {
  await world.network.poolsReady('python')
  const startedAt = performance.now()
  const connection = await world.client.connectTls(new URL(program.url).hostname)
  const handshakeMs = performance.now() - startedAt
  const answer = await world.client.ask(program.url, { connection })
  connection.destroy()
  assert.equal(json<SampleAnswer>(answer).version, version)
  return { handshakeMs, answerMs: answer.ms }
}
