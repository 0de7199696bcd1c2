import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { FakeClock } from '../../core/clock.ts'
import { seededRandom } from '../../core/random.ts'
import type { HostCandidate } from '../ports.ts'
import { type HostCheck, hostProbe, planAfterProbe, planCheck } from './active-checks.ts'
import { chooseSeats, seatsMax } from './choose-seats.ts'
import { type AttemptRecord, countAttempt, isOut, planEjection } from './ejection.ts'
import { hedgeAfter, noLateAnswers, withAnswer } from './late-answers.ts'
import { averageWith, expectedMs } from './latency.ts'
import { rendezvousRank } from './rendezvous.ts'
import { RetryBudget } from './retry-budget.ts'
import { type BelievedList, planShrink } from './shrink-guard.ts'
import { slowStartShare } from './slow-start.ts'

const ejection = { ejectAfter: 3, outlierRequestsMin: 20, outlierFailureShare: 0.3 }

function recordOf(failures: readonly boolean[]): AttemptRecord {
  const record = { failuresInRow: 0, attempts: 0, failShare: 0 }
  for (const failed of failures) countAttempt(record, failed)
  return record
}

test('a host is ejected for a refusal, for failures in a row, or for failing far more often than the others', () => {
  assert.ok(planEjection(recordOf([]), true, 0, ejection))
  assert.ok(planEjection(recordOf([true, true, true]), false, 0, ejection))
  assert.ok(!planEjection(recordOf([true, true, false, true, true]), false, 0, ejection))
  const everySecond = recordOf(Array.from({ length: 60 }, (_, i) => i % 2 === 0))
  assert.ok(planEjection(everySecond, false, 0.05, ejection))
  assert.ok(!planEjection(everySecond, false, 0.4, ejection), 'all of them fail: it is not the host')
  assert.ok(!planEjection(recordOf([true, true, true]), false, 0.4, ejection), 'the others fail more')
})

test('failed requests never take out more than the share; a failed probe always does', () => {
  const host = fc.record({ suspected: fc.boolean(), down: fc.boolean() })
  const share = fc.double({ min: 0, max: 1, noNaN: true })
  fc.assert(
    fc.property(fc.array(host, { maxLength: 12 }), share, fc.nat(), (list, shareMax, seed) => {
      const order = seededRandom(seed)
      const hosts = list.map(({ suspected, down }) => ({ suspected: suspected ? 1 + order.float() : 0, down }))
      const outs = hosts.map((_, index) => isOut(hosts, index, shareMax))
      const allowed = Math.max(1, Math.floor(hosts.length * shareMax))
      const down = hosts.filter((each) => each.down).length
      assert.ok(outs.filter(Boolean).length <= Math.max(allowed, down))
      hosts.forEach((each, index) => {
        if (each.down) assert.ok(outs[index])
        if (!each.down && each.suspected === 0) assert.ok(!outs[index])
      })
    }),
  )
})

test('what was measured lies between the sample and what was, and fades to what is typical', () => {
  const ms = fc.double({ min: 0.1, max: 1e5, noNaN: true })
  fc.assert(
    fc.property(ms, ms, ms, fc.nat(1e6), (average, sample, typical, idleMs) => {
      const next = averageWith(average, sample, idleMs)
      assert.ok(next >= Math.min(average, sample) && next <= Math.max(average, sample))
      const host = { latencyMs: average, measuredAtMs: 0, waiting: 0, waitingSinceMs: 0 }
      const expected = expectedMs(host, idleMs, typical, 5_000)
      assert.ok(expected >= Math.max(1, Math.min(average, typical)) * 0.999)
      assert.ok(expected <= Math.max(1, average, typical) * 1.001)
      const later = expectedMs(host, idleMs + 5_000, typical, 5_000)
      assert.ok(Math.abs(later - typical) <= Math.abs(expected - typical) + 1)
    }),
  )
})

test('the share of a host in its slow start never falls, and ends at all', () => {
  fc.assert(
    fc.property(fc.nat(20_000), fc.nat(20_000), (a, b) => {
      const [early, late] = [slowStartShare(0, Math.min(a, b), 10_000), slowStartShare(0, Math.max(a, b), 10_000)]
      assert.ok(early >= 0.1 && early <= late && late <= 1)
      assert.equal(slowStartShare(0, 10_000 + a, 10_000), 1)
    }),
  )
})

test('the estimate of the 95th percentile comes close, for latencies of every shape, and follows a change', () => {
  const random = seededRandom(11)
  const shapes: Record<string, () => number> = {
    exponential: () => -20 * Math.log(1 - random.float()),
    uniform: () => 5 + 10 * random.float(),
    bimodal: () => (random.float() < 0.9 ? 4 : 300) * (0.9 + 0.2 * random.float()),
  }
  for (const [name, next] of Object.entries(shapes)) {
    for (const factor of [1, 30, 0.1]) {
      let late = noLateAnswers
      const seen: number[] = []
      for (let i = 0; i < 3_000; i++) {
        const ms = next() * (i < 1_000 ? 1 : factor)
        late = withAnswer(late, ms)
        if (i >= 2_000) seen.push(ms)
      }
      const above = seen.filter((ms) => ms > late.p95Ms).length / seen.length
      assert.ok(above > 0.015 && above < 0.125, `${name} by ${factor}: ${above} lie above the estimate`)
    }
  }
})

test('nothing is hedged before enough answers have been seen, and never sooner than the least time', () => {
  let late = noLateAnswers
  for (let i = 0; i < 49; i++) late = withAnswer(late, 2)
  assert.equal(hedgeAfter(late, 20), undefined)
  late = withAnswer(late, 2)
  assert.equal(hedgeAfter(late, 20), 20)
  assert.ok(Math.abs((hedgeAfter(late, 1) as number) - 2) < 0.5)
})

const limits = { retryShare: 0.2, retryFloor: 3, hedgeShare: 0.05, hedgeFloor: 1 }

function takeAll(take: () => boolean): number {
  let taken = 0
  while (taken < 1_000 && take()) taken++
  return taken
}

test('retries are bounded to a share of the requests, with a floor, and the bound moves on with time', async () => {
  const clock = new FakeClock()
  const budget = new RetryBudget(limits, clock)
  assert.equal(
    takeAll(() => budget.takeRetry()),
    3,
  )
  for (let i = 0; i < 100; i++) budget.countRequest()
  assert.equal(
    takeAll(() => budget.takeRetry()),
    17,
  )
  assert.equal(
    takeAll(() => budget.takeHedge()),
    5,
    'second requests have a budget of their own',
  )
  await clock.advance(10_001)
  assert.equal(
    takeAll(() => budget.takeRetry()),
    3,
  )
  assert.equal(
    takeAll(() => budget.takeHedge()),
    1,
  )
})

test('in no ten seconds are there more retries than the budget of those ten seconds and one', () => {
  const step = fc.tuple(fc.nat(1_500), fc.nat(30), fc.nat(30))
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      let nowMs = 0
      const clock = Object.assign(new FakeClock(), { monotonicMs: () => nowMs })
      const budget = new RetryBudget(limits, clock)
      const events: { atMs: number; requests: number; retries: number }[] = []
      for (const [pauseMs, requests, wanted] of steps) {
        nowMs += pauseMs
        for (let i = 0; i < requests; i++) budget.countRequest()
        let retries = 0
        for (let i = 0; i < wanted; i++) if (budget.takeRetry()) retries++
        events.push({ atMs: nowMs, requests, retries })
        // Slots end at whole seconds, so that nine seconds lie in the window for certain, and ten may.
        const within = (ms: number) => events.filter(({ atMs }) => nowMs - atMs < ms)
        const sum = (list: typeof events, key: 'requests' | 'retries') => list.reduce((all, each) => all + each[key], 0)
        if (retries > 0) {
          const allowed = Math.max(3, Math.ceil(0.2 * sum(within(10_000), 'requests')))
          assert.ok(sum(within(9_000), 'retries') <= allowed)
        }
      }
    }),
  )
})

const candidate = (id: string, more: Partial<HostCandidate> = {}): HostCandidate => ({
  id,
  origin: `http://${id}`,
  uptime: 1,
  running: true,
  ...more,
})
const list = (count: number): HostCandidate[] => Array.from({ length: count }, (_, i) => candidate(`${i}`))
const believe = (hosts: readonly HostCandidate[]): BelievedList => ({ hosts, base: hosts, heldSinceMs: undefined })
const shrink = { nowMs: 0, shrinkShareMax: 0.3, shrinkHoldMs: 600_000, isFailing: () => false }

test('a list that loses more than its share at once is held, without those that fail, and believed after the time', () => {
  const before = believe(list(10))
  assert.equal(planShrink(before, list(7), shrink).hosts.length, 7)
  const held = planShrink(before, list(6), { ...shrink, nowMs: 5, isFailing: (id) => id === '8' })
  assert.deepEqual(
    held.hosts.map(({ id, running }) => [id, running]),
    [...Array.from({ length: 6 }, (_, i) => [`${i}`, true]), ['6', false], ['7', false], ['9', false]],
  )
  assert.equal(held.heldSinceMs, 5)
  assert.equal(planShrink(held, list(6), { ...shrink, nowMs: 600_004 }).hosts.length, 10)
  assert.deepEqual(planShrink(held, list(6), { ...shrink, nowMs: 600_005 }), believe(list(6)))
})

test('a list that grows back ends the hold; what was draining may go', () => {
  const held = planShrink(believe(list(10)), [], shrink)
  assert.equal(held.hosts.length, 10)
  assert.deepEqual(planShrink(held, list(8), { ...shrink, nowMs: 9 }), believe(list(8)))
  const leaving = list(10).map((host, i) => (i < 5 ? host : { ...host, draining: true }))
  assert.deepEqual(planShrink(believe(leaving), list(5), shrink), believe(list(5)))
})

test('whatever the lists do, listed hosts are used, and the others only during a hold', () => {
  const ids = fc.uniqueArray(fc.nat(12).map(String), { maxLength: 12 })
  const rounds = fc.array(fc.tuple(ids, fc.nat(300_000)), { maxLength: 12 })
  fc.assert(
    fc.property(rounds, (steps) => {
      let believed = believe([])
      let nowMs = 0
      for (const [next, pauseMs] of steps) {
        nowMs += pauseMs
        believed = planShrink(
          believed,
          next.map((id) => candidate(id)),
          { ...shrink, nowMs },
        )
        const used = believed.hosts.map(({ id }) => id)
        assert.equal(new Set(used).size, used.length)
        assert.ok(next.every((id) => used.includes(id)))
        if (believed.heldSinceMs === undefined) assert.equal(used.length, next.length)
        else assert.ok(nowMs - believed.heldSinceMs < 600_000)
      }
    }),
  )
})

test('of a long list a program keeps those that run it and the first cold ones in rank', () => {
  const hosts = Array.from({ length: 500 }, (_, i) =>
    candidate(`${i}`, { running: i < 40, uptime: i < 250 ? 0.5 : 0.99 }),
  )
  const standing = ({ id }: HostCandidate) => ({
    rank: rendezvousRank(7, Number(id)),
    near: true,
    unusable: id === '450',
    remembered: id === '300',
  })
  const chosen = chooseSeats(hosts, standing, 0.02).map(({ id }) => Number(id))
  assert.ok(chosen.length <= seatsMax)
  assert.ok(chosen.includes(300))
  assert.equal(chosen.filter((id) => id < 40).length, 31)
  const colds = chosen.filter((id) => id >= 40 && id !== 300)
  const ranked = hosts
    .map(({ id }) => Number(id))
    .filter((id) => id >= 250 && id !== 300 && id !== 450)
    .sort((a, b) => rendezvousRank(7, b) - rendezvousRank(7, a))
  assert.deepEqual(colds, ranked.slice(0, 32))
  assert.deepEqual(
    chooseSeats([...hosts].reverse(), standing, 0.02)
      .slice(-32)
      .map(({ id }) => Number(id)),
    colds,
  )
})

const settings = { checkMs: 5_000, checkFailures: 2, checkIdleMs: 60_000, ejectMs: 1_000, ejectMaxMs: 10_000 }
const check = (more: Partial<HostCheck>): HostCheck => ({
  origin: 'http://a',
  probe: hostProbe,
  down: false,
  upSinceMs: 0,
  failuresInRow: 0,
  ejections: 0,
  suspected: false,
  usedAtMs: 100_000,
  answeredAtMs: 0,
  wantedAtMs: 0,
  servedAtMs: 0,
  armed: true,
  ...more,
})

test('only a host in use is probed, and one that just answered a request need not be, unless the site asks for more', () => {
  const kindOf = (more: Partial<HostCheck>) => planCheck(check(more), 101_000, settings).kind
  assert.equal(kindOf({}), 'probe')
  assert.equal(kindOf({ answeredAtMs: 100_500 }), 'wait')
  assert.equal(kindOf({ answeredAtMs: 100_500, probe: '/ready' }), 'probe')
  assert.equal(kindOf({ answeredAtMs: 100_500, suspected: true }), 'probe')
  assert.equal(kindOf({ usedAtMs: 40_000 }), 'rest')
  assert.equal(kindOf({ usedAtMs: 40_000, down: true }), 'rest')
  assert.equal(kindOf({ usedAtMs: 40_000, down: true, wantedAtMs: 100_000 }), 'probe')
})

test('a host is down after two failed probes, or after one when requests complain; it comes back with the first good one', () => {
  const after = (more: Partial<HostCheck>, served: boolean) => planAfterProbe(check(more), served, 101_000, settings)
  assert.deepEqual(after({}, false), { down: false, failuresInRow: 1, ejections: 0, pauseMs: 1_000 })
  assert.ok(after({ failuresInRow: 1 }, false).down)
  assert.ok(after({ suspected: true }, false).down)
  assert.equal(after({ down: true, ejections: 3 }, false).pauseMs, 8_000)
  assert.equal(after({ down: true, ejections: 9 }, false).pauseMs, 10_000)
  assert.deepEqual(after({ down: true, ejections: 3 }, true), {
    down: false,
    failuresInRow: 0,
    ejections: 3,
    pauseMs: 5_000,
  })
})
