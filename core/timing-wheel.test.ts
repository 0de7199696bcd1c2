import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { FakeClock } from './clock.ts'
import { Deadline, TimingWheel } from './timing-wheel.ts'

class Probe extends Deadline {
  readonly #expired: () => void
  constructor(expired: () => void) {
    super()
    this.#expired = expired
  }
  expire(): void {
    this.#expired()
  }
}

test('every deadline is met once: never early, at most two ticks late, at its last setting', async () => {
  const step = fc.record({ entry: fc.nat(4), ms: fc.integer({ min: -1, max: 3_000 }), waitMs: fc.nat(700) })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const clock = new FakeClock(0)
      // Few slots, so that deadlines go round more than once.
      using wheel = new TimingWheel(clock, 100, 8)
      const due = new Map<number, number>()
      const wrong: string[] = []
      const entries = [0, 1, 2, 3, 4].map(
        (id) =>
          new Probe(() => {
            const lateMs = clock.nowMs() - (due.get(id) ?? Number.NaN)
            if (!(lateMs >= 0 && lateMs <= 200)) wrong.push(`${id} late by ${lateMs}`)
            due.delete(id)
          }),
      )
      for (const { entry, ms, waitMs } of steps) {
        const deadline = entries[entry] as Probe
        if (ms < 0) {
          wheel.clear(deadline)
          due.delete(entry)
        } else {
          wheel.set(deadline, ms)
          // The wheel's own clock moves in ticks.
          due.set(entry, wheel.nowMs + ms)
        }
        await clock.advance(waitMs)
      }
      await clock.advance(4_000)
      assert.deepEqual([wrong, [...due]], [[], []])
    }),
    { numRuns: 60 },
  )
})

test('an entry that expires may clear its neighbours', async () => {
  const clock = new FakeClock(0)
  using wheel = new TimingWheel(clock, 100, 8)
  const expired: number[] = []
  const entries: Probe[] = [0, 1, 2].map(
    (id) =>
      new Probe(() => {
        expired.push(id)
        for (const other of entries) wheel.clear(other)
      }),
  )
  for (const entry of entries) wheel.set(entry, 300)
  await clock.advance(1_000)
  assert.equal(expired.length, 1)
})
