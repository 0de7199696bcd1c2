import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Counter, Histogram, Registry } from 'prom-client'
import { createMetrics, keepTotals, type MetricsSnapshot } from './metrics.ts'

const bounds = [0.001, 0.01, 0.1, 1, 10]
const outcome = fc.constantFrom('found', 'unknown', 'failed')
const seconds = fc.oneof(fc.constantFrom(...bounds, 0), fc.double({ min: 0, max: 100, noNaN: true }))

test('a histogram shows what prom-client would show for the same observations, by label or by cell', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(seconds, outcome, fc.boolean())), async (observations) => {
      const registry = new Registry()
      const theirs = new Histogram({
        name: 'x_seconds',
        help: 'h',
        buckets: bounds,
        labelNames: ['outcome'],
        registers: [registry],
      })
      const metrics = createMetrics()
      const ours = metrics.histogram('x_seconds', 'h', bounds, ['outcome'])
      for (const [value, label, byCell] of observations) {
        theirs.observe({ outcome: label }, value)
        if (byCell) ours.cell({ outcome: label }).observe(value)
        else ours.observe(value, { outcome: label })
      }
      assert.equal(await metrics.text(), await registry.metrics())
    }),
  )
})

test('a histogram without labels shows zeros before the first observation, as prom-client does', async () => {
  const registry = new Registry()
  new Histogram({ name: 'x_seconds', help: 'h', buckets: bounds, registers: [registry] })
  const metrics = createMetrics()
  metrics.histogram('x_seconds', 'h', bounds)
  assert.equal(await metrics.text(), await registry.metrics())
})

test('a counter shows what prom-client would show, however calls with labels, cells and scrapes mix', async () => {
  const step = fc.tuple(fc.constantFrom('add', 'cell', 'scrape'), outcome, fc.integer({ min: 1, max: 1_000 }))
  await fc.assert(
    fc.asyncProperty(fc.array(step), async (steps) => {
      const registry = new Registry()
      const theirs = new Counter({ name: 'x_total', help: 'h', labelNames: ['outcome'], registers: [registry] })
      const metrics = createMetrics()
      const ours = metrics.counter('x_total', 'h', ['outcome'])
      for (const [what, label, amount] of steps) {
        if (what === 'scrape') await metrics.text()
        else theirs.inc({ outcome: label }, amount)
        if (what === 'add') ours.add({ outcome: label }, amount)
        if (what === 'cell') ours.cell({ outcome: label }).add(amount)
      }
      // Labels appear in the order of their first use, which a cell puts off to the next scrape.
      const lines = (text: string): string[] => text.split('\n').sort()
      assert.deepEqual(lines(await metrics.text()), lines(await registry.metrics()))
    }),
  )
})

test('a gauge shows the last value, set by label or by cell', async () => {
  const metrics = createMetrics()
  const gauge = metrics.gauge('x', 'h', ['kind'])
  gauge.set(5, { kind: 'a' })
  gauge.cell({ kind: 'a' }).add(-2)
  gauge.cell({ kind: 'b' }).set(7)
  metrics.gauge('y', 'h').set(1)
  const text = await metrics.text()
  assert.match(text, /^x\{kind="a"\} 3$/m)
  assert.match(text, /^x\{kind="b"\} 7$/m)
  assert.match(text, /^y 1$/m)
})

test('a label that the metric does not have is refused', () => {
  const metrics = createMetrics()
  assert.throws(() => metrics.counter('x_total', 'h', ['a']).cell({ b: '1' }), /no label "b"/)
  assert.throws(() => metrics.histogram('x_seconds', 'h', [1]).observe(1, { b: '1' }), /no label "b"/)
})

test('what is not a finite number does not spoil a histogram', async () => {
  const metrics = createMetrics()
  const cell = metrics.histogram('x_seconds', 'h', [1]).cell()
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY, 2]) cell.observe(value)
  assert.match(await metrics.text(), /x_seconds_sum 2\nx_seconds_count 1/)
})

/** The snapshot of a process that has answered `answered` requests, has `open` open, and took `slow` seconds for one of them. */
async function processThat(answered: number, open: number, slow: number): Promise<MetricsSnapshot> {
  const metrics = createMetrics({ defaults: true })
  metrics.counter('x_total', 'h', ['class']).cell({ class: '2xx' }).add(answered)
  metrics.gauge('x_open', 'h').set(open)
  metrics.histogram('x_seconds', 'h', [1, 10]).observe(slow)
  // As it arrives in another process.
  return structuredClone(await metrics.snapshot())
}

test('several processes are shown as one: sums of counters, gauges and buckets, and what is no sum from this one', async () => {
  const metrics = createMetrics({ defaults: true })
  metrics.counter('own_total', 'h').add()
  const text = await metrics.text([await processThat(3, 2, 0.5), await processThat(4, 1, 5)])
  assert.match(text, /^own_total 1$/m)
  assert.match(text, /^x_total\{class="2xx"\} 7$/m)
  assert.match(text, /^x_open 3$/m)
  assert.match(text, /^x_seconds_bucket\{le="1"\} 1\nx_seconds_bucket\{le="10"\} 2\nx_seconds_bucket\{le="\+Inf"\} 2$/m)
  assert.match(text, /^x_seconds_sum 5.5\nx_seconds_count 2$/m)
  assert.match(text, /^process_start_time_seconds \d+/m)
})

test('the totals of processes that have ended stay, their gauges go', async () => {
  let kept: MetricsSnapshot = []
  for (const ended of [await processThat(3, 2, 0.5), await processThat(4, 1, 5)]) kept = keepTotals(kept, ended)
  const text = await createMetrics().text([kept, await processThat(1, 9, 20)])
  assert.match(text, /^x_total\{class="2xx"\} 8$/m)
  assert.match(text, /^x_open 9$/m)
  assert.match(text, /^x_seconds_sum 25.5\nx_seconds_count 3$/m)
})
