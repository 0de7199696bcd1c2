import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FakeClock, systemClock } from './clock.ts'

test('timers of the fake clock run in due order, and see the time at which they were due', async () => {
  const clock = new FakeClock(0)
  const seen: string[] = []
  clock.schedule(20, () => seen.push(`b ${clock.nowMs()}`))
  clock.schedule(10, () => seen.push(`a ${clock.nowMs()}`))
  await clock.advance(15)
  assert.deepEqual(seen, ['a 10'])
  await clock.advance(5)
  assert.deepEqual(seen, ['a 10', 'b 20'])
})

test('a timer that was disposed never runs', async () => {
  const clock = new FakeClock()
  let ran = false
  clock
    .schedule(10, () => {
      ran = true
    })
    [Symbol.dispose]()
  await clock.advance(100)
  assert.equal(ran, false)
})

test('a loop that sleeps advances once per interval', async () => {
  const clock = new FakeClock()
  let turns = 0
  void (async () => {
    for (;;) {
      await clock.sleep(100)
      turns++
    }
  })()
  await clock.advance(1_000)
  assert.equal(turns, 10)
})

test('an aborted sleep rejects with the reason of the signal, on both clocks', async () => {
  for (const clock of [new FakeClock(), systemClock]) {
    const stop = new AbortController()
    const sleeping = clock.sleep(60_000, stop.signal)
    stop.abort(new Error('enough'))
    await assert.rejects(sleeping, (error: Error) => /enough|aborted/.test(error.message))
  }
})
