/** Every limit of an HTTP/2 connection: with it the abuse ends, without it the same bytes are served, so each test shows its limit at work. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import type { Exchange } from '../../forward/exchange.ts'
import type { Http2Config } from '../../http2/config.ts'
import { ErrorCode } from '../../http2/error-code.ts'
import { FrameType, Setting } from '../../http2/frame.ts'
import { until } from '../../testing/until.ts'
import {
  block,
  data,
  frame,
  headers,
  RawClient,
  request,
  reset,
  settingsFrame,
  windowUpdate,
} from './testing/raw-client.ts'
import { answerText, answerWith, sink, startHttp2Server } from './testing/test-server.ts'

const times = (count: number, make: (i: number) => Buffer): Buffer[] => Array.from({ length: count }, (_, i) => make(i))
const id = (i: number): number => 2 * i + 1

interface Flood {
  what: string
  limit: Partial<Http2Config>
  lifted: Partial<Http2Config>
  bytes: Buffer[]
}

const bomb = Buffer.concat([
  Buffer.from([0x40, 1, 0x78, 0x7f, 0xa1, 0x1e]), // x: 4,000 bytes, into the table
  Buffer.alloc(4_000, 'b'),
  Buffer.alloc(100, 0xbe),
])

const floods: Flood[] = [
  {
    what: 'streams opened and reset',
    limit: { resetsPerSecond: 20 },
    lifted: { resetsPerSecond: 1_000 },
    bytes: times(21, (i) => Buffer.concat([headers(id(i), request('GET', '/wait')), reset(id(i))])),
  },
  {
    what: 'streams that the client makes us reset',
    limit: { resetsPerSecond: 20 },
    lifted: { resetsPerSecond: 1_000 },
    bytes: times(21, (i) => Buffer.concat([headers(id(i), request('GET', '/wait')), windowUpdate(id(i), 0)])),
  },
  {
    what: 'malformed requests',
    limit: { resetsPerSecond: 20 },
    lifted: { resetsPerSecond: 1_000 },
    bytes: times(21, (i) => headers(id(i), [...request(), 'connection', 'x'])),
  },
  {
    what: 'streams beyond the number allowed',
    limit: { resetsPerSecond: 20, streamsMax: 1 },
    lifted: { resetsPerSecond: 1_000, streamsMax: 1 },
    bytes: times(22, (i) => headers(id(i), request('GET', '/wait'))),
  },
  {
    what: 'PING frames',
    limit: { pingsPerSecond: 20 },
    lifted: { pingsPerSecond: 1_000 },
    bytes: times(21, () => frame(FrameType.ping, 0, 0, Buffer.alloc(8))),
  },
  {
    what: 'PING answers to nothing',
    limit: { pingsPerSecond: 20 },
    lifted: { pingsPerSecond: 1_000 },
    bytes: times(21, () => frame(FrameType.ping, 1, 0, Buffer.alloc(8))),
  },
  {
    what: 'SETTINGS frames',
    limit: { settingsPerSecond: 20 },
    lifted: { settingsPerSecond: 1_000 },
    bytes: times(21, () => settingsFrame([])),
  },
  {
    what: 'settings in one frame',
    limit: { settingsPerSecond: 20 },
    lifted: { settingsPerSecond: 1_000 },
    bytes: [settingsFrame(Array.from({ length: 21 }, (_, i) => [Setting.initialWindowSize, 65_535 + i] as const))],
  },
  {
    what: 'SETTINGS ACK frames',
    limit: { settingsPerSecond: 20 },
    lifted: { settingsPerSecond: 1_000 },
    bytes: times(21, () => frame(FrameType.settings, 1, 0)),
  },
  {
    what: 'empty DATA frames',
    limit: { emptyFramesPerSecond: 20 },
    lifted: { emptyFramesPerSecond: 1_000 },
    bytes: [headers(1, request('POST', '/wait'), false), ...times(21, () => data(1, ''))],
  },
  {
    what: 'DATA frames of padding alone',
    limit: { emptyFramesPerSecond: 20 },
    lifted: { emptyFramesPerSecond: 1_000 },
    bytes: [
      headers(1, request('POST', '/wait'), false),
      ...times(21, () => frame(FrameType.data, 8, 1, Buffer.of(2, 0, 0))),
    ],
  },
  {
    what: 'WINDOW_UPDATE frames',
    limit: { windowUpdatesPerSecond: 20 },
    lifted: { windowUpdatesPerSecond: 1_000 },
    bytes: times(21, () => windowUpdate(0, 1)),
  },
  {
    what: 'PRIORITY frames',
    limit: { otherFramesPerSecond: 20 },
    lifted: { otherFramesPerSecond: 1_000 },
    bytes: times(21, () => frame(FrameType.priority, 0, 1, Buffer.alloc(5))),
  },
  {
    what: 'unknown frames',
    limit: { otherFramesPerSecond: 20 },
    lifted: { otherFramesPerSecond: 1_000 },
    bytes: times(21, () => frame(0x99, 0, 0)),
  },
  {
    what: 'DATA for a stream that was reset long ago',
    limit: { otherFramesPerSecond: 20 },
    lifted: { otherFramesPerSecond: 1_000 },
    bytes: [headers(1, [...request(), 'connection', 'x'], false), ...times(21, () => data(1, 'x'))],
  },
  {
    what: 'CONTINUATION frames',
    limit: { continuationsMax: 4 },
    lifted: { continuationsMax: 1_000 },
    bytes: [
      frame(FrameType.headers, 1, 1, block(request('GET', '/wait'))),
      ...times(4, () => frame(FrameType.continuation, 0, 1)),
      frame(FrameType.continuation, 4, 1),
    ],
  },
  {
    what: 'a header block without end',
    limit: { headerBlockBytesMax: 40_000 },
    lifted: { headerBlockBytesMax: 1_000_000 },
    bytes: [
      headers(1, [
        ...request('GET', '/wait'),
        ...times(5, () => Buffer.alloc(9_000, 'v')).flatMap((value) => ['x', value.toString()]),
      ]),
    ],
  },
  {
    what: 'a header block that unfolds without end',
    limit: { headerListBytesMax: 300_000 },
    lifted: { headerListBytesMax: 1_000_000 },
    bytes: [frame(FrameType.headers, 5, 1, Buffer.concat([block(request('GET', '/wait')), bomb]))],
  },
]

for (const { what, limit, lifted, bytes } of floods) {
  test(`a flood ends the connection: ${what}`, async () => {
    const handle = (exchange: Exchange): void => exchange.listen(sink())
    {
      await using server = await startHttp2Server({ limits: limit, handle })
      await using client = await RawClient.start(server.port)
      client.send(...bytes)
      assert.equal(await client.error(0), ErrorCode.enhanceYourCalm)
      await until(() => server.open === 0)
    }
    await using server = await startHttp2Server({ limits: lifted, handle })
    await using client = await RawClient.start(server.port)
    client.send(...bytes)
    await client.settle()
    assert.equal(client.has(FrameType.goaway), false)
  })
}

test('budgets are per second: the same number spread over time is no flood', async () => {
  await using server = await startHttp2Server({ limits: { pingsPerSecond: 20 }, handle() {} })
  await using client = await RawClient.start(server.port)
  for (let second = 0; second < 4; second++) {
    client.send(...times(18, () => frame(FrameType.ping, 0, 0, Buffer.alloc(8))))
    await client.settle()
    await server.clock.advance(1_500)
  }
  assert.equal(client.has(FrameType.goaway), false)
})

test('a client that takes much data may send as many window updates as that calls for', async () => {
  await using server = await startHttp2Server({
    limits: { windowUpdatesPerSecond: 5 },
    handle: (exchange) => void answerWith(exchange, 200, [], Buffer.alloc(400_000), true),
  })
  await using client = await RawClient.start(server.port)
  client.send(headers(1, request()))
  let [taken, updated] = [0, 0]
  while (taken < 400_000) {
    await client.until(() => client.body(1).length > taken)
    const fresh = client.body(1).length - taken
    taken += fresh
    updated += 2
    client.send(windowUpdate(0, fresh), windowUpdate(1, fresh))
  }
  await client.ended(1)
  assert.ok(updated > 10, String(updated))
})

test('more streams than allowed are refused in a way that lets the client repeat them', async () => {
  const waiting: Exchange[] = []
  await using server = await startHttp2Server({
    limits: { streamsMax: 2 },
    handle: (exchange) => void waiting.push(exchange),
  })
  await using client = await RawClient.start(server.port)
  const [, max] = [...(client.of(FrameType.settings, 0)[0]?.payload ?? [])]
    .slice(0, 6)
    .reduce(([n, value], byte, i) => [n, i < 2 ? 0 : (value as number) * 256 + byte], [0, 0])
  assert.equal(max, 2)
  client.send(...[1, 3, 5].map((stream) => headers(stream, request('GET', '/wait'))))
  assert.equal(await client.error(5), ErrorCode.refusedStream)
  answerText(waiting[0] as Exchange, 200, 'x')
  client.send(headers(7, request('GET', '/wait')))
  await until(() => waiting.length === 3)
})

test('a client that sends but does not read is no longer read from', async () => {
  await using server = await startHttp2Server({
    limits: { pingsPerSecond: 1_000_000, outputBytesMax: 32_768 },
    handle() {},
  })
  await using client = await RawClient.start(server.port)
  client.socket.pause()
  const pings = Buffer.concat(times(1_000, () => frame(FrameType.ping, 0, 0, Buffer.alloc(8))))
  let taken = true
  let sent = 0
  // The answers fill both ends' socket buffers, then ours, then nothing is read any more and the client's own buffers fill.
  while (taken && sent < 60_000_000) {
    taken = client.socket.write(pings)
    sent += pings.length
    if (!taken)
      taken = await Promise.race([
        once(client.socket, 'drain').then(() => true),
        paused(server.sockets[0] as TLSSocket),
      ])
  }
  assert.equal(taken, false, `${sent} bytes were taken`)
  client.socket.resume()
  await until(() => server.sockets[0]?.isPaused() === false)
})

async function paused(socket: { isPaused(): boolean }): Promise<boolean> {
  await until(() => socket.isPaused())
  return false
}

test('what waits for a client that does not read stays within its bounds', async () => {
  let given = 0
  await using server = await startHttp2Server({
    handle(exchange) {
      const part = Buffer.alloc(65_536)
      const more = (): void => {
        while (exchange.write(part)) given += part.length
        given += part.length
      }
      exchange.listen(sink({ onClientDrain: more }))
      answerWith(exchange, 200, [], undefined, false)
      more()
    },
  })
  await using client = await RawClient.start(server.port, [[Setting.initialWindowSize, 0x7fff_ffff]])
  client.send(windowUpdate(0, 0x7000_0000))
  client.socket.pause()
  client.send(...times(10, (i) => headers(id(i), request())))
  let before = -1
  // The kernel's buffers take some megabytes; then everything stands.
  await until(async () => {
    const still = given === before
    before = given
    for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve))
    return still && given > 0
  })
  const socket = server.sockets[0]
  assert.ok(socket && socket.writableLength <= 70_000, String(socket?.writableLength))
})

test('a silent client is closed: before its preface, within a header block, and between requests', async () => {
  await using server = await startHttp2Server({ handle: (exchange) => answerText(exchange, 200, 'x') })
  await using mute = await RawClient.open(server.port)
  await using midway = await RawClient.start(server.port)
  await using idle = await RawClient.start(server.port)
  await using partial = await RawClient.start(server.port)
  midway.send(frame(FrameType.headers, 1, 1, block(request())))
  await until(() => server.connections.size === 4)
  idle.send(headers(1, request()))
  await idle.ended(1)
  const arrived = once(server.sockets[3] as TLSSocket, 'data')
  partial.send(headers(1, request()).subarray(0, 20))
  await arrived
  // Single bytes do not buy time.
  for (let i = 0; i < 5; i++) {
    await server.clock.advance(3_000)
    if (!midway.closed) midway.send(frame(FrameType.continuation, 0, 1, Buffer.alloc(0)))
  }
  await server.clock.advance(1_000)
  assert.equal(await midway.error(0), ErrorCode.enhanceYourCalm)
  assert.equal(await mute.error(0), ErrorCode.enhanceYourCalm)
  assert.equal(await partial.error(0), ErrorCode.enhanceYourCalm)
  assert.equal(idle.has(FrameType.goaway), false)
  await server.clock.advance(70_000)
  assert.equal(await idle.error(0), ErrorCode.none)
  await server.clock.advance(5_000)
  await until(() => server.connections.size === 0)
})

test('an upload that stops is given up, unless it is us who do not read', async () => {
  const gone: string[] = []
  await using server = await startHttp2Server({
    handle(exchange) {
      const { path } = exchange
      exchange.readBody(sink({ onBody: () => path !== '/paused', onClientGone: () => void gone.push(path) }))
    },
  })
  await using client = await RawClient.start(server.port)
  client.send(headers(1, request('POST', '/stops'), false), headers(3, request('POST', '/paused'), false), data(3, 'x'))
  await client.settle()
  await server.clock.advance(50_000)
  assert.deepEqual(gone, [])
  await server.clock.advance(14_000)
  assert.equal(await client.error(1), ErrorCode.cancel)
  assert.deepEqual(gone, ['/stops'])
})

test('an answer that the client never opens its window for is given up', async () => {
  const gone: string[] = []
  await using server = await startHttp2Server({
    timeouts: { answerIdleMs: 20_000 },
    handle(exchange) {
      exchange.listen(sink({ onClientGone: () => void gone.push('gone') }))
      answerWith(exchange, 200, [], Buffer.alloc(100_000), true)
    },
  })
  await using client = await RawClient.start(server.port, [[Setting.initialWindowSize, 10]])
  client.send(headers(1, request()))
  await client.settle()
  await server.clock.advance(15_000)
  client.send(windowUpdate(1, 10))
  await client.settle()
  await server.clock.advance(15_000)
  assert.deepEqual(gone, [])
  await server.clock.advance(10_000)
  assert.equal(await client.error(1), ErrorCode.cancel)
  assert.deepEqual([gone, server.ended[0]?.ending], [['gone'], 'cut'])
})

test('a client whose socket takes nothing is cut off', async () => {
  await using server = await startHttp2Server({
    timeouts: { answerIdleMs: 20_000, bodyIdleMs: 20_000 },
    handle(exchange) {
      const part = Buffer.alloc(65_536)
      const more = (): void => {
        while (exchange.write(part));
      }
      exchange.listen(sink({ onClientDrain: more }))
      answerWith(exchange, 200, [], undefined, false)
      more()
    },
  })
  await using client = await RawClient.start(server.port, [[Setting.initialWindowSize, 0x7fff_ffff]])
  client.socket.pause()
  client.send(windowUpdate(0, 0x7000_0000), headers(1, request()))
  await until(() => server.open === 1)
  await until(async () => {
    await server.clock.advance(4_000)
    return server.connections.size === 0
  })
  assert.equal(server.ended[0]?.ending, 'cut')
})

test('a WebSocket may be silent for as long as its site allows, and is then cut', async () => {
  await using server = await startHttp2Server({
    handle(exchange) {
      exchange.listen(sink())
      exchange.idleMs = 100_000
      exchange.upgrade(exchange.head.fields, [])
    },
  })
  await using client = await RawClient.start(server.port)
  const fields = [
    ':method',
    'CONNECT',
    ':protocol',
    'websocket',
    ':scheme',
    'https',
    ':authority',
    'app.test',
    ':path',
    '/',
  ]
  client.send(headers(1, fields, false))
  await client.until(() => client.has(FrameType.headers))
  await server.clock.advance(90_000)
  client.send(data(1, 'still here'))
  await client.settle()
  await server.clock.advance(90_000)
  assert.equal(server.ended.length, 0)
  await server.clock.advance(20_000)
  assert.equal(await client.error(1), ErrorCode.cancel)
  assert.equal(server.ended[0]?.ending, 'cut')
})

test('a drain ends although the client does not answer its PING, and streams after the last are not served', async () => {
  const waiting: Exchange[] = []
  await using server = await startHttp2Server({ handle: (exchange) => void waiting.push(exchange) })
  await using client = await RawClient.start(server.port)
  client.send(headers(1, request()))
  await client.settle()
  for (const connection of server.connections) connection.drain()
  await client.until(() => client.of(FrameType.goaway, 0).length === 1)
  // Under way when the warning was sent: served.
  client.send(headers(3, request()))
  await client.settle()
  await server.clock.advance(5_000)
  await client.until(() => client.of(FrameType.goaway, 0).length === 2)
  assert.equal(client.of(FrameType.goaway, 0)[1]?.payload.readUInt32BE(0), 3)
  client.send(headers(5, request()))
  await client.settle()
  assert.equal(waiting.length, 2)
  for (const exchange of waiting) answerText(exchange, 200, 'x')
  await client.ended(3)
  await until(() => client.socket.readableEnded)
})
