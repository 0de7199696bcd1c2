import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseShape } from '../../core/schema.ts'
import { programContentSchema } from '../protocol/content.ts'
import { wellKnownRuntimes } from '../protocol/runtimes.ts'
import { planVm, type VmPlan, watchedRefs } from './plan-vm.ts'
import { planRefill } from './pool.ts'
import { createTableNetwork } from './table-network.ts'

const itemHash = 'd2b74aa29898457bde0560e47f7cdd4e77287e9f1f7a1456161d2fd7d5c855d7'
const limits = { poolMemoryMib: 256, memoryMibMax: 1_024, answerTimeoutMs: 30_000, answerTimeoutMsMax: 300_000 }

async function plan(code: Record<string, unknown>, more: Record<string, unknown> = {}): Promise<VmPlan> {
  const network = createTableNetwork()
  const hash = network.addProgram('p', 'main:app', { 'main.py': '' })
  const { content } = await network.program(hash, AbortSignal.timeout(1_000))
  const merged = { ...content, ...more, code: { ...(content.code as object), ...code } }
  return planVm(itemHash, parseShape(programContentSchema, merged, 'test'), limits)
}

test('the entrypoint decides how a program runs', async () => {
  assert.deepEqual((await plan({ entrypoint: 'pkg.main:app' })).settings.entry, { kind: 'asgi', word: 'pkg.main:app' })
  assert.deepEqual((await plan({ entrypoint: 'main', interface: 'asgi' })).settings.entry, {
    kind: 'asgi',
    word: 'main:app',
  })
  const node = await plan({ entrypoint: 'dist/server.mjs', args: ['--x'] })
  assert.deepEqual(
    [node.runtime, node.settings.entry],
    ['node', { kind: 'node', word: '/opt/code/dist/server.mjs', args: ['--x'] }],
  )
  assert.deepEqual((await plan({ entrypoint: './run.sh' })).settings.entry, {
    kind: 'exec',
    words: ['/opt/code/run.sh'],
  })
  assert.deepEqual((await plan({ entrypoint: 'serve.py' })).settings.entry, {
    kind: 'exec',
    words: ['python3', '/opt/code/serve.py'],
  })
})

test('a known runtime decides what a plain executable finds beside it', async () => {
  const runtime = { ref: wellKnownRuntimes.node, use_latest: true, comment: '' }
  assert.equal((await plan({ entrypoint: 'run.sh' }, { runtime })).runtime, 'node')
})

test('a program sees its host label as its name, and its variables', async () => {
  const { settings } = await plan({}, { variables: { KEY: 'value' } })
  assert.equal(settings.hostname, '2k3uviuytbcxxxqfmdsh67g5jz3sq7u7d55bivqwdux5pvoikxlq')
  assert.deepEqual(settings.env, { KEY: 'value' })
})

test('volumes get slots in order; only those that follow the latest version are watched', async () => {
  const volumes = [
    { ref: 'fixed', use_latest: false, mount: '/a' },
    { ref: 'moving', use_latest: true, mount: '/b/c/' },
  ]
  const planned = await plan({}, { volumes })
  assert.deepEqual(planned.settings.volumes, [
    { slot: 'b', mount: '/opt/code' },
    { slot: 'c', mount: '/a' },
    { slot: 'd', mount: '/b/c' },
  ])
  assert.deepEqual(watchedRefs(planned).slice(1), ['moving'])
})

for (const [what, code, more] of [
  ['an entrypoint outside the code', { entrypoint: '../../bin/sh' }, {}],
  ['an absolute entrypoint', { entrypoint: '/bin/sh' }, {}],
  ['a mount point that climbs', {}, { volumes: [{ ref: 'r', mount: '/a/../../b' }] }],
  ['a persistent volume', {}, { volumes: [{ persistence: 'host', name: 'n', size_mib: 1, mount: '/a' }] }],
  ['too much memory', {}, { resources: { vcpus: 1, memory: 4_096, seconds: 1 } }],
  [
    'too many volumes',
    {},
    { volumes: Array.from({ length: 14 }, (_, index) => ({ ref: `r${index}`, mount: `/v${index}` })) },
  ],
] as const) {
  test(`${what} is refused`, async () => {
    await assert.rejects(plan(code, more as Record<string, unknown>), { code: 'CRN_UNSUPPORTED_PROGRAM' })
  })
}

test('the pool boots what is missing, within processors and memory', () => {
  const base = { wanted: 3, ready: 0, booting: 0, bootsFree: 2, memoryMibFree: 1_000, memoryMib: 256 }
  assert.equal(planRefill(base), 2)
  assert.equal(planRefill({ ...base, ready: 2 }), 1)
  assert.equal(planRefill({ ...base, ready: 2, booting: 1 }), 0)
  assert.equal(planRefill({ ...base, memoryMibFree: 300 }), 1)
  assert.equal(planRefill({ ...base, memoryMibFree: -50 }), 0)
  assert.equal(planRefill({ ...base, ready: 5 }), 0)
})
