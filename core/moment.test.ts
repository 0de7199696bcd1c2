import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FakeClock } from './clock.ts'
import { inMoment, momentClock } from './moment.ts'

const none = Buffer.alloc(0)

test('time stands still within a moment, and has gone on after it', () => {
  let ms = 0
  const clock = momentClock(Object.assign(new FakeClock(), { nowMs: () => ++ms, monotonicMs: () => ++ms }))
  const seen: number[] = []
  const look = (): void => void seen.push(clock.monotonicMs(), clock.monotonicMs())
  inMoment(look, undefined, 0, none)
  inMoment(look, undefined, 0, none)
  look()
  assert.deepEqual(seen, [1, 1, 2, 2, 3, 4])
})

test('a moment that ends with an error ends all the same', () => {
  let ms = 0
  const clock = momentClock(Object.assign(new FakeClock(), { monotonicMs: () => ++ms }))
  const fail = (): void => {
    clock.monotonicMs()
    throw new Error('broken')
  }
  assert.throws(() => inMoment(fail, undefined, 0, none), /broken/)
  assert.deepEqual([clock.monotonicMs(), clock.monotonicMs()], [2, 3])
})
