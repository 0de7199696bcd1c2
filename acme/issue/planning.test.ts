import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { FakeClock } from '../../core/clock.ts'
import { seededRandom } from '../../core/random.ts'
import { parseProblem, problemError } from '../client/problem.ts'
import { CaUnreachableError, type FailureSummary } from '../errors.ts'
import { takeOne } from './budget.ts'
import { DueQueue } from './due-queue.ts'
import { nextFailure } from './ladder.ts'
import { isCovered, parseName, parseNameSet, registeredDomainOf, setIdOf } from './names.ts'
import { Refusals } from './refusals.ts'
import { planRenewal, renewAtMs } from './renewal-plan.ts'
import { Turnstile } from './turnstile.ts'

const dayMs = 86_400_000

test('in any stretch as long as its period, a budget gives out at most twice its count, and never more than its count at once', () => {
  const limits = fc.record({ count: fc.integer({ min: 1, max: 20 }), perMs: fc.integer({ min: 1_000, max: dayMs }) })
  const steps = fc.array(fc.integer({ min: 0, max: dayMs / 4 }), { maxLength: 60 })
  fc.assert(
    fc.property(limits, steps, (limit, waits) => {
      let nowMs = 1_000_000
      let fullAtMs: number | undefined
      const taken: number[] = []
      for (const waitMs of [...Array(limit.count + 1).fill(0), ...waits]) {
        nowMs += waitMs
        const result = takeOne(fullAtMs, nowMs, limit)
        if ('retryAtMs' in result)
          assert.ok(result.retryAtMs > nowMs && result.retryAtMs <= nowMs + limit.perMs / limit.count + 1)
        else {
          fullAtMs = result.fullAtMs
          taken.push(nowMs)
        }
      }
      assert.ok(taken.filter((atMs) => atMs === 1_000_000).length >= 1)
      for (const startMs of taken) {
        const within = taken.filter((atMs) => atMs >= startMs && atMs < startMs + limit.perMs).length
        assert.ok(within <= 2 * limit.count, `${within} of ${limit.count}`)
        assert.ok(taken.filter((atMs) => atMs === startMs).length <= limit.count)
      }
    }),
  )
})

test('a budget whose record comes from a clock far ahead has room again within one period', () => {
  const limit = { count: 4, perMs: 1_000 }
  const result = takeOne(Number.MAX_SAFE_INTEGER, 5_000, limit)
  assert.ok('retryAtMs' in result && result.retryAtMs <= 6_000)
})

test('keys fall due in order of time, each at its last set time, whatever the order of setting', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 0, max: 5_000 })), { maxLength: 40 }),
      async (sets) => {
        const clock = new FakeClock(0)
        const ran: [string, number][] = []
        using queue = new DueQueue(clock, (key) => ran.push([key, clock.nowMs()]))
        const wanted = new Map<string, number>()
        for (const [key, atMs] of sets) {
          queue.set(`k${key}`, atMs)
          wanted.set(`k${key}`, atMs)
        }
        queue.set('deleted', 100)
        queue.delete('deleted')
        await clock.advance(5_000)
        assert.deepEqual(new Map(ran), wanted)
        assert.deepEqual(
          ran.map(([, atMs]) => atMs),
          [...wanted.values()].sort((a, b) => a - b),
        )
      },
    ),
    { numRuns: 30 },
  )
})

test('renewal comes with a third of the life left, or half of a short one', () => {
  assert.equal(renewAtMs({ notBeforeMs: 0, notAfterMs: 90 * dayMs }), 60 * dayMs)
  assert.equal(renewAtMs({ notBeforeMs: 0, notAfterMs: 6 * dayMs }), 3 * dayMs)
})

test("the CA's window decides within reason: earlier always, later never beyond the last sixth", () => {
  const life = { notBeforeMs: 0, notAfterMs: 90 * dayMs }
  const plan = (startDay: number, endDay: number, nowDay: number) =>
    planRenewal(
      life,
      { startMs: startDay * dayMs, endMs: endDay * dayMs, retryAfterMs: undefined },
      { nowMs: nowDay * dayMs, place: 0.5 },
    )
  assert.deepEqual(plan(10, 12, 11), { do: 'renew' })
  assert.deepEqual(plan(50, 52, 0), { do: 'wait', atMs: dayMs / 2, renewAtMs: 51 * dayMs })
  assert.deepEqual(plan(200, 300, 74), { do: 'wait', atMs: 74.5 * dayMs, renewAtMs: 75 * dayMs })
  assert.deepEqual(plan(200, 300, 75), { do: 'renew' })
  assert.deepEqual(plan(-5, -4, 0), { do: 'renew' })
})

test('a CA that sends us to look again at once, or never, is asked between once a minute and twice a day', () => {
  const ask = (retryAfterMs: number) => {
    const window = { startMs: 50 * dayMs, endMs: 52 * dayMs, retryAfterMs }
    return planRenewal({ notBeforeMs: 0, notAfterMs: 90 * dayMs }, window, { nowMs: 0, place: 0 })
  }
  assert.deepEqual(
    [ask(0), ask(1e12)].map((step) => step.do === 'wait' && step.atMs),
    [60_000, dayMs / 2],
  )
})

test('a failing name waits 1, 10 and 100 minutes and then a day; trouble of the CA is tried sooner', () => {
  const refusal = problemError({ problem: parseProblem({ type: 'urn:ietf:params:acme:error:dns' }, 400) })
  const climb = (error: unknown, steps: number): number[] => {
    let last: FailureSummary | undefined
    return Array.from({ length: steps }, () => {
      last = nextFailure(last, error, { nowMs: 0, random: { ...seededRandom(1), float: () => 0 } })
      return last.retryAtMs / 1_000
    })
  }
  assert.deepEqual(climb(refusal, 5), [60, 600, 6_000, 86_400, 86_400])
  assert.deepEqual(
    climb(new CaUnreachableError('https://ca.test', new Error('gone')), 9),
    [2, 5, 15, 30, 60, 120, 300, 600, 600],
  )
})

test('a name is taken in one form only', () => {
  assert.equal(parseName('App.Example.TEST.'), 'app.example.test')
  assert.equal(parseName('*.Example.test', { wildcard: true }), '*.example.test')
  assert.deepEqual(parseNameSet(['z.test', 'A.test', 'z.test', '*.z.test']), ['*.z.test', 'a.test', 'z.test'])
  for (const bad of ['*.test', '*', 'a.*.test', '*.*.test', '1.2.3.4', 'a.test/', 'a..test']) {
    assert.throws(() => parseName(bad, { wildcard: true }), { code: 'ACME_NAME_INVALID' }, bad)
  }
  assert.throws(() => parseNameSet([]), { code: 'ACME_NAME_INVALID' })
})

test('no string, however hostile, makes a name that the store could not keep', () => {
  const hostile = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.domain())
  fc.assert(
    fc.property(hostile, (text) => {
      let name: string
      try {
        name = parseName(text)
      } catch (error) {
        assert.equal((error as { code?: string }).code, 'ACME_NAME_INVALID')
        return
      }
      assert.match(`domain.${registeredDomainOf(name)}`, /^[a-z0-9.-]{1,200}$/)
      assert.match(setIdOf([name]), /^[a-z0-9._-]{1,200}$/)
    }),
  )
})

test('a wildcard covers one label, not two and not its own base', () => {
  assert.deepEqual(
    ['a.z.test', 'z.test', 'a.b.z.test', '*.z.test'].map((name) => isCovered(name, '*.z.test')),
    [true, false, false, true],
  )
})

test('refusals are forgotten at their time, and the oldest when there are too many', () => {
  const refusals = new Refusals(2)
  const error = new CaUnreachableError('https://ca.test', new Error('gone'))
  for (const id of ['a', 'b', 'c']) refusals.add(id, { names: [id], error, untilMs: 100 })
  assert.deepEqual(
    [refusals.find('a', 0), refusals.find('c', 99), refusals.find('c', 100)],
    [undefined, error, undefined],
  )
})

test('a turnstile lets so many in, so many wait, and refuses the rest', async () => {
  const turnstile = new Turnstile({ insideMax: 2, waitingMax: 1 })
  const gate = Promise.withResolvers<void>()
  let inside = 0
  let most = 0
  const work = async () => {
    most = Math.max(most, ++inside)
    await gate.promise
    inside--
  }
  const entered = [turnstile.run(work), turnstile.run(work), turnstile.run(work)]
  await assert.rejects(turnstile.run(work), { code: 'ACME_TOO_MANY_ORDERS' })
  gate.resolve()
  await Promise.all(entered)
  assert.deepEqual([most, inside], [2, 0])
  await turnstile.run(async () => {})
})
