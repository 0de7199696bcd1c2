import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FakeClock } from '../../core/clock.ts'
import { memoryLog } from '../../core/log.ts'
import { createMetrics } from '../../core/metrics.ts'
import { seededRandom } from '../../core/random.ts'
import { gatewayMetrics } from '../metrics.ts'
import type { HostCandidate } from '../ports.ts'
import { FakeError } from '../testing/fakes.ts'
import { Balancer, type Lease, type ProgramHosts } from './balancer.ts'
import { balanceConfigSchema } from './config.ts'
import { HostHealth } from './host-health.ts'

const candidate = (id: string, more: Partial<HostCandidate> = {}): HostCandidate => ({
  id,
  origin: `http://${id}`,
  uptime: 1,
  running: true,
  ...more,
})

/** A balancer over a list that can be changed, hosts that serve or do not, and a clock that is moved. */
function startBalancer(list: HostCandidate[], options: Record<string, unknown> = {}) {
  const clock = new FakeClock()
  const config = balanceConfigSchema.parse(options)
  const registry = createMetrics()
  const metrics = gatewayMetrics(registry)
  const random = seededRandom(1)
  const log = memoryLog()
  const world = { list, error: undefined as Error | undefined, asked: 0, down: new Set<string>() }
  const probes: { origin: string; path: string; atMs: number }[] = []
  const startMs = clock.monotonicMs()
  const probe = async (origin: string, path: string): Promise<boolean> => {
    probes.push({ origin, path, atMs: clock.monotonicMs() - startMs })
    return !world.down.has(origin) && !world.down.has(origin + path)
  }
  const hosts = {
    async hosts() {
      world.asked++
      if (world.error) throw world.error
      return world.list
    },
  }
  const health = new HostHealth(config, { clock, metrics, random, probe })
  const balancer = new Balancer(config, { hosts, health, clock, random, metrics, log })
  const find = async (itemHash = 'h', path?: string): Promise<ProgramHosts> => balancer.find(itemHash, path)
  const take = async (tried: string[] = [], affinityKey?: string): Promise<Lease | undefined> =>
    balancer.take(await find(), { tried, affinityKey })
  /** Takes hosts, one after another, and tells how many requests each got. */
  const served = async (
    requests: number,
    verdictOf = (_id: string): 'answered' | 'failed' | 'refused' => 'answered',
  ) => {
    const counts: Record<string, number> = {}
    for (let i = 0; i < requests; i++) {
      const lease = await take()
      if (!lease) continue
      counts[lease.id] = (counts[lease.id] ?? 0) + 1
      const verdict = verdictOf(lease.id)
      lease.end(verdict, verdict === 'answered' ? 10 : undefined)
    }
    return counts
  }
  const metric = async (name: string): Promise<number> =>
    Number(new RegExp(`^${name} (\\d+)`, 'm').exec(await registry.text())?.[1])
  return { clock, config, health, balancer, world, probes, log, find, take, served, metric }
}

test('the list of hosts is asked for once a second at most, and used on while it cannot be had', async () => {
  const { clock, balancer, world, find, health } = startBalancer([candidate('a')])
  await Promise.all(Array.from({ length: 20 }, () => find()))
  assert.ok(!(balancer.find('h') instanceof Promise), 'a fresh list costs no promise')
  assert.equal(world.asked, 1)
  await clock.advance(1_001)
  world.error = new FakeError('NETWORK_DOWN', 502)
  assert.equal((await find()).size, 1)
  world.error = new FakeError('HASH_UNKNOWN', 404)
  await assert.rejects(find(), { code: 'HASH_UNKNOWN' })
  health[Symbol.dispose]()
})

test('a cold host that has answered counts as warm; one that said it is full is left alone for a while', async () => {
  const cold = [candidate('a', { running: false }), candidate('b', { running: false })]
  const { clock, take, health } = startBalancer(cold)
  const first = (await take()) as Lease
  first.endFull(5_000)
  const second = (await take()) as Lease
  assert.notEqual(second.id, first.id)
  second.end('answered', 10)
  await clock.advance(6_000)
  assert.equal((await take())?.id, second.id)
  health[Symbol.dispose]()
})

test('a host that keeps failing gets no traffic, is probed ever less often, and comes back when a probe succeeds', async () => {
  const { clock, world, probes, served, health, metric } = startBalancer([candidate('a'), candidate('b')])
  world.down.add('http://a')
  const verdictOf = (id: string) => (id === 'a' ? 'failed' : 'answered')
  assert.equal((await served(100, verdictOf)).a, 3)
  for (let second = 0; second < 36; second++) {
    await clock.advance(1_000)
    assert.equal((await served(3, verdictOf)).a, undefined)
  }
  assert.deepEqual(
    probes.filter(({ origin }) => origin === 'http://a').map(({ atMs }) => atMs / 1_000),
    [0, 1, 3, 7, 15, 25, 35],
  )
  world.down.clear()
  await clock.advance(9_500)
  assert.ok(((await served(200)).a ?? 0) > 0)
  assert.deepEqual(
    [await metric('gateway_host_ejections_total'), await metric('gateway_host_recoveries_total')],
    [1, 1],
  )
  health[Symbol.dispose]()
})

test('a refused connection takes a host out at once; a late answer does not bring it back', async () => {
  const { clock, take, world, served, health } = startBalancer([candidate('a'), candidate('b')])
  world.down.add('http://a')
  const [first, second] = [(await take(['b'])) as Lease, (await take(['b'])) as Lease]
  first.end('refused')
  second.end('answered', 5)
  assert.deepEqual(await served(20), { b: 20 })
  await clock.advance(60_000)
  assert.deepEqual(await served(20), { b: 20 })
  health[Symbol.dispose]()
})

test('a host that fails again right after it came back goes out after one failure, for longer', async () => {
  const { clock, served, take, health } = startBalancer([candidate('a'), candidate('b')])
  ;(await take(['b']))?.end('refused')
  await clock.advance(1_000)
  const again = (await take(['b'])) as Lease
  assert.equal(again.id, 'a')
  again.end('failed')
  await clock.advance(1_500)
  assert.deepEqual(await served(40), { b: 40 })
  await clock.advance(500)
  assert.ok(((await served(200)).a ?? 0) > 0)
  health[Symbol.dispose]()
})

test('what one program breaks takes no host from another program, unless a probe finds the host down', async () => {
  const { clock, balancer, find, world, health } = startBalancer([candidate('a'), candidate('b')])
  const [broken, fine] = [await find('broken'), await find('fine')]
  const used = (program: ProgramHosts): Set<string> => {
    const leases = Array.from({ length: 40 }, () => balancer.take(program, { tried: [] }) as Lease)
    for (const lease of leases) lease.end('unknown')
    return new Set(leases.map(({ id }) => id))
  }
  for (let i = 0; i < 3; i++) balancer.take(broken, { tried: ['b'] })?.end('failed')
  assert.deepEqual([...used(broken)], ['b'])
  assert.equal(used(fine).size, 2)
  await clock.advance(1_000)
  world.down.add('http://a')
  balancer.take(fine, { tried: ['b'] })?.end('refused')
  await clock.advance(100)
  assert.deepEqual([[...used(broken)], [...used(fine)]], [['b'], ['b']])
  health[Symbol.dispose]()
})

test('when every host is ejected, one is tried all the same', async () => {
  const { take, clock, world, health } = startBalancer([candidate('a'), candidate('b')])
  world.down.add('http://a').add('http://b')
  for (const other of ['a', 'b']) (await take([other]))?.end('refused')
  await clock.advance(100)
  assert.ok(await take())
  health[Symbol.dispose]()
})

test('a host that falls silent is found by its checks, though no request has ended', async () => {
  const { take, clock, world, served, probes, health } = startBalancer([candidate('a'), candidate('b')])
  await served(50)
  world.down.add('http://a')
  const stuck = await take(['b'])
  await clock.advance(10_000)
  assert.deepEqual(await served(50), { b: 50 })
  assert.ok(probes.length >= 2)
  assert.equal(stuck?.id, 'a')
  health[Symbol.dispose]()
})

test('programs with the same probe share what it finds at a host; another probe is another matter', async () => {
  const { clock, balancer, find, world, probes, health } = startBalancer([candidate('a'), candidate('b')])
  const programs = [
    await find('one', '/ready'),
    await find('two', '/ready'),
    await find('three', '/live'),
    await find('four'),
  ]
  const use = (): string[][] =>
    programs.map((program) => {
      const ids = new Set<string>()
      for (let i = 0; i < 40; i++) {
        const lease = balancer.take(program, { tried: [] }) as Lease
        ids.add(lease.id)
        lease.end('answered', 10)
      }
      return [...ids].sort()
    })
  world.down.add('http://a/ready')
  use()
  await clock.advance(8_000)
  assert.deepEqual(use(), [['b'], ['b'], ['a', 'b'], ['a', 'b']])
  const asked = probes.filter(({ origin, path }) => origin === 'http://a' && path === '/ready')
  assert.ok(asked.length >= 2 && asked.length <= 4, `${asked.length} probes for two programs`)
  health[Symbol.dispose]()
})

test('a host that nobody uses is not probed', async () => {
  const { clock, served, probes, health } = startBalancer([candidate('a'), candidate('b', { running: false })])
  await served(1)
  await clock.advance(600_000)
  assert.ok(probes.length > 0 && probes.every(({ origin, atMs }) => origin === 'http://a' && atMs < 75_000))
  health[Symbol.dispose]()
})

test('probes of many hosts do not come at the same moment', async () => {
  const { clock, served, probes, health } = startBalancer(Array.from({ length: 20 }, (_, i) => candidate(`${i}`)))
  await served(400)
  await clock.advance(7_600)
  const times = [...new Map(probes.toReversed().map(({ origin, atMs }) => [origin, atMs])).values()]
  assert.equal(times.length, 20)
  assert.ok(Math.max(...times) - Math.min(...times) > 1_500)
  health[Symbol.dispose]()
})

test('a draining host gets no new request, whoever says so, and all again afterwards', async () => {
  const { clock, balancer, take, served, world, health } = startBalancer([candidate('a'), candidate('b')])
  const flying = (await take(['b'])) as Lease
  balancer.drainHost('a')
  assert.deepEqual(await served(20), { b: 20 })
  flying.end('answered', 10)
  assert.equal(await take(['b']), undefined)
  balancer.undrainHost('a')
  await clock.advance(20_000)
  assert.ok(((await served(100)).a ?? 0) > 20)
  world.list = [candidate('a'), candidate('b', { draining: true })]
  await clock.advance(1_001)
  assert.deepEqual(await served(20), { a: 20 })
  health[Symbol.dispose]()
})

test('a list that shrinks at once is held for ten minutes, told once, and the hold ends when it grows back', async () => {
  const all = Array.from({ length: 10 }, (_, i) => candidate(`${i}`))
  const { clock, find, world, log, metric, health } = startBalancer(all)
  const sizeAfter = async (ms: number): Promise<number> => {
    await clock.advance(ms)
    return (await find()).size
  }
  assert.equal(await sizeAfter(0), 10)
  world.list = all.slice(0, 5)
  assert.equal(await sizeAfter(1_001), 10)
  assert.equal(await sizeAfter(1_001), 10)
  assert.equal(await metric('gateway_host_list_holds_total'), 1)
  assert.equal(log.lines.filter(({ level }) => level === 'warn').length, 1)
  world.list = all
  assert.equal(await sizeAfter(1_001), 10)
  world.list = all.slice(0, 5)
  assert.equal(await sizeAfter(1_001), 10)
  assert.equal(await metric('gateway_host_list_holds_total'), 2)
  assert.equal(await sizeAfter(599_000), 10)
  assert.equal(await sizeAfter(1_001), 5)
  health[Symbol.dispose]()
})

test('a second request goes to another host, after the time by which most answers have come', async () => {
  const { balancer, find, take, served, health } = startBalancer([candidate('a'), candidate('b')])
  assert.equal(balancer.hedgeAfterMs(await find()), undefined)
  await served(60)
  assert.equal(balancer.hedgeAfterMs(await find()), 20)
  const first = (await take()) as Lease
  assert.notEqual((await take([first.id]))?.id, first.id)
  health[Symbol.dispose]()
})

test('a key stays with its host, and goes elsewhere only while that host is out', async () => {
  const { clock, take, world, health } = startBalancer(['a', 'b', 'c', 'd'].map((id) => candidate(id)))
  const hostOf = async (key: string): Promise<string> => {
    const lease = (await take([], key)) as Lease
    lease.end('answered', 10)
    return lease.id
  }
  const before = await Promise.all(Array.from({ length: 20 }, (_, i) => hostOf(`visitor ${i}`)))
  assert.equal(new Set(before).size, 4)
  const gone = before[0] as string
  world.down.add(`http://${gone}`)
  ;(await take(['a', 'b', 'c', 'd'].filter((id) => id !== gone)))?.end('refused')
  await clock.advance(100)
  for (const [i, id] of before.entries()) {
    const now = await hostOf(`visitor ${i}`)
    if (id === gone) assert.notEqual(now, gone)
    else assert.equal(now, id)
  }
  world.down.clear()
  await clock.advance(30_000)
  assert.equal(await hostOf('visitor 0'), gone)
  health[Symbol.dispose]()
})

test('an end that is told twice counts once', async () => {
  const { take, health } = startBalancer([candidate('a')])
  const lease = (await take()) as Lease
  lease.began(5)
  lease.end('answered', 5)
  lease.end('failed')
  lease.endFull(5_000)
  assert.deepEqual(
    health.all().map(({ inFlight, failuresInRow }) => [inFlight, failuresInRow]),
    [[0, 0]],
  )
  assert.ok(await take())
  health[Symbol.dispose]()
})
