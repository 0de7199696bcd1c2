import assert from 'node:assert/strict'
import { describeError } from '../../../core/errors.ts'
import { eventually, json, type SampleAnswer } from '../expect.ts'
import type { Check } from '../run-checks.ts'
import type { World } from '../world.ts'

const requests = 200
/** A gateway that ignores uptime chooses by hash and is right by chance: once in 2^6 with three for each of two orders. */
const uptimePrograms = 3

/** Which host gets the traffic, and what happens when it dies. */
export const balanceChecks: Check<World>[] = [
  {
    name: 'balance.warm',
    async run(world) {
      // Only the host with the worse uptime runs this program: warmth must beat uptime.
      const program = await world.publishProgram('python', 'warm-1')
      const worse = world.network.hosts[1]
      assert.ok(worse)
      await world.network.setUptimes([0.9, 0.5])
      const direct = await fetch(`${worse.url}/vm/${program.itemHash}/`)
      const { bootId } = (await direct.json()) as SampleAnswer
      // The gateway learns who runs what by asking the hosts, as long as there is traffic.
      for (const endMs = performance.now() + 2_000; performance.now() < endMs; )
        await world.client.ask(world.program('python').url)
      for (let index = 0; index < 20; index++)
        assert.equal(json<SampleAnswer>(await world.client.ask(program.url)).bootId, bootId)
      return 'the host that runs the program gets all requests, though the other has the better uptime'
    },
  },
  {
    name: 'balance.uptime',
    async run(world) {
      const seen: string[] = []
      for (const [index, uptimes] of [
        [0.9, 0.5],
        [0.5, 0.9],
      ].entries()) {
        await world.network.setUptimes(uptimes as [number, number])
        const better = world.network.hosts[index]
        assert.ok(better)
        for (let count = 0; count < uptimePrograms; count++) {
          const program = await world.publishProgram('python', `uptime-${index}-${count}`)
          const first = json<SampleAnswer>(await world.client.ask(program.url))
          const there = (await (await fetch(`${better.url}/vm/${program.itemHash}/`)).json()) as SampleAnswer
          assert.equal(
            first.bootId,
            there.bootId,
            'a program that runs nowhere is started on the host with the better uptime',
          )
        }
        seen.push(`${uptimes.join(' against ')}: host ${index + 1}`)
      }
      await world.network.setUptimes([0.9, 0.9])
      return seen.join('; ')
    },
  },
  {
    name: 'balance.failover',
    async run(world) {
      const { network, client } = world
      const program = world.program('python')
      await network.setUptimes([0.9, 0.9])
      const bootIds: string[] = []
      for (const host of network.hosts)
        bootIds.push(((await (await fetch(`${host.url}/vm/${program.itemHash}/`)).json()) as SampleAnswer).bootId)
      const victim = network.hosts[bootIds.indexOf(json<SampleAnswer>(await client.ask(program.url)).bootId)]
      assert.ok(victim, 'one of the two hosts serves the program')
      const agent = client.keepAliveAgent()
      const served = new Map<string, number>()
      const failures: string[] = []
      let sent = 0
      const worker = async (): Promise<void> => {
        while (sent < requests) {
          const number = ++sent
          if (number === 50) void victim.role.kill()
          try {
            const { bootId } = json<SampleAnswer>(await client.ask(program.url, { agent }))
            served.set(bootId, (served.get(bootId) ?? 0) + 1)
          } catch (error) {
            failures.push(describeError(error).slice(0, 300))
          }
        }
      }
      await Promise.all(Array.from({ length: 8 }, worker))
      agent.destroy()
      const counts = [...served.values()].join(' + ')
      await victim.role.start()
      assert.equal(failures.length, 0, `${failures.length} of ${requests} failed (served: ${counts}): ${failures[0]}`)
      const back = await eventually(
        'the killed host is back in use',
        60_000,
        async () => {
          const fresh = (await (await fetch(`${victim.url}/vm/${program.itemHash}/`)).json()) as SampleAnswer
          for (let index = 0; index < 20; index++) {
            if (json<SampleAnswer>(await client.ask(program.url)).bootId === fresh.bootId) return true
          }
          return undefined
        },
        500,
      )
      assert.ok(back)
      return `0 of ${requests} failed (served ${counts}) while ${victim.role.name} was killed; it is back in use`
    },
  },
  {
    name: 'privacy.headers',
    async run(world) {
      const telling = {
        'X-Forwarded-For': '203.0.113.9',
        'X-Real-IP': '203.0.113.9',
        Forwarded: 'for=203.0.113.9',
        'CF-Connecting-IP': '203.0.113.9',
        'True-Client-IP': '203.0.113.9',
        Via: '1.1 office-proxy',
      }
      const seen = json<[string, string][]>(
        await world.client.ask(`${world.program('python').url}headers`, { headers: { ...telling, 'X-App': 'kept' } }),
      )
      // The host removes such fields too, so what the gateway sends it is looked at by itself.
      const sent = await world.withGarbageHost(async (program, heard) => {
        await world.client.ask(`${program.url}headers`, { headers: { ...telling, 'X-App': 'kept' } })
        return heard().split('\r\n')
      })
      assert.ok(sent.includes('X-App: kept'), `a host heard the request: ${sent}`)
      for (const [who, text] of [
        ['program', JSON.stringify(seen)],
        // The address that the stand-in listens at is no address of a requester.
        ['host', sent.join('\n').replaceAll(/127\.0\.0\.1:\d+/g, '')],
      ] as const) {
        for (const word of ['203.0.113.9', '127.0.0.1', 'office-proxy', 'forwarded', 'real-ip'])
          assert.ok(!text.toLowerCase().includes(word), `the ${who} saw ${word}: ${text}`)
      }
      assert.ok(
        seen.some(([name, value]) => name.toLowerCase() === 'x-app' && value === 'kept'),
        'fields of the application pass',
      )
      return `neither host nor program learns who asks; the program saw only: ${seen.map(([name]) => name.toLowerCase()).join(', ')}`
    },
  },
]
