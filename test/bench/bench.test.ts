import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { test } from 'node:test'
import { z } from '../../core/schema.ts'
import { parseWrk } from './generators/wrk.ts'
import { verdict } from './goals.ts'
import { readTicks, stealPercent } from './measure/machine.ts'
import { cpuNanoseconds, parseSchedstat, processTree } from './measure/process-tree.ts'
import { estimate, isNoisy, quantile, roundRatios } from './measure/statistics.ts'
import { parseStrace } from './measure/syscalls.ts'
import { parseDataplaneOptions } from './options.ts'
import { chart } from './report/chart.ts'
import { markdown } from './report/markdown.ts'
import { type DataplaneResult, sumUp } from './results.ts'
import { isExplained, isFlat, slope } from './soak/judge.ts'
import { takeFrame, textFrame } from './web-socket-frames.ts'
import { type Workload, workloads } from './workloads.ts'

const main = new URL('main.ts', import.meta.url).pathname
const h1 = workloads.find(({ name }) => name === 'h1') as Workload

/** What `npm run -s bench -- ...` puts on standard output, with its exit code. */
function bench(...args: string[]): Promise<{ code: number; out: string; errors: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [main, ...args], { timeout: 60_000 }, (error, out, errors) =>
      resolve({ code: error ? Number(error.code ?? 1) : 0, out, errors }),
    )
  })
}

const number = z.number().positive()
const estimateShape = z.strictObject({ median: number, low: number, high: number })
const resultShape = z.strictObject({
  machine: z.looseObject({ cpu: z.string(), node: z.string(), revision: z.string(), versions: z.looseObject({}) }),
  workloads: z.partialRecord(
    z.enum(workloads.map(({ name }) => name)),
    z.looseObject({
      ours: z.looseObject({ cpuUs: number, p50Ms: number, p99Ms: number, syscalls: number.nullable() }),
      peers: z.record(z.string(), z.looseObject({ cpuUs: number })),
      ratio: z.record(z.string(), estimateShape),
    }),
  ),
})

test('bench dataplane --json prints one object of the documented shape and nothing else', async () => {
  const short = ['--rounds', '1', '--secs', '0.3', '--own-load']
  const run = await bench('dataplane', 'h1', '--peers', 'none', '--baselines', 'http-proxy', ...short, '--json')
  assert.equal(run.code, 0, run.errors + run.out)
  const result = resultShape.parse(JSON.parse(run.out))
  assert.deepEqual(Object.keys(result.workloads), ['h1'])
  assert.deepEqual(Object.keys(result.workloads.h1?.ratio ?? {}), ['http-proxy'])
})

test('bench soak finds no wrong byte and no unexplained error in a few seconds of mixed traffic', async () => {
  const run = await bench('soak', '--minutes', '0.1', '--json')
  assert.equal(run.code, 0, run.errors + run.out)
  const result = JSON.parse(run.out)
  assert.deepEqual([result.wrongBytes, result.unexplainedErrors], [0, 0])
  assert.ok(result.requests > 100, run.out)
  assert.ok(result.hostsKilled > 0 && result.reloads > 0, run.out)
})

test('an unknown bench, workload or option ends with code 2 and tells what there is', async () => {
  for (const args of [
    ['nothing'],
    ['dataplane', 'h9'],
    ['dataplane', '--peers', 'apache'],
    ['soak', '--minutes', 'x'],
  ]) {
    const { code, out, errors } = await bench(...args)
    assert.equal(code, 2, args.join(' '))
    assert.equal(out, '')
    assert.match(errors, /Usage/)
  }
})

test('quantiles lie between the nearest values, and the interval of a median holds it', () => {
  assert.equal(quantile([4, 1, 3, 2], 0.5), 2.5)
  assert.equal(quantile([1, 2, 3, 4, 5], 0.25), 2)
  assert.deepEqual(estimate([7]), { median: 7, low: 7, high: 7 })
  const { median, low, high } = estimate([1.2, 1.3, 1.25, 1.4, 1.35, 9])
  assert.ok(low <= median && median <= high)
  assert.ok(low >= 1.2 && high < 9, 'one wild round does not carry the interval away')
})

test('ratios are formed within rounds, and void slots take their round along', () => {
  assert.deepEqual(roundRatios([2, undefined, 6, 8], [1, 2, undefined, 4]), [2, 2])
})

test('rounds that scatter by more than 0.3 of their median are called noisy', () => {
  assert.equal(isNoisy([1, 1.05, 1.1, 1]), false)
  assert.equal(isNoisy([1, 1, 2, 2]), true)
})

test('CPU time of a process tree is what the process itself is told', () => {
  const tree = processTree(process.pid)
  assert.equal(tree[0], process.pid)
  const [own, before] = [process.cpuUsage(), cpuNanoseconds([process.pid])]
  while (process.cpuUsage(own).user < 100_000);
  const { user, system } = process.cpuUsage(own)
  const counted = (cpuNanoseconds([process.pid]) - before) / 1_000
  assert.ok(counted > (user + system) * 0.5 && counted < (user + system) * 2, `${counted} against ${user + system} µs`)
  assert.equal(parseSchedstat('1234 56 7\n'), 1_234)
  assert.equal(parseSchedstat(''), 0)
})

test('a process tree holds the children of children', async () => {
  const child = spawn('sh', ['-c', 'sleep 20 & echo started; wait'], { detached: true })
  await new Promise((resolve) => child.stdout.once('data', resolve))
  try {
    assert.equal(processTree(child.pid as number).length, 2)
    assert.ok(processTree(process.pid).includes(child.pid as number))
  } finally {
    process.kill(-(child.pid as number), 'SIGKILL')
  }
})

test('the summaries of wrk and strace are read', () => {
  const wrk = [
    '  Latency Distribution',
    '     50%    1.04ms',
    '     99%  750.00us',
    '  10000 requests in 1.00s, 11.30MB read',
    '  Non-2xx or 3xx responses: 4',
  ].join('\n')
  assert.deepEqual(
    { ...parseWrk(wrk), firstError: undefined },
    { completed: 9_996, errors: 4, p50Ms: 1.04, p99Ms: 0.75, firstError: undefined },
  )
  assert.throws(() => parseWrk('unable to connect'))
  const strace =
    ' 57.14    0.000040           1        30         2 read\n100.00    0.000070           1        42         3 total\n'
  assert.equal(parseStrace(strace), 42)
})

test('stolen time is a share of all time', () => {
  const before = readTicks('cpu  10 0 10 80 0 0 0 0 0 0\n')
  assert.equal(stealPercent(before, readTicks('cpu  20 0 20 150 0 0 0 10 0 0\n')), 10)
})

test('a workload is summed up by its valid rounds, and the report says met or missed', () => {
  const slot = (cost: number) => ({ cost, p50Ms: 1, p99Ms: 2 })
  const seen = new Map([
    ['ours', { slots: [slot(30), slot(33), { void: 'errors' }], syscalls: 4.2 }],
    ['nginx', { slots: [slot(20), slot(22), slot(21)] }],
    ['http-proxy', { slots: [{ void: 'errors' }, { void: 'errors' }, { void: 'errors' }] }],
    ['bare', { slots: [slot(27.5), slot(30), slot(1)] }],
  ])
  const found = sumUp(h1, seen)
  assert.deepEqual(found.ratio, { nginx: { median: 1.5, low: 1.5, high: 1.5 } })
  assert.equal(found.rounds, 2)
  assert.deepEqual(found.peers['http-proxy'], { cpuUs: null, p50Ms: null, p99Ms: null, void: 'errors' })
  assert.equal(Math.round((found.featureTax?.median ?? 0) * 100), 10)
  assert.equal(verdict(1.5, 1.4), 'missed by 7 %')
  const result = { machine: fakeMachine, workloads: { h1: found } }
  assert.match(
    markdown(result),
    /HTTP\/1\.1 keep-alive, 1 KiB, to nginx \| 1\.4 \| 1\.5 \[1\.5 to 1\.5\] \| missed by 7 %/,
  )
  const svg = chart(result)
  assert.match(svg, /^<svg [^>]+>[\s\S]+<\/svg>\n$/)
  assert.match(svg, />1\.50<\/text>/)
  assert.equal(svg.match(/<(?:text|style|title)\b/g)?.length, svg.match(/<\/(?:text|style|title)>/g)?.length)
})

test('the options name what is not known', () => {
  assert.throws(() => parseDataplaneOptions(['h1', 'h3']), /no workload "h3"/)
  assert.throws(() => parseDataplaneOptions(['--rounds', '0']), /--rounds takes/)
  const options = parseDataplaneOptions(['h1,tls', 'idle', '--peers', 'nginx'])
  assert.ok(options !== 'help')
  assert.deepEqual([options.workloads, options.peers], [['h1', 'tls', 'idle'], ['nginx']])
})

test('WebSocket frames come back as they went, and not before they are whole', () => {
  for (const length of [0, 125, 126, 134, 40_000]) {
    const payload = Buffer.alloc(length, 'frame ')
    for (const mask of [undefined, Buffer.from([9, 8, 7, 6])]) {
      const frame = textFrame(payload, mask)
      assert.equal(takeFrame(frame.subarray(0, frame.length - 1)), undefined)
      assert.deepEqual(takeFrame(Buffer.concat([frame, frame])), { payload, end: frame.length })
    }
  }
})

test('a soak error is explained by a killed host only where the gateway could not cover for it', () => {
  const outcome = {
    scenario: '1 MiB',
    startedAt: 1_000,
    endedAt: 2_000,
    bytes: 0,
    wrongBytes: 0,
    mustSurviveHosts: false,
  }
  assert.equal(isExplained(outcome, [1_500]), true)
  assert.equal(isExplained(outcome, [2_500]), false)
  assert.equal(isExplained(outcome, [100]), false)
  assert.equal(isExplained({ ...outcome, mustSurviveHosts: true }, [1_500]), false)
  assert.equal(isExplained({ ...outcome, inexcusable: true }, [1_500]), false)
  assert.equal(isExplained({ ...outcome, endedAt: 20_000 }, [1_500]), false, 'it hung')
})

test('memory is flat when its last third is near its second, and a short run says nothing', () => {
  const MiB = 1_048_576
  const level = Array.from({ length: 30 }, (_, at) => (100 + (at % 3)) * MiB)
  const growing = Array.from({ length: 30 }, (_, at) => (100 + at * 5) * MiB)
  assert.equal(isFlat(level, 10), true)
  assert.equal(isFlat(growing, 10), false)
  assert.equal(isFlat(growing, 1), undefined)
  assert.equal(slope([1, 3, 5, 7]), 2)
})

const fakeMachine: DataplaneResult['machine'] = {
  cpu: 'a CPU',
  cores: 2,
  kernel: '6.1',
  node: 'v24',
  revision: 'abc',
  date: '2026-01-01',
  pinned: true,
  origin: 'own',
  load: [0, 1],
  stealPercent: 0,
  rounds: 2,
  slotSeconds: 1,
  versions: { nginx: '1.22.1' },
  leftOut: [],
}
