import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { seededRandom } from '../../core/random.ts'
import { type HostLoad, type HostView, type PickOptions, pickHost } from './pick-host.ts'
import { hashText, rendezvousRank } from './rendezvous.ts'
import { uptimeWeight } from './uptime-weight.ts'

const nowMs = 1_000_000
const program = hashText('program')

interface ViewOptions extends Partial<Omit<HostView, 'host'>>, Partial<Omit<HostLoad, 'id' | 'hash' | 'draining'>> {
  drained?: boolean
}

function view(id: string, options: ViewOptions = {}, key = program): HostView {
  const { waiting = 0, flowing = 0, upSinceMs = 0, drained = false, ...rest } = options
  const hash = hashText(id)
  return {
    host: { id, hash, waiting, flowing, draining: drained, upSinceMs },
    uptime: 1,
    weight: 1,
    rank: rendezvousRank(key, hash),
    near: true,
    draining: false,
    running: true,
    warmUntilMs: 0,
    fullUntilMs: 0,
    out: false,
    failShare: 0,
    sinceMs: 0,
    latencyMs: 10,
    measuredAtMs: nowMs,
    waiting,
    waitingSinceMs: nowMs,
    ...rest,
  }
}

function pickOptions(more: Partial<PickOptions> = {}): PickOptions {
  const settings = {
    uptimeMargin: 0.02,
    latencyHalfLifeMs: 5_000,
    slowStartMs: 10_000,
    spillInFlight: 64,
    coldStartMs: 10_000,
  }
  return { settings, nowMs, typicalMs: 10, tried: [], affinity: undefined, float: seededRandom(7).float, ...more }
}

const idOf = (hosts: readonly HostView[], options: PickOptions): string | undefined =>
  hosts[pickHost(hosts, options)]?.host.id

/** How often each host is taken, as a share. */
function shares(hosts: readonly HostView[], more: Partial<PickOptions> = {}, rounds = 4_000): Record<string, number> {
  const options = pickOptions(more)
  const counts: Record<string, number> = Object.fromEntries(hosts.map(({ host }) => [host.id, 0]))
  for (let i = 0; i < rounds; i++) {
    const id = idOf(hosts, options)
    if (id !== undefined) counts[id] = (counts[id] as number) + 1
  }
  return Object.fromEntries(Object.entries(counts).map(([id, count]) => [id, count / rounds]))
}

const anyHost = fc.record({
  id: fc.string({ minLength: 1 }),
  uptime: fc.double({ min: 0, max: 1, noNaN: true }),
  running: fc.boolean(),
  near: fc.boolean(),
  waiting: fc.nat(100),
  flowing: fc.nat(100),
  latencyMs: fc.oneof(fc.constant(-1), fc.double({ min: 0, max: 1e5, noNaN: true })),
  out: fc.boolean(),
  full: fc.boolean(),
  draining: fc.boolean(),
  drained: fc.boolean(),
  age: fc.nat(20_000),
  failShare: fc.double({ min: 0, max: 1, noNaN: true }),
})
const anyHosts = fc.uniqueArray(anyHost, { selector: ({ id }) => id, maxLength: 40 }).map((hosts) => {
  const best = Math.max(0, ...hosts.map(({ uptime }) => uptime))
  return hosts.map(({ id, full, age, ...more }) =>
    view(id, {
      ...more,
      weight: uptimeWeight(more.uptime, best, 0.02),
      fullUntilMs: full ? nowMs + 1 : 0,
      sinceMs: nowMs - age,
    }),
  )
})
const usable = ({ host, draining, fullUntilMs }: HostView): boolean =>
  !draining && !host.draining && fullUntilMs <= nowMs

test('never a host that is full, draining or tried; an ejected one, or one that is cold, only when nothing better is left', () => {
  fc.assert(
    fc.property(anyHosts, fc.nat(), fc.nat(3), fc.option(fc.nat()), (hosts, seed, triedCount, affinity) => {
      const tried = hosts.slice(0, triedCount).map(({ host }) => host.id)
      const options = pickOptions({ tried, affinity: affinity ?? undefined, float: seededRandom(seed).float })
      const picked = hosts[pickHost(hosts, options)]
      const left = hosts.filter((host) => usable(host) && !tried.includes(host.host.id))
      assert.equal(picked === undefined, left.length === 0)
      if (!picked) return
      assert.ok(left.includes(picked))
      const healthy = left.filter(({ out }) => !out)
      if (healthy.length === 0) return
      assert.ok(!picked.out)
      const warm = healthy.filter(({ running }) => running)
      // Cold although some run it: only when those drawn are overrun.
      if (warm.length > 0 && !picked.running) assert.ok(warm.some(({ host }) => host.waiting + host.flowing > 60))
      if (warm.length > 0 || picked.running) return
      const best = Math.max(...healthy.filter(({ near }) => near === picked.near).map(({ uptime }) => uptime))
      assert.ok(best - picked.uptime <= 0.02)
    }),
    { numRuns: 2_000 },
  )
})

test('of any two hosts the one that is better in every way is taken', () => {
  const number = fc.nat(200)
  fc.assert(
    fc.property(number, number, number, fc.nat(40), fc.nat(), (waiting, latencyMs, extraMs, more, seed) => {
      const better = view('better', { waiting, latencyMs: latencyMs + 2 })
      const worse = view('worse', { waiting: waiting + more, latencyMs: latencyMs + 3 + extraMs })
      const float = seededRandom(seed).float
      const options = pickOptions({ float, settings: { ...pickOptions().settings, spillInFlight: 1_000 } })
      assert.equal(idOf([better, worse], options), 'better')
      assert.equal(idOf([worse, better], options), 'better')
    }),
  )
})

test('a host that runs the program is preferred over a better one that would have to start it', () => {
  const hosts = [view('cold', { running: false }), view('warm', { uptime: 0.5, weight: 0.1, latencyMs: 500 })]
  assert.equal(idOf(hosts, pickOptions()), 'warm')
})

test('the better uptime is preferred, until that host has much more to do', () => {
  const weight = uptimeWeight(0.9, 1, 0.02)
  const best = (waiting: number): HostView => view('best', { waiting })
  const other = view('other', { uptime: 0.9, weight })
  assert.deepEqual(shares([best(0), other]), { best: 1, other: 0 })
  assert.deepEqual(shares([best(1), other]), { best: 1, other: 0 })
  assert.deepEqual(shares([best(10), other]), { best: 0, other: 1 })
})

test('a host five times as slow gets next to nothing while the others are not busy', () => {
  const hosts = [view('slow', { latencyMs: 50 }), view('a'), view('b', { latencyMs: 11 }), view('c', { waiting: 1 })]
  assert.equal(shares(hosts).slow, 0)
})

test('a host whose requests wait without any answer is avoided long before they fail', () => {
  const hung = view('hung', { latencyMs: 10, waiting: 1, waitingSinceMs: nowMs - 200 })
  assert.equal(shares([hung, view('a', { waiting: 3 }), view('b', { waiting: 3 })]).hung, 0)
})

test('one slow answer does not keep traffic away for good: what was measured fades', () => {
  const slow = (agoMs: number): HostView => view('slow', { latencyMs: 2_000, measuredAtMs: nowMs - agoMs })
  assert.equal(shares([slow(0), view('quick', { latencyMs: 15 })]).slow, 0)
  assert.equal(shares([slow(60_000), view('quick', { latencyMs: 15 })]).slow, 1)
})

test('an event stream weighs less than a request that waits', () => {
  assert.equal(shares([view('streams', { flowing: 20 }), view('busy', { waiting: 4 })]).streams, 1)
})

test('a host that comes back gets a share that grows', () => {
  const others = [view('a', { waiting: 5 }), view('b', { waiting: 5 })]
  const back = (agoMs: number): number => shares([view('back', { upSinceMs: nowMs - agoMs }), ...others]).back as number
  // Idle, it would win each draw it is in: two of three.
  assert.ok(Math.abs(back(1_000) - 0.1 * (2 / 3)) < 0.02, `${back(1_000)}`)
  assert.ok(Math.abs(back(5_000) - 0.5 * (2 / 3)) < 0.03, `${back(5_000)}`)
  assert.ok(Math.abs(back(10_000) - 2 / 3) < 0.03, `${back(10_000)}`)
})

test('when all hosts are new none gives way', () => {
  const hosts = ['a', 'b', 'c', 'd'].map((id) => view(id, { sinceMs: nowMs - 500 }))
  for (const share of Object.values(shares(hosts))) assert.ok(Math.abs(share - 0.25) < 0.03)
})

test('cold hosts are chosen alike by everybody for one program, and spread over programs', () => {
  const hostsOf = (key: string): HostView[] =>
    ['a', 'b', 'c', 'd'].map((id) => view(id, { running: false }, hashText(key)))
  const chosen = Array.from({ length: 200 }, (_, i) => idOf(hostsOf(`program ${i}`), pickOptions()))
  assert.equal(new Set(chosen).size, 4)
  assert.equal(idOf(hostsOf('program 0').reverse(), pickOptions({ float: seededRandom(99).float })), chosen[0])
})

test('a start that hangs sends the next requests to another host', () => {
  const hosts = ['a', 'b', 'c'].map((id) => view(id, { running: false }))
  const first = hosts[pickHost(hosts, pickOptions())] as HostView
  const hanging = { ...first, waiting: 2, waitingSinceMs: nowMs - 10_001 }
  const next = hosts.map((host) => (host === first ? hanging : host))
  assert.notEqual(idOf(next, pickOptions()), first.host.id)
  const starting = { ...hanging, waitingSinceMs: nowMs - 9_000 }
  assert.equal(
    idOf(
      next.map((host) => (host === hanging ? starting : host)),
      pickOptions(),
    ),
    first.host.id,
  )
})

test('when the hosts that run a program are overrun, it is started on one more', () => {
  const hosts = (waiting: number): HostView[] => [view('warm', { waiting }), view('cold', { running: false })]
  assert.equal(idOf(hosts(63), pickOptions()), 'warm')
  assert.equal(idOf(hosts(64), pickOptions()), 'cold')
})

test('the own zone gets all while most of it is healthy, and less in proportion afterwards', () => {
  const zone = (healthy: number): number => {
    const own = Array.from({ length: 10 }, (_, i) => view(`own ${i}`, { out: i >= healthy }))
    const other = Array.from({ length: 10 }, (_, i) => view(`other ${i}`, { near: false }))
    const all = shares([...own, ...other])
    return Object.entries(all).reduce((sum, [id, share]) => sum + (id.startsWith('own') ? share : 0), 0)
  }
  assert.ok(zone(10) > 0.999)
  assert.ok(zone(8) > 0.999)
  assert.ok(Math.abs(zone(5) - 0.7) < 0.04)
  assert.ok(Math.abs(zone(1) - 0.14) < 0.04)
  assert.equal(zone(0), 0)
})

test('requests of one key go to one host; keys spread by weight; a host that goes moves its own keys alone', () => {
  const ids = ['a', 'b', 'c', 'd', 'e']
  const hosts = ids.map((id) => view(id, { weight: id === 'e' ? 0.5 : 1 }))
  const keys = Array.from({ length: 4_500 }, (_, i) => hashText(`visitor ${i}`))
  const where = (list: readonly HostView[]): (string | undefined)[] =>
    keys.map((affinity) => idOf(list, pickOptions({ affinity })))
  const before = where(hosts)
  for (const id of ids) {
    const share = before.filter((found) => found === id).length / keys.length
    assert.ok(Math.abs(share - (id === 'e' ? 0.5 : 1) / 4.5) < 0.025, `${id}: ${share}`)
  }
  for (const gone of [{ out: true }, { fullUntilMs: nowMs + 1 }, { draining: true }]) {
    const after = where(hosts.map((host) => (host.host.id === 'b' ? { ...host, ...gone } : host)))
    assert.ok(after.every((id, i) => (before[i] === 'b' ? id !== 'b' : id === before[i])))
  }
})
