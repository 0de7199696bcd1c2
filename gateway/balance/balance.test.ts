import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { FakeClock } from '../../core/clock.ts'
import { createMetrics } from '../../core/metrics.ts'
import { seededRandom } from '../../core/random.ts'
import { gatewayConfigSchema } from '../config.ts'
import { gatewayMetrics } from '../metrics.ts'
import type { HostCandidate } from '../ports.ts'
import { FakeError } from '../testing/fakes.ts'
import { Balancer } from './balancer.ts'
import { HostHealth } from './host-health.ts'
import { type HostView, pickHost } from './pick-host.ts'
import { RetryBudget } from './retry-budget.ts'

const view = (id: string, options: Partial<HostView> = {}): HostView => ({
  id,
  uptime: 1,
  running: true,
  inFlight: 0,
  latencyMs: 10,
  ejected: false,
  full: false,
  ...options,
})
const options = { key: 'hash', uptimeMargin: 0.02, float: seededRandom(7).float }

test('a host that runs the program is preferred over a better one that would have to start it', () => {
  assert.equal(
    pickHost([view('cold', { running: false }), view('warm', { uptime: 0.5, latencyMs: 500 })], options)?.id,
    'warm',
  )
})

test('among warm hosts the better uptime is preferred', () => {
  assert.equal(
    pickHost([view('a', { uptime: 0.9, latencyMs: 1 }), view('b', { uptime: 0.99, inFlight: 50 })], options)?.id,
    'b',
  )
})

test('among near-equals the less loaded of two is taken', () => {
  const counts = new Map<string, number>()
  const hosts = [view('busy', { inFlight: 20 }), view('slow', { latencyMs: 400 }), view('free')]
  for (let i = 0; i < 300; i++) {
    const { id } = pickHost(hosts, options) as HostView
    counts.set(id, (counts.get(id) ?? 0) + 1)
  }
  assert.ok((counts.get('free') ?? 0) > 150, JSON.stringify([...counts]))
})

test('cold hosts are chosen alike by everybody for one program, and spread over programs', () => {
  const hosts = ['a', 'b', 'c', 'd'].map((id) => view(id, { running: false }))
  const chosen = Array.from({ length: 200 }, (_, i) => pickHost(hosts, { ...options, key: `program ${i}` })?.id)
  assert.deepEqual(new Set(chosen).size, 4)
  assert.equal(pickHost([...hosts].reverse(), { ...options, key: 'program 0' })?.id, chosen[0])
})

test('the choice never falls on a host that is full, nor on an ejected one while another is left', () => {
  const host = fc.record({
    id: fc.string({ minLength: 1 }),
    uptime: fc.double({ min: 0, max: 1, noNaN: true }),
    running: fc.boolean(),
    inFlight: fc.nat(100),
    latencyMs: fc.option(fc.double({ min: 0, max: 1e5, noNaN: true }), { nil: undefined }),
    ejected: fc.boolean(),
    full: fc.boolean(),
  })
  fc.assert(
    fc.property(fc.uniqueArray(host, { selector: ({ id }) => id, maxLength: 8 }), fc.nat(), (hosts, seed) => {
      const picked = pickHost(hosts, { ...options, float: seededRandom(seed).float })
      const withRoom = hosts.filter(({ full }) => !full)
      assert.equal(picked === undefined, withRoom.length === 0)
      if (!picked) return
      assert.ok(!picked.full)
      const healthy = withRoom.filter(({ ejected }) => !ejected)
      if (healthy.length > 0) assert.ok(!picked.ejected)
      const peers = healthy.length > 0 ? healthy : withRoom
      if (peers.some(({ running }) => running)) assert.ok(picked.running)
      const best = Math.max(...peers.filter(({ running }) => running === picked.running).map(({ uptime }) => uptime))
      assert.ok(best - picked.uptime <= 0.02)
    }),
  )
})

test('retries are bounded to a share of the requests, with a floor, and the bound moves on with time', async () => {
  const clock = new FakeClock()
  const budget = new RetryBudget({ clock, share: 0.2, floor: 3 })
  const take = (): number => {
    let taken = 0
    while (taken < 1_000 && budget.takeRetry()) taken++
    return taken
  }
  assert.equal(take(), 3)
  for (let i = 0; i < 100; i++) budget.countRequest()
  assert.equal(take(), 17)
  await clock.advance(10_001)
  assert.equal(take(), 3)
})

function healthOf(serves: () => boolean) {
  const clock = new FakeClock()
  const config = gatewayConfigSchema.parse({}).balance
  const probes: number[] = []
  const probe = async (): Promise<boolean> => {
    probes.push(clock.nowMs())
    return serves()
  }
  const health = new HostHealth(config, { clock, metrics: gatewayMetrics(createMetrics()), probe })
  return { clock, config, health, probes }
}
const candidate = (id: string, more: Partial<HostCandidate> = {}): HostCandidate => ({
  id,
  origin: `http://${id}`,
  uptime: 1,
  running: true,
  ...more,
})

test('a host that keeps failing is taken out, probed ever less often, and comes back when a probe succeeds', async () => {
  let serves = false
  const { clock, health, probes } = healthOf(() => serves)
  const state = health.of(candidate('a'))
  for (let i = 0; i < 3; i++) {
    assert.equal(state.ejected, false)
    health.begin(state)
    health.end(state, 'failed')
  }
  assert.equal(state.ejected, true)
  const startMs = clock.nowMs()
  await clock.advance(36_000)
  assert.deepEqual(
    probes.map((atMs) => (atMs - startMs) / 1_000),
    [1, 3, 7, 15, 25, 35],
  )
  serves = true
  await clock.advance(10_000)
  assert.equal(state.ejected, false)
  health[Symbol.dispose]()
})

test('one slow answer does not keep traffic away for good: what was measured fades', async () => {
  const { clock, health } = healthOf(() => true)
  const [slow, quick] = [health.of(candidate('slow')), health.of(candidate('quick'))]
  const answer = (state: typeof slow, ms: number): void => {
    health.begin(state)
    health.end(state, 'answered', ms)
  }
  answer(slow, 2_000)
  answer(quick, 10)
  assert.equal(health.latencyMs(slow), 2_000)
  for (let i = 0; i < 45; i++) {
    await clock.advance(1_000)
    answer(quick, 10)
  }
  assert.ok((health.latencyMs(slow) as number) < (health.latencyMs(quick) as number))
  health[Symbol.dispose]()
})

test('a refused connection takes a host out at once; a late answer does not bring it back', async () => {
  const { health } = healthOf(() => false)
  const state = health.of(candidate('a'))
  health.begin(state)
  health.begin(state)
  health.end(state, 'refused')
  health.end(state, 'answered', 5)
  assert.equal(state.ejected, true)
  assert.equal(state.inFlight, 0)
  health[Symbol.dispose]()
})

test('a host that fails again right after it came back goes out after one failure, for longer', async () => {
  const { clock, health, probes } = healthOf(() => true)
  const state = health.of(candidate('a'))
  health.begin(state)
  health.end(state, 'refused')
  await clock.advance(1_000)
  assert.equal(state.ejected, false)
  health.begin(state)
  health.end(state, 'failed')
  assert.equal(state.ejected, true)
  await clock.advance(1_500)
  assert.equal(probes.length, 1)
  health[Symbol.dispose]()
})

test('the list of hosts is asked for once a second at most, and used on while it cannot be had', async () => {
  const { clock, config, health } = healthOf(() => true)
  let answer: HostCandidate[] | Error = [candidate('a')]
  let asked = 0
  const hosts = {
    async hosts() {
      asked++
      if (answer instanceof Error) throw answer
      return answer
    },
  }
  const balancer = new Balancer(config, { hosts, health, clock, random: seededRandom(1) })
  await Promise.all(Array.from({ length: 20 }, () => balancer.hosts('h')))
  await balancer.hosts('h')
  assert.equal(asked, 1)
  await clock.advance(1_001)
  answer = new FakeError('NETWORK_DOWN', 502)
  assert.equal((await balancer.hosts('h')).length, 1)
  answer = new FakeError('HASH_UNKNOWN', 404)
  await assert.rejects(balancer.hosts('h'), { code: 'HASH_UNKNOWN' })
  health[Symbol.dispose]()
})

test('a cold host that has answered counts as warm; one that said it is full is left alone for a while', async () => {
  const { clock, config, health } = healthOf(() => true)
  const list = [candidate('a', { running: false }), candidate('b', { running: false })]
  const balancer = new Balancer(config, { hosts: { hosts: async () => list }, health, clock, random: seededRandom(1) })
  const first = balancer.take('h', list, new Set())
  assert.ok(first)
  first.endFull(5_000)
  const second = balancer.take('h', list, new Set())
  assert.notEqual(second?.id, first.id)
  second?.end('answered', 10)
  await clock.advance(6_000)
  assert.equal(balancer.take('h', list, new Set())?.id, second?.id)
  health[Symbol.dispose]()
})
