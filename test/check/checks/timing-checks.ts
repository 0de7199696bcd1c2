import assert from 'node:assert/strict'
import { json, type SampleAnswer } from '../expect.ts'
import type { Check } from '../run-checks.ts'
import { milliseconds, percentiles } from '../streams.ts'
import type { World } from '../world.ts'

const coldStarts = 7
const warmRequests = 300
const coldGoalMs = 60

/** How long things take through the gateway. Figures are printed; only answers are asserted, since the machine is shared. */
export const timingChecks: Check<World>[] = [
  {
    name: 'timing.cold',
    async run(world) {
      const onDisk: number[] = []
      const absent: number[] = []
      for (let index = 0; index < coldStarts; index++) {
        const program = await world.publishProgram('python', `cold-${index}`)
        absent.push(await coldStart(world, program.url))
        // A second program with the same code: the host has the code on disk, and the runtime waits in the pool.
        const twin = await world.publishTwin(program)
        onDisk.push(await coldStart(world, twin.url))
      }
      const goal =
        percentiles(onDisk).p50 <= coldGoalMs
          ? `goal ${coldGoalMs} ms met`
          : `goal ${coldGoalMs} ms MISSED by ${milliseconds(percentiles(onDisk).p50 - coldGoalMs)}`
      return `code on disk p50 ${milliseconds(percentiles(onDisk).p50)} (max ${milliseconds(percentiles(onDisk).p99)}), code absent p50 ${milliseconds(percentiles(absent).p50)} (n=${coldStarts}); ${goal}`
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
        through.push((await client.ask(url, { agent })).ms)
        const startedAt = performance.now()
        await (await fetch(`${host.url}/vm/${itemHash}/`)).arrayBuffer()
        direct.push(performance.now() - startedAt)
      }
      agent.destroy()
      const [a, b] = [percentiles(through), percentiles(direct)]
      return `through the gateway p50 ${milliseconds(a.p50)} p99 ${milliseconds(a.p99)}; host directly p50 ${milliseconds(b.p50)} p99 ${milliseconds(b.p99)}; overhead p50 ${milliseconds(a.p50 - b.p50)}`
    },
  },
]

/** First answer of a program that no host runs yet, once the pool of booted guests is full again. */
async function coldStart(world: World, url: string): Promise<number> {
  await world.network.poolsReady('python')
  const agent = world.client.keepAliveAgent()
  // The TLS connection stands before the clock starts: the figure is about the start of the program.
  await world.client.ask(world.program('python').url, { agent })
  const answer = await world.client.ask(url, { agent })
  agent.destroy()
  assert.equal(json<SampleAnswer>(answer).language, 'python')
  return answer.ms
}
