import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FakeClock } from './clock.ts'
import { inTime } from './in-time.ts'

test('work that is done in time gives its result, and nothing is left waiting', async () => {
  const clock = new FakeClock()
  let aborted = false
  const result = await inTime(
    clock,
    1_000,
    () => new Error('late'),
    async (signal) => {
      signal.addEventListener('abort', () => {
        aborted = true
      })
      return 'done'
    },
  )
  await clock.advance(2_000)
  assert.deepEqual([result, aborted], ['done', false])
})

test('work that hangs is given up at its time, whether it heeds the signal or not, and may fail later unheard', async () => {
  const clock = new FakeClock()
  const given = inTime(
    clock,
    1_000,
    () => new Error('late'),
    async () => {
      await clock.sleep(5_000)
      throw new Error('far too late')
    },
  )
  const failed = assert.rejects(given, /^Error: late$/)
  await clock.advance(1_000)
  await failed
  await clock.advance(10_000)
})
