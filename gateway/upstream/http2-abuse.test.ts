import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FakeClock } from '../../core/clock.ts'
import { blockOf } from '../http1/field-block.ts'
import { poison } from '../http1/message-socket.ts'
import { FrameType } from '../http2/frame.ts'
import { data, frame, headers, reset, settingsFrame, uint32, windowUpdate } from '../listen/http2/testing/raw-client.ts'
import type { HostFailure } from './host-stream.ts'
import { hostRequest, send, testPools } from './testing/host-client.ts'
import { goaway, type RawHostConnection, startRawHttp2Host } from './testing/raw-host.ts'

// Memory is overwritten as soon as it counts as free: whoever still reads it shows.
poison.on = true

type Answer = (connection: RawHostConnection, id: number) => void

/** What becomes of a request to a host that answers with these frames. */
async function failureOf(
  answer: Answer,
  options: { method?: string; timeouts?: object } = {},
): Promise<HostFailure | undefined> {
  await using host = await startRawHttp2Host(answer)
  using pools = testPools(options.timeouts ? { timeouts: options.timeouts } : {})
  const sink = await send(pools, host.origin, hostRequest('/', { method: options.method ?? 'GET' })).ended()
  assert.deepEqual(pools.errors, [])
  return sink.failure
}

const ok = [':status', '200']
const malformed: Record<string, Answer> = {
  'no :status': (host, id) => host.send(headers(id, ['x-a', '1'])),
  'a request pseudo-field': (host, id) => host.send(headers(id, [':status', '200', ':path', '/'])),
  'two :status': (host, id) => host.send(headers(id, [':status', '200', ':status', '200'])),
  'a :status after other fields': (host, id) => host.send(headers(id, ['x-a', '1', ':status', '200'])),
  'a status that is no number': (host, id) => host.send(headers(id, [':status', '2x0'])),
  'a status of 99': (host, id) => host.send(headers(id, [':status', '099'])),
  'a status of 600': (host, id) => host.send(headers(id, [':status', '600'])),
  'a 101': (host, id) => host.send(headers(id, [':status', '101'], false)),
  'a name in capitals': (host, id) => host.send(headers(id, [...ok, 'X-A', '1'])),
  'a name with a space': (host, id) => host.send(headers(id, [...ok, 'x a', '1'])),
  'a line end in a value': (host, id) => host.send(headers(id, [...ok, 'x-a', '1\r\nx-b: 2'])),
  'a NUL in a value': (host, id) => host.send(headers(id, [...ok, 'x-a', '1\0'])),
  'a Connection field': (host, id) => host.send(headers(id, [...ok, 'connection', 'close'])),
  'a Transfer-Encoding field': (host, id) => host.send(headers(id, [...ok, 'transfer-encoding', 'chunked'])),
  'two lengths': (host, id) => host.send(headers(id, [...ok, 'content-length', '1', 'content-length', '1'], false)),
  'a length that is no number': (host, id) => host.send(headers(id, [...ok, 'content-length', '1e1'], false)),
  'less body than its length': (host, id) =>
    host.send(headers(id, [...ok, 'content-length', '5'], false), data(id, 'abc', true)),
  'no body for a length': (host, id) => host.send(headers(id, [...ok, 'content-length', '5'])),
  'more body than its length': (host, id) =>
    host.send(headers(id, [...ok, 'content-length', '2'], false), data(id, 'abc', true)),
  'a body to 304': (host, id) => host.send(headers(id, [':status', '304'], false), data(id, 'abc', true)),
  'a body before the head': (host, id) => host.send(data(id, 'abc', true), headers(id, ok)),
  'an end before the head': (host, id) => host.send(data(id, '', true)),
  'an informational answer that ends': (host, id) => host.send(headers(id, [':status', '103'])),
  'endless informational answers': (host, id) => {
    for (let i = 0; i < 20; i++) host.send(headers(id, [':status', '103', 'x-a', String(i)], false))
  },
  'a head beyond the limit': (host, id) => host.send(headers(id, [...ok, 'x-a', 'a'.repeat(40_000)])),
  'more fields than the limit': (host, id) =>
    host.send(headers(id, [...ok, ...Array.from({ length: 201 }, (_, i) => [`x-${i}`, '1']).flat()])),
  'trailers with a pseudo-field': (host, id) => host.send(headers(id, ok, false), headers(id, [':status', '200'])),
  'trailers that do not end': (host, id) => host.send(headers(id, ok, false), headers(id, ['x-a', '1'], false)),
}
for (const [what, answer] of Object.entries(malformed))
  test(`an answer with ${what} is refused, and not one byte of it used`, async () => {
    const failure = await failureOf(answer)
    assert.equal(failure?.kind, 'invalid')
    assert.equal(failure?.refused, false)
  })

test('a malformed answer spoils its own stream only', async () => {
  await using host = await startRawHttp2Host((connection, id, fields) => {
    const bad = fields.includes('/bad')
    connection.send(headers(id, bad ? ['x-a', '1'] : ok))
  })
  using pools = testPools()
  assert.equal((await send(pools, host.origin, hostRequest('/bad')).ended()).failure?.kind, 'invalid')
  assert.equal((await send(pools, host.origin, hostRequest('/good')).ended()).status, 200)
  assert.equal(host.connections.length, 1)
  assert.equal(await (await host.first()).error(1), 1)
})

test('HEAD gets no body, not even when the host sends one', async () => {
  const failure = await failureOf(
    (host, id) => host.send(headers(id, [...ok, 'content-length', '3'], false), data(id, 'abc', true)),
    { method: 'HEAD' },
  )
  assert.equal(failure?.kind, 'invalid')
})

/** What ends the whole connection, with the error code that the host is told. */
const faults: Record<string, [number, Answer]> = {
  'a push': [
    1,
    (host, id) => host.send(frame(FrameType.pushPromise, 4, id, Buffer.concat([uint32(2), Buffer.of(0x88)]))),
  ],
  'an answer on a stream that does not exist': [1, (host) => host.send(headers(99, ok))],
  'an answer on a stream of its own': [1, (host) => host.send(headers(2, ok))],
  'SETTINGS that allow pushes': [1, (host) => host.send(settingsFrame([[2, 1]]))],
  'a window beyond the largest': [3, (host) => host.send(windowUpdate(0, 0x7fff_ffff))],
  'a header block that cannot be decoded': [
    9,
    (host, id) => host.send(frame(FrameType.headers, 5, id, Buffer.of(0xff, 0xff, 0xff))),
  ],
  'a frame beyond 16 KiB': [6, (host, id) => host.send(frame(FrameType.data, 0, id, Buffer.alloc(16_385)))],
  'another frame within a header block': [
    1,
    (host, id) => host.send(frame(FrameType.headers, 0, id, Buffer.of(0x88)), data(id, 'abc')),
  ],
  'endless CONTINUATION': [
    11,
    (host, id) => {
      host.send(frame(FrameType.headers, 0, id, Buffer.of(0x88)))
      for (let i = 0; i < 40; i++) host.send(frame(FrameType.continuation, 0, id))
    },
  ],
  'a flood of SETTINGS': [11, (host) => host.send(...Array.from({ length: 300 }, () => settingsFrame([])))],
  'a flood of PING': [
    11,
    (host) => host.send(...Array.from({ length: 6_000 }, () => frame(FrameType.ping, 0, 0, Buffer.alloc(8)))),
  ],
  'a flood of empty DATA': [
    11,
    (host, id) => host.send(headers(id, ok, false), ...Array.from({ length: 300 }, () => data(id, ''))),
  ],
}
for (const [what, [code, answer]] of Object.entries(faults))
  test(`a host that sends ${what} loses its connection`, async () => {
    await using host = await startRawHttp2Host(answer)
    using pools = testPools()
    const sink = send(pools, host.origin, hostRequest('/'))
    await sink.ended()
    assert.equal(sink.failure?.kind, 'invalid')
    const connection = await host.first()
    assert.equal(await connection.error(0), code)
    await connection.until(() => connection.closed)
    assert.deepEqual(pools.errors, [])
  })

test('a small stream window that is overrun costs the stream', async () => {
  await using host = await startRawHttp2Host((connection, id) => {
    connection.send(headers(id, ok, false))
    for (let i = 0; i < 20; i++) connection.send(data(id, Buffer.alloc(16_384)))
  })
  using pools = testPools()
  const sink = send(pools, host.origin, hostRequest('/'))
  sink.paused = true
  await sink.ended()
  assert.equal(sink.failure?.kind, 'invalid')
  assert.equal(await (await host.first()).error(1), 3)
})

test('what the host turned away had no effect, and may go elsewhere', async () => {
  const failure = await failureOf((host, id) => host.send(reset(id, 7)))
  assert.deepEqual([failure?.refused, failure?.stale, failure?.declined], [true, false, true])
})

test('a reset for any other reason may have had one', async () => {
  const failure = await failureOf((host, id) => host.send(reset(id, 2)))
  assert.deepEqual([failure?.kind, failure?.refused], ['unreachable', false])
})

test('a reset in the middle of an answer is a failure, after its end it is none', async () => {
  let wasReset = false
  await using host = await startRawHttp2Host((connection, id, fields) => {
    if (fields.includes('/slow')) {
      connection.send(headers(id, ok, false), data(id, Buffer.alloc(10_000)))
      for (let i = 0; i < 3; i++) connection.send(data(id, Buffer.alloc(10_000), i === 2))
      connection.send(reset(id, 0))
      wasReset = true
      return
    }
    const early = fields.includes('/early')
    connection.send(headers(id, ok, false), data(id, 'abc', !early), reset(id, early ? 7 : 0))
  })
  using pools = testPools()
  const early = await send(pools, host.origin, hostRequest('/early')).ended()
  assert.deepEqual([early.failure?.kind, early.failure?.refused], ['unreachable', false])
  const late = send(pools, host.origin, hostRequest('/late', { method: 'POST', bodyBytes: -1 }), { last: false })
  await late.ended()
  assert.equal(late.failure, undefined)
  assert.equal(late.body.toString(), 'abc')
  // Nor is it one for a client that has not taken all of the answer yet.
  const slow = send(pools, host.origin, hostRequest('/slow', { method: 'POST', bodyBytes: -1 }), { last: false })
  slow.paused = true
  await slow.until(() => slow.status === 200)
  await (await host.first()).until(() => wasReset)
  const settled = send(pools, host.origin, hostRequest('/late'))
  await settled.ended()
  slow.go()
  await slow.ended()
  assert.equal(slow.failure, undefined)
  assert.equal(slow.body.length, 40_000)
})

test('a GOAWAY turns away what came after its last stream, lets the others finish, and later ones go to a new connection', async () => {
  await using host = await startRawHttp2Host((connection, id) => {
    if (host.connections.length > 1) return connection.send(headers(id, [...ok, 'x-connection', '2']))
    if (id === 1) connection.send(headers(id, ok))
    if (id !== 7) return
    connection.send(goaway(3, 0))
    connection.send(headers(3, ok, false), data(3, 'abc', true))
  })
  using pools = testPools()
  await send(pools, host.origin, hostRequest('/1')).ended()
  const [third, fifth, seventh] = ['/3', '/5', '/7'].map((path) =>
    send(pools, host.origin, hostRequest(path, { method: 'POST', fields: blockOf([]) })),
  )
  assert.equal((await third?.ended())?.body.toString(), 'abc')
  for (const sink of [fifth, seventh]) {
    const { failure } = (await sink?.ended()) ?? {}
    // It had served well before: ending connections now and then is no failure of the host.
    assert.deepEqual([failure?.refused, failure?.stale], [true, true])
  }
  const next = await send(pools, host.origin, hostRequest('/next')).ended()
  assert.ok(next.fields.includes('x-connection'))
  await host.connections[0]?.until(() => host.connections[0]?.closed === true)
})

test('a host that closes while a connection is at rest is asked again on a new one', async () => {
  await using host = await startRawHttp2Host((connection, id) => {
    if (id === 1) return connection.send(headers(id, ok))
    connection.socket.destroy()
  })
  using pools = testPools()
  await send(pools, host.origin, hostRequest('/1')).ended()
  const lost = await send(pools, host.origin, hostRequest('/2')).ended()
  assert.deepEqual([lost.failure?.kind, lost.failure?.stale, lost.failure?.refused], ['unreachable', true, false])
  assert.equal((await send(pools, host.origin, hostRequest('/3')).ended()).status, 200)
})

test('a connection that breaks in the middle of an answer is a failure of the host', async () => {
  const failure = await failureOf((host, id) => {
    host.send(headers(id, ok, false), data(id, 'abc'))
    setTimeout(() => host.socket.destroy(), 20)
  })
  assert.deepEqual([failure?.kind, failure?.stale], ['unreachable', false])
  assert.match(failure?.what ?? '', /in the middle of its answer/)
})

test('a host that never begins its answer is given up, and told so', async () => {
  await using host = await startRawHttp2Host(() => {})
  using pools = testPools({ timeouts: { firstByteMs: 100 } })
  const { failure } = await send(pools, host.origin, hostRequest('/')).ended()
  assert.deepEqual([failure?.kind, failure?.what, failure?.refused], ['timeout', 'begin its answer', false])
  assert.equal(await (await host.first()).error(1), 8)
})

test('a host that stops in the middle of its answer is given up', async () => {
  const failure = await failureOf((host, id) => host.send(headers(id, ok, false), data(id, 'abc')), {
    timeouts: { answerIdleMs: 100 },
  })
  assert.deepEqual([failure?.kind, failure?.what], ['timeout', 'go on with its answer'])
})

test('who leaves in the middle of what was kept for it hears no more', async () => {
  let ended = false
  await using host = await startRawHttp2Host((connection, id) => {
    connection.send(headers(id, ok, false), data(id, Buffer.alloc(10_000)), data(id, Buffer.alloc(10_000)))
    connection.send(data(id, Buffer.alloc(10_000), true))
    ended = true
  })
  using pools = testPools()
  const sink = send(pools, host.origin, hostRequest('/'))
  sink.paused = true
  await (await host.first()).until(() => ended)
  assert.equal((await send(pools, host.origin, hostRequest('/')).ended()).body.length, 30_000)
  const seen = sink.body.length
  sink.onAnswerBody = () => {
    sink.stream?.cancel()
    return true
  }
  sink.go()
  assert.equal(sink.over, false)
  assert.ok(seen < 30_000)
})

test('a client that keeps its answer waiting is no fault of the host', async () => {
  const clock = new FakeClock()
  await using host = await startRawHttp2Host((connection, id) => {
    connection.send(headers(id, ok, false), data(id, Buffer.alloc(10_000)))
    connection.send(data(id, Buffer.alloc(10_000)))
  })
  using pools = testPools({ timeouts: { answerIdleMs: 1_000 } }, clock)
  const sink = send(pools, host.origin, hostRequest('/'))
  sink.paused = true
  await sink.until(() => sink.status === 200)
  await clock.advance(5_000)
  assert.equal(sink.over, false)
  host.connections[0]?.send(data(1, 'the rest', true))
  sink.go()
  assert.equal((await sink.ended()).body.length, 20_008)
})

test('a length on an answer that cannot have a body does not pass', async () => {
  await using host = await startRawHttp2Host((connection, id) =>
    connection.send(headers(id, [':status', '204', 'content-length', '5', 'x-a', '1'])),
  )
  using pools = testPools()
  const answer = await send(pools, host.origin, hostRequest('/')).ended()
  assert.deepEqual([answer.status, answer.fields], [204, ['x-a', '1']])
})

test('a host that never takes the request is given up', async () => {
  await using host = await startRawHttp2Host(() => {}, settingsFrame([[4, 0]]))
  using pools = testPools({ timeouts: { bodyIdleMs: 100 } })
  const body = Buffer.alloc(100_000)
  const sink = send(pools, host.origin, hostRequest('/', { method: 'POST', bodyBytes: body.length }), { body })
  await sink.ended()
  assert.deepEqual([sink.failure?.kind, sink.failure?.what], ['timeout', 'take the request'])
})

test('a host that never sends SETTINGS is given up', async () => {
  await using host = await startRawHttp2Host(() => {}, Buffer.alloc(0))
  using pools = testPools({ timeouts: { connectMs: 100 } })
  const { failure } = await send(pools, host.origin, hostRequest('/')).ended()
  assert.deepEqual([failure?.kind, failure?.what], ['timeout', 'accept the connection'])
})

test('a connection that broke without a word is found out with the next request, and replaced', async () => {
  const clock = new FakeClock()
  let silent = false
  await using host = await startRawHttp2Host((connection, id) => {
    if (!silent) connection.send(headers(id, ok), frame(FrameType.ping, 1, 0, Buffer.alloc(8)))
  })
  using pools = testPools({}, clock)
  assert.equal((await send(pools, host.origin, hostRequest('/')).ended()).status, 200)
  await clock.advance(11_000)
  // Somebody is there: all is well, and the connection rests as long as any.
  assert.equal((await send(pools, host.origin, hostRequest('/')).ended()).status, 200)
  const connection = await host.first()
  await connection.until(() => connection.of(FrameType.ping).length === 1)
  await clock.advance(11_000)
  silent = true
  const lost = send(pools, host.origin, hostRequest('/'))
  await connection.until(() => connection.of(FrameType.ping).length === 2)
  await clock.advance(4_000)
  const { failure } = await lost.ended()
  assert.deepEqual([failure?.kind, failure?.stale, failure?.refused], ['unreachable', true, false])
  silent = false
  const again = send(pools, host.origin, hostRequest('/'))
  assert.equal((await again.ended()).status, 200)
  assert.equal(host.connections.length, 2)
})

test('the first frames tell a host its windows, that pushes are off, and how large a head may be', async () => {
  await using host = await startRawHttp2Host((connection, id) => connection.send(headers(id, ok)))
  using pools = testPools()
  await send(pools, host.origin, hostRequest('/')).ended()
  const { frames } = await host.first()
  const told = new Map<number, number>()
  const payload = frames[0]?.payload ?? Buffer.alloc(0)
  for (let at = 0; at < payload.length; at += 6) told.set(payload.readUInt16BE(at), payload.readUInt32BE(at + 2))
  assert.deepEqual(
    [...told],
    [
      [2, 0],
      [4, 262_144],
      [1, 4_096],
      [5, 16_384],
      [6, 32_768 + 32 * 200],
    ],
  )
  assert.deepEqual(
    [frames[1]?.type, frames[1]?.id, frames[1]?.payload.readUInt32BE(0)],
    [FrameType.windowUpdate, 0, 4_194_304 - 65_535],
  )
})

test('until a host has told how many requests it takes, it gets sixteen', async () => {
  const open: number[] = []
  await using host = await startRawHttp2Host((_, id) => void open.push(id), Buffer.alloc(0))
  using pools = testPools()
  const sinks = Array.from({ length: 30 }, () => send(pools, host.origin, hostRequest('/')))
  const connection = await host.first()
  await connection.until(() => open.length === 16)
  // It answers a PING of ours only after what we had sent before: nothing more has come by then.
  connection.send(settingsFrame([[3, 20]]), frame(FrameType.ping, 0, 0, Buffer.alloc(8)))
  await connection.until(() => connection.of(FrameType.ping).length === 1)
  const first = connection.frames.findIndex(({ type, flags }) => type === FrameType.settings && flags === 1)
  assert.equal(connection.frames.slice(0, first).filter(({ type }) => type === FrameType.headers).length, 16)
  // Four more find room here; the others go to another connection.
  await connection.until(() => open.length === 30)
  assert.equal(connection.of(FrameType.headers).length, 20)
  host.connections[1]?.send(settingsFrame([]))
  for (const each of host.connections) for (const { id, fields } of each.frames) if (fields) each.send(headers(id, ok))
  for (const sink of sinks) assert.equal((await sink.ended()).status, 200)
})

test('an idle connection is closed after its time, with a GOAWAY', async () => {
  await using host = await startRawHttp2Host((connection, id) => connection.send(headers(id, ok)))
  using pools = testPools({ timeouts: { hostIdleMs: 100 } })
  await send(pools, host.origin, hostRequest('/')).ended()
  const connection = await host.first()
  assert.equal(await connection.error(0), 0)
  await connection.until(() => connection.closed)
})

test('a host that takes few requests at a time gets no more on one connection', async () => {
  const open: [RawHostConnection, number][] = []
  await using host = await startRawHttp2Host(
    (connection, id) => void open.push([connection, id]),
    settingsFrame([[3, 2]]),
  )
  using pools = testPools()
  const first = send(pools, host.origin, hostRequest('/'))
  await (await host.first()).until(() => open.length === 1)
  const answered = open.pop()
  answered?.[0].send(headers(answered[1], ok))
  await first.ended()
  const sinks = Array.from({ length: 7 }, () => send(pools, host.origin, hostRequest('/')))
  await (await host.first()).until(() => open.length === 7)
  assert.equal(host.connections.length, 4)
  for (const connection of host.connections) assert.ok(open.filter(([on]) => on === connection).length <= 2)
  for (const [connection, id] of open) connection.send(headers(id, ok))
  for (const sink of sinks) assert.equal((await sink.ended()).status, 200)
})

test('a host that takes no requests at all says so to each, and none waits', async () => {
  await using host = await startRawHttp2Host((connection, id) => connection.send(reset(id, 7)), settingsFrame([[3, 0]]))
  using pools = testPools()
  const sinks = Array.from({ length: 30 }, () => send(pools, host.origin, hostRequest('/')))
  for (const sink of sinks) assert.equal((await sink.ended()).failure?.refused, true)
})
