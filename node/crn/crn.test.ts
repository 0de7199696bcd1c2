import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { encodeHostLabel } from '../protocol/host-label.ts'
import { filesOf } from './table-network.ts'
import { startTestHost, type TestHost } from './test-host.ts'

const samples = join(import.meta.dirname, '../../cli/dev/samples')
const pythonFiles = filesOf(join(samples, 'python'))
const nodeFiles = filesOf(join(samples, 'node'))
/** A program that answers with `text`, without reading anything. */
const saying = (text: string): Record<string, string> => ({
  'main.py': `async def app(scope, receive, send):
    if scope["type"] == "lifespan": raise Exception("no lifespan")
    import asyncio
    if scope["path"] == "/slow": await asyncio.sleep(1)
    if scope["path"] == "/die": __import__("os")._exit(1)
    if scope["path"] == "/hang": await asyncio.sleep(60)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"${text}"})`,
})

let host: TestHost
let python: string
let node: string
before(async () => {
  host = await startTestHost({ pool: { python: 1, node: 1 }, operatorToken: 'secret', failedStartMs: 60_000 })
  python = host.network.addProgram('python', 'main:app', pythonFiles)
  node = host.network.addProgram('node', 'server.mjs', nodeFiles)
})
after(() => host[Symbol.asyncDispose]())

// biome-ignore lint/suspicious/noExplicitAny: answers of many shapes, each checked where it is used
const json = async (url: string): Promise<any> => (await fetch(url)).json()
const programs = (): [string, string][] => [
  ['Python', python],
  ['Node', node],
]

test('requests that come together start a program once', async () => {
  const answers = await Promise.all(Array.from({ length: 5 }, () => json(host.at(python))))
  for (const answer of answers) assert.equal(answer.language, 'python')
  assert.equal((await json(host.at(node))).language, 'node')
  assert.match(await (await fetch(`${host.crn.url}/metrics`)).text(), /crn_vms 2\n/)
})

test('an answer names the host software, the program and its code', async () => {
  const { headers } = await fetch(host.at(python))
  assert.match(headers.get('server') ?? '', /^aleph-vm\//)
  assert.equal(headers.get('aleph-program-itemhash'), python)
  assert.match(headers.get('aleph-program-code-ref') ?? '', /^[0-9a-f]{64}$/)
})

test('a program is reached by its host label too, and sees that host', async () => {
  const label = encodeHostLabel(python)
  const body = await new Promise<string>((resolve, reject) => {
    const request = http.get(
      { port: host.crn.port, path: '/headers', headers: { host: `${label}.crn.test` } },
      async (response) => {
        let text = ''
        for await (const chunk of response) text += chunk
        resolve(text)
      },
    )
    request.on('error', reject)
  })
  assert.deepEqual(JSON.parse(body)[0], ['host', `${label}.crn.test`])
})

for (const [index, name] of ['Python', 'Node'].entries()) {
  const at = (path: string): string => host.at(programs()[index]?.[1] as string, path)

  test(`${name}: bodies stream both ways and arrive as they were sent`, async () => {
    const body = Buffer.alloc(3_000_001, 'lastmile')
    const echoed = await fetch(at('/echo'), { method: 'POST', body })
    assert.deepEqual(Buffer.from(await echoed.arrayBuffer()), body)
    const digest = await (await fetch(at('/digest'), { method: 'POST', body })).json()
    assert.deepEqual(digest, { sha256: createHash('sha256').update(body).digest('hex'), size: body.length })
    assert.equal((await (await fetch(at('/blob?mib=4'))).arrayBuffer()).byteLength, 4 * 1_048_576)
  })

  test(`${name}: the first event of a stream arrives before the last is made`, async () => {
    const response = await fetch(at('/events'))
    const times: number[] = []
    for await (const _ of response.body as unknown as AsyncIterable<Uint8Array>) times.push(performance.now())
    assert.ok((times.at(-1) as number) - (times[0] as number) > 1_000)
  })

  test(`${name}: a WebSocket echoes every message in order`, async () => {
    const socket = new WebSocket(at('/ws').replace('http', 'ws'))
    const got: unknown[] = []
    const sent = Array.from({ length: 200 }, (_, count) => `message ${count} ${'x'.repeat(count)}`)
    await new Promise((resolve, reject) => {
      socket.onopen = () => {
        for (const message of sent) socket.send(message)
      }
      socket.onmessage = ({ data }) => got.push(data) === sent.length && resolve(undefined)
      socket.onerror = reject
    })
    socket.close()
    assert.deepEqual(got, sent)
  })

  test(`${name}: repeated headers survive; nothing of who asks reaches the program`, async () => {
    assert.deepEqual((await fetch(at('/cookies'))).headers.getSetCookie(), ['first=1; Path=/', 'second=2; Path=/'])
    const seen = await (
      await fetch(at('/headers'), {
        headers: {
          'x-forwarded-for': '192.0.2.1',
          forwarded: 'for=192.0.2.1',
          'x-real-ip': '192.0.2.1',
          'x-kept': 'yes',
        },
      })
    ).text()
    assert.doesNotMatch(seen, /192\.0\.2\.1/)
    assert.match(seen, /x-kept/)
  })

  test(`${name}: a program's own failure passes as it is`, async () => {
    assert.equal((await fetch(at('/raise'))).status, 500)
    assert.equal((await fetch(at('/unknown'))).status, 404)
  })
}

test('code that does not load is a clear error; its traceback is in the logs, for the operator only', async () => {
  const bad = host.network.addProgram('bad', 'main:app', { 'main.py': 'import secret_reason' })
  const response = await fetch(host.at(bad))
  const text = await response.text()
  assert.equal(response.status, 502)
  assert.equal(response.headers.get('content-type'), 'application/problem+json')
  assert.equal(JSON.parse(text).code, 'CRN_PROGRAM_START')
  assert.doesNotMatch(text, /secret_reason/)
  assert.match(host.crn.logs(bad) ?? '', /No module named 'secret_reason'/)
  const logs = `${host.crn.url}/control/machine/${bad}/logs`
  assert.equal((await fetch(logs)).status, 401)
  assert.match(await (await fetch(logs, { headers: { authorization: 'Bearer secret' } })).text(), /secret_reason/)
  const before = (await (await fetch(`${host.crn.url}/metrics`)).text()).match(/crn_program_starts_total.*/)?.[0]
  assert.equal((await fetch(host.at(bad))).status, 502)
  const afterwards = (await (await fetch(`${host.crn.url}/metrics`)).text()).match(/crn_program_starts_total.*/)?.[0]
  assert.equal(afterwards, before, 'a second request for it costs no guest')
})

test('a bad archive, wrong bytes, an unknown program and a bad hash each have their code', async () => {
  const { network } = host
  const archive = network.addProgram('archive', 'main:app', {})
  const { content } = await network.program(archive, AbortSignal.timeout(1_000))
  network.setRef((content.code as { ref: string }).ref, network.addFile(Buffer.from('no zip')))
  const lying = network.addProgram('lying', 'main:app', saying('never'))
  const lyingRef = ((await network.program(lying, AbortSignal.timeout(1_000))).content.code as { ref: string }).ref
  network.corrupt(await network.fileHash(lyingRef, '', true, AbortSignal.timeout(1_000)))
  const codes = await Promise.all(
    [archive, lying, 'f'.repeat(64), 'abc'].map(async (hash) => (await json(host.at(hash))).code),
  )
  assert.deepEqual(codes, ['CRN_BAD_ARCHIVE', 'CRN_FILE_HASH', 'CRN_NOT_FOUND', 'CRN_NOT_FOUND'])
})

test('the API has the shapes of the network', async () => {
  const { url } = host.crn
  assert.equal((await fetch(`${url}/about/login`)).status, 401)
  const list = await json(`${url}/v2/about/executions/list`)
  assert.equal(list[python].running, true)
  assert.ok(Date.parse(list[python].status.started_at) > 0)
  assert.deepEqual(Object.keys(await json(`${url}/about/executions/list`)).sort(), Object.keys(list).sort())
  assert.equal((await json(`${url}/about/capability`)).backend, 'fake')
  assert.ok((await json(`${url}/about/usage/system`)).mem.total_kB > 0)
  assert.equal((await json(`${url}/status/config`)).DOMAIN_NAME, 'localhost')
  assert.deepEqual(await json(`${url}/healthz`), { status: 'ok' })
  assert.equal((await json(`${url}/no/such/path`)).code, 'CRN_NOT_FOUND')
})

test('a guest that dies is noticed; the next request starts a fresh one', async () => {
  const hash = host.network.addProgram('mortal', 'main:app', saying('alive'))
  assert.equal(await (await fetch(host.at(hash))).text(), 'alive')
  assert.equal((await fetch(host.at(hash, '/die'), { method: 'POST' })).status, 502)
  assert.equal(await (await fetch(host.at(hash))).text(), 'alive')
})

test('a host that is full says so and when to come back, and makes room once a program is idle', async () => {
  await using small = await startTestHost({ vmsMax: 1, evictIdleMs: 300 })
  const [first, second] = ['a', 'b'].map((name) => small.network.addProgram(name, 'main:app', saying(name))) as [
    string,
    string,
  ]
  assert.equal(await (await fetch(small.at(first))).text(), 'a')
  const refused = await fetch(small.at(second))
  assert.equal(refused.status, 503)
  assert.equal(((await refused.json()) as { code: string }).code, 'CRN_FULL')
  assert.ok(Number(refused.headers.get('retry-after')) > 0)
  await new Promise((resolve) => setTimeout(resolve, 400))
  assert.equal(await (await fetch(small.at(second))).text(), 'b')
  assert.deepEqual(Object.keys(await json(`${small.crn.url}/v2/about/executions/list`)), [second])
})

test('an upgrade loses no request, not even one that is under way', async () => {
  await using small = await startTestHost({ pool: { python: 2, node: 0 } })
  const hash = small.network.addProgram('p', 'main:app', saying('old'))
  const ref = ((await small.network.program(hash, AbortSignal.timeout(1_000))).content.code as { ref: string }).ref
  assert.equal(await (await fetch(small.at(hash))).text(), 'old')
  const slow = fetch(small.at(hash, '/slow')).then((response) => response.text())
  const { packZip } = await import('./table-network.ts')
  small.network.setRef(ref, small.network.addFile(packZip(saying('new'))))
  const texts: string[] = []
  while (texts.at(-1) !== 'new' && texts.length < 5_000) {
    const response = await fetch(small.at(hash))
    assert.equal(response.status, 200)
    texts.push(await response.text())
  }
  assert.equal(texts.at(-1), 'new')
  assert.equal(await slow, 'old')
})

test('an upgrade that does not start leaves the old version in service', async () => {
  await using small = await startTestHost()
  const hash = small.network.addProgram('p', 'main:app', saying('old'))
  const ref = ((await small.network.program(hash, AbortSignal.timeout(1_000))).content.code as { ref: string }).ref
  assert.equal(await (await fetch(small.at(hash))).text(), 'old')
  small.network.setRef(ref, small.network.addFile(Buffer.from('no zip')))
  const failed = async (): Promise<boolean> =>
    /crn_upgrades_total\{result="failed"\} 1/.test(await (await fetch(`${small.crn.url}/metrics`)).text())
  while (!(await failed())) await new Promise((resolve) => setTimeout(resolve, 10))
  assert.equal(await (await fetch(small.at(hash))).text(), 'old')
})

test('a program that does not answer in time is cut with 504', async () => {
  await using small = await startTestHost({ answerTimeoutMs: 1, answerTimeoutMsMax: 300 })
  const hash = small.network.addProgram('p', 'main:app', saying('x'))
  await fetch(small.at(hash))
  const response = await fetch(small.at(hash, '/hang'))
  assert.equal(response.status, 504)
  assert.equal(((await response.json()) as { code: string }).code, 'CRN_PROGRAM_TIMEOUT')
})

test('an idle program is stopped', async () => {
  const { FakeClock } = await import('../../core/clock.ts')
  const clock = new FakeClock()
  await using small = await startTestHost({ idleMs: 10_000 }, { clock })
  const hash = small.network.addProgram('p', 'main:app', saying('x'))
  await (await fetch(small.at(hash))).text()
  const running = async (): Promise<number> =>
    Object.keys(await json(`${small.crn.url}/v2/about/executions/list`)).length
  await clock.advance(8_000)
  assert.equal(await running(), 1)
  await clock.advance(10_000)
  assert.equal(await running(), 0)
})

test('a host that starts after a crash removes what was left and serves', async () => {
  await using first = await startTestHost()
  const left = join(first.stateDir, 'vms', 'left-behind')
  mkdirSync(left)
  writeFileSync(join(left, 'file'), '')
  await first.crn[Symbol.asyncDispose]()
  const { removeStaleVms } = await import('./hypervisor/vm-folder.ts')
  assert.equal(await removeStaleVms(join(first.stateDir, 'vms')), 1)
  assert.deepEqual(readdirSync(join(first.stateDir, 'vms')), [])
  assert.equal(existsSync(left), false)
})

test('a host without a working hypervisor says why', async () => {
  const broken = {
    name: 'broken',
    probe: async () => ({ works: false as const, reason: 'no luck', advice: 'try elsewhere' }),
    create: () => assert.fail(),
  }
  await assert.rejects(startTestHost({}, { hypervisor: () => broken }), {
    code: 'CRN_NO_HYPERVISOR',
    message: /no luck/,
    hint: 'try elsewhere',
  })
})
