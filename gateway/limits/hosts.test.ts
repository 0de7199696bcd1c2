// What one compute host may cost: connections, time, memory.
import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { describe, test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { systemClock } from '../../core/clock.ts'
import { TimingWheel } from '../../core/timing-wheel.ts'
import { gatewayConfigSchema } from '../config.ts'
import { takeBlock } from '../http1/field-block.ts'
import { settingsOf } from '../listen/listen-context.ts'
import { ask } from '../testing/client.ts'
import { connectPlain, converse } from '../testing/conversation.ts'
import { startFakeHost, startRawHost } from '../testing/fake-host.ts'
import { startTestGateway } from '../testing/test-gateway.ts'
import { startTimedGateway } from '../testing/timed-gateway.ts'
import { until } from '../testing/until.ts'
import { HostPools } from '../upstream/host-pools.ts'
import type { AnswerSink, HostRequest } from '../upstream/host-stream.ts'
import { probeHost } from '../upstream/probe-host.ts'

const request = 'GET / HTTP/1.1\r\nHost: app.test\r\n\r\n'
const plainSites = { listen: { plainSites: true } }
const get = (port: number) => ask({ port, host: 'app.test', plain: true })

function poolsOf(config: object = {}): HostPools & AsyncDisposable {
  const wheel = new TimingWheel(systemClock)
  const pools = new HostPools(settingsOf(gatewayConfigSchema.parse(config)), wheel)
  return Object.assign(pools, {
    async [Symbol.asyncDispose]() {
      pools[Symbol.dispose]()
      wheel[Symbol.dispose]()
    },
  })
}

const getRequest = (): HostRequest => ({
  method: 'GET',
  pathPrefix: Buffer.from('/'),
  pathStart: 0,
  pathEnd: 0,
  host: 'app.test',
  fields: takeBlock(),
  extraLines: Buffer.alloc(0),
  bodyBytes: 0,
  upgrade: undefined,
})

const deaf: AnswerSink = {
  onInformational() {},
  onAnswer: () => true,
  onSwitched() {},
  onAnswerBody: () => true,
  onAnswerEnd() {},
  onHostDrain() {},
  onHostFailed() {},
}

/** A host in another thread that stands still: the kernel takes `backlog + 1` connections for it, and lets the others wait. */
async function startStuckHost(): Promise<AsyncDisposable & { port: number }> {
  const program = `
    const { parentPort } = require('node:worker_threads')
    const server = require('node:net').createServer()
    server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
      parentPort.postMessage(server.address().port)
      setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0))
    })`
  const thread = new Worker(program, { eval: true })
  const port = await new Promise<number>((resolve) => thread.once('message', resolve))
  return { port, [Symbol.asyncDispose]: async () => void (await thread.terminate()) }
}

test('one host gets no more connections than allowed; beyond them a request fails at once, and the next place is used again', async () => {
  const waiting: ServerResponse[] = []
  let open = 0
  await using host = await startFakeHost((_, response) => void waiting.push(response))
  host.server.on('connection', (socket: Socket) => {
    open++
    socket.once('close', () => open--)
  })
  await using gateway = await startTestGateway({ ...plainSites, limits: { connectionsPerHostMax: 2 } })
  gateway.hosts.add('one', host.origin)
  await using first = converse(await connectPlain(gateway.httpPort))
  await using second = converse(await connectPlain(gateway.httpPort))
  for (const talk of [first, second]) talk.say(request)
  await until(() => waiting.length === 2)
  const refused = await get(gateway.httpPort)
  assert.equal(refused.status, 502)
  assert.match(refused.body, /has 2 connections open, which is as many as may be/)
  assert.equal(open, 2)
  for (const response of waiting.splice(0)) response.end('ok')
  await first.hear(/ok$/)
  first.say(request)
  await until(() => waiting.length === 1)
  waiting[0]?.end('again')
  await first.hear(/again$/)
  assert.equal(open, 2)
})

test('a host that does not take the connection is given up after connectMs', async () => {
  await using stuck = await startStuckHost()
  const fillers: Socket[] = []
  try {
    // Two fill the queue of the kernel; whoever comes now hears nothing.
    for (let i = 0; i < 2; i++) fillers.push(await connectPlain(stuck.port))
    await using gateway = await startTestGateway({
      ...plainSites,
      timeouts: { connectMs: 300, firstByteMs: 86_400_000 },
    })
    gateway.hosts.add('stuck', `http://127.0.0.1:${stuck.port}`)
    const answer = await get(gateway.httpPort)
    assert.equal(answer.status, 504)
    assert.match(answer.body, /accept the connection.*300 ms/s)
  } finally {
    for (const socket of fillers) socket.destroy()
  }
})

test('a host that takes the request and says nothing is given up after firstByteMs, not before', async () => {
  await using host = await startFakeHost(() => {})
  await using gateway = await startTimedGateway({ timeouts: { firstByteMs: 20_000 } })
  gateway.hosts.add('one', host.origin)
  await using talk = converse(await connectPlain(gateway.httpPort))
  talk.say(request)
  await until(() => host.seen.length === 1)
  await gateway.clock.advance(19_000)
  assert.equal(talk.text, '')
  await gateway.clock.advance(2_000)
  await talk.hear(/^HTTP\/1.1 504 /)
})

test('an answer that stops is cut after answerIdleMs, not before, and each part begins the time anew', async () => {
  const answers: ServerResponse[] = []
  await using host = await startFakeHost((_, response) => {
    response.write('begun,')
    answers.push(response)
  })
  await using gateway = await startTimedGateway({ timeouts: { answerIdleMs: 20_000 } })
  gateway.hosts.add('one', host.origin)
  await using talk = converse(await connectPlain(gateway.httpPort))
  talk.say(request)
  await talk.hear(/begun,/)
  await gateway.clock.advance(19_000)
  answers[0]?.write('more')
  await talk.hear(/more/)
  await gateway.clock.advance(19_000)
  assert.equal(talk.ended, false)
  await gateway.clock.advance(2_000)
  await talk.end()
  assert.doesNotMatch(talk.text, /0\r\n\r\n$/)
})

test('an idle connection to a host is closed after hostIdleMs, and used until then', async () => {
  await using host = await startFakeHost((_, response) => void response.end('ok'))
  let [opened, closed] = [0, 0]
  host.server.keepAliveTimeout = 0
  host.server.on('connection', (socket: Socket) => {
    opened++
    socket.once('close', () => closed++)
  })
  await using gateway = await startTimedGateway()
  gateway.hosts.add('one', host.origin)
  await get(gateway.httpPort)
  await gateway.clock.advance(29_000)
  await get(gateway.httpPort)
  await gateway.clock.advance(29_000)
  assert.deepEqual([opened, closed], [1, 0])
  await gateway.clock.advance(2_000)
  await until(() => closed === 1)
})

test('no more than 512 idle connections are kept for one host', async () => {
  const waiting: ServerResponse[] = []
  await using host = await startFakeHost((_, response) => void waiting.push(response))
  const open = new Set<Socket>()
  host.server.keepAliveTimeout = 0
  host.server.on('connection', (socket: Socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
  })
  await using pools = poolsOf()
  const count = 520
  for (let i = 0; i < count; i++) pools.acquire(host.origin, deaf)?.send(getRequest(), undefined, true)
  await until(() => waiting.length === count)
  for (const response of waiting) response.end('ok')
  await until(() => open.size === 512)
})

test('a host is read 64 KiB at a time, and not at all while nobody takes it', async () => {
  const bytes = 4 * 1024 * 1024
  await using host = await startFakeHost((_, response) => void response.end(Buffer.alloc(bytes)))
  await using pools = poolsOf()
  let [largest, taken, calls, held] = [0, 0, 0, true]
  const ended = new Promise<void>((resolve) => {
    const stream = pools.acquire(host.origin, {
      ...deaf,
      onAnswer: () => true,
      onAnswerBody(part) {
        calls++
        largest = Math.max(largest, part.length)
        taken += part.length
        if (!held) return true
        held = false
        const seen = calls
        setImmediate(() =>
          setImmediate(() => {
            assert.equal(calls, seen, 'more came although nobody wanted it')
            stream?.resumeAnswer()
          }),
        )
        return false
      },
      onAnswerEnd: () => resolve(),
    })
    stream?.send(getRequest(), undefined, true)
  })
  await ended
  assert.ok(largest <= 65_536, String(largest))
  assert.ok(largest > 16_384, String(largest))
  assert.ok(taken > bytes / 2)
})

test('a probe that hangs ends in time', async () => {
  await using host = await startRawHost(() => {})
  await using pools = poolsOf()
  assert.equal(await probeHost(pools, systemClock, { origin: host.origin, path: '/healthz', timeoutMs: 100 }), false)
})

describe('before its answer', () => {
  for (const [count, status] of [
    [16, 200],
    [17, 502],
  ] as const) {
    test(`a host may give ${count === 16 ? 'sixteen' : 'no more than sixteen'} informational answers`, async () => {
      const hints = 'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(count)
      await using host = await startRawHost(
        (socket) => void socket.end(`${hints}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok`),
      )
      await using gateway = await startTestGateway(plainSites)
      gateway.hosts.add('one', host.origin)
      assert.equal((await get(gateway.httpPort)).status, status)
    })
  }
})

for (const [count, status] of [
  [200, 200],
  [201, 502],
] as const) {
  test(`an answer of ${count} fields is ${status}`, async () => {
    const fields = 'A: b\r\n'.repeat(count - 1)
    await using host = await startRawHost(
      (socket) => void socket.end(`HTTP/1.1 200 OK\r\n${fields}Content-Length: 0\r\n\r\n`),
    )
    await using gateway = await startTestGateway(plainSites)
    gateway.hosts.add('one', host.origin)
    assert.equal((await get(gateway.httpPort)).status, status)
  })
}

for (const [bytes, status] of [
  [2_000, 200],
  [2_100, 502],
] as const) {
  test(`where a host may send a head of 2,048 bytes, one of ${bytes} is ${status}`, async () => {
    const head = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: \r\n\r\n'
    const value = 'v'.repeat(bytes - head.length)
    await using host = await startRawHost((socket) => void socket.end(head.replace('X: ', `X: ${value}`)))
    await using gateway = await startTestGateway({ ...plainSites, limits: { upstreamHeadBytesMax: 2_048 } })
    gateway.hosts.add('one', host.origin)
    assert.equal((await get(gateway.httpPort)).status, status)
  })
}
