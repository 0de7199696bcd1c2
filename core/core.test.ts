import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ProcessStartError, startProcess } from './child-process.ts'
import { AppError, describeError, toProblem } from './errors.ts'
import { memoryLog } from './log.ts'
import { createMetrics } from './metrics.ts'
import { SingleFlight } from './single-flight.ts'

class TestError extends AppError {
  readonly code = 'TEST_FAILED'
  readonly fault = 'caller'
  override readonly status = 422
}

test('an expected error shows code, detail and hint; an unexpected one shows nothing of itself', () => {
  const problem = toProblem(new TestError('The value 7 is odd.', { hint: 'Give an even one.' }))
  assert.deepEqual(
    [problem.code, problem.status, problem.detail, problem.hint],
    ['TEST_FAILED', 422, 'The value 7 is odd.', 'Give an even one.'],
  )
  assert.ok(!JSON.stringify(toProblem(new Error('secret /etc/passwd'))).includes('secret'))
})

test('a described error names its causes', () => {
  const error = new TestError('Outer.', { cause: new Error('inner'), hint: 'Do this.' })
  assert.equal(describeError(error), 'TEST_FAILED: Outer. Do this. (cause: inner)')
})

test('callers that come while work is running share it; later ones start anew', async () => {
  const flights = new SingleFlight<string, number>()
  let calls = 0
  const work = async (): Promise<number> => {
    await new Promise((resolve) => setImmediate(resolve))
    return ++calls
  }
  assert.deepEqual(
    await Promise.all([flights.run('a', work), flights.run('a', work), flights.run('b', work)]),
    [1, 1, 2],
  )
  assert.equal(await flights.run('a', work), 3)
})

test('a child log adds its fields to every line', () => {
  const log = memoryLog()
  log.child({ part: 'acme' }).warn('late', { ms: 5 })
  assert.deepEqual(log.lines[0]?.fields, { part: 'acme', ms: 5 })
})

test('metrics render in the Prometheus text format', async () => {
  const metrics = createMetrics()
  metrics.counter('test_requests_total', 'Requests.', ['status']).add({ status: '2xx' }, 3)
  metrics.histogram('test_seconds', 'Duration.', [0.1, 1]).observe(0.5)
  const text = await metrics.text()
  assert.match(text, /# TYPE test_requests_total counter\ntest_requests_total\{status="2xx"\} 3/)
  assert.match(text, /test_seconds_bucket\{le="1"\} 1/)
})

test('a program that ends before it is ready is an error with its last words', async () => {
  const starting = startProcess({
    name: 'brief',
    command: 'sh',
    args: ['-c', 'echo last words; exit 3'],
    ready: (text) => text.includes('never'),
  })
  await assert.rejects(starting, (error) => error instanceof ProcessStartError && /last words/.test(error.hint ?? ''))
})

test('a program that does not exist is an error, not a crash', async () => {
  await assert.rejects(
    startProcess({ name: 'absent', command: 'no-such-program-here', ready: () => false }),
    ProcessStartError,
  )
})

test('disposing ends a program that ignores the polite signal', async () => {
  const started = await startProcess({
    name: 'stubborn',
    command: 'sh',
    args: ['-c', 'trap "" TERM; echo up; while :; do sleep 0.05; done'],
    ready: (text) => text.includes('up'),
    stopTimeoutMs: 200,
  })
  await started[Symbol.asyncDispose]()
  assert.equal((await started.exited).signal, 'SIGKILL')
})
