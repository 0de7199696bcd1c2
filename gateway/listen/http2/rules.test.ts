/** What RFC 9113 makes an error, is one; what only a person can have meant wrongly, gets a page. Frames written by hand, over real TLS. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Exchange } from '../../forward/exchange.ts'
import { ErrorCode } from '../../http2/error-code.ts'
import { clientPreface, FrameType, Setting } from '../../http2/frame.ts'
import {
  block,
  data,
  frame,
  headers,
  RawClient,
  request,
  reset,
  settingsFrame,
  uint32,
  windowUpdate,
} from './testing/raw-client.ts'
import { answerText, answerWith, echo, sink, startHttp2Server, type TestServer } from './testing/test-server.ts'

const {
  headers: HEADERS,
  continuation,
  priority,
  rstStream,
  settings,
  pushPromise,
  ping,
  goaway,
  priorityUpdate,
} = FrameType
const DATA = FrameType.data
const WINDOW_UPDATE = FrameType.windowUpdate
const without = (name: string): string[] => {
  const fields = request()
  fields.splice(fields.indexOf(name), 2)
  return fields
}
const withValue = (name: string, value: string): string[] =>
  request().map((text, i, all) => (all[i - 1] === name ? value : text))
const self = Buffer.concat([uint32(1), Buffer.of(16)])

let seen: Exchange[] = []

function start(): Promise<TestServer> {
  seen = []
  return startHttp2Server({
    handle(exchange) {
      seen.push(exchange)
      if (exchange.path === '/wait') exchange.listen(sink())
      else if (exchange.head.upgrade) exchange.upgrade(exchange.head.fields, [])
      else echo(exchange)
    },
  })
}

const connectionErrors: [string, number, Buffer[]][] = [
  ['a frame larger than 16 KiB', ErrorCode.frameSize, [frame(DATA, 0, 1, Buffer.alloc(16_385))]],
  ['DATA on stream 0', ErrorCode.protocol, [data(0, 'x')]],
  ['DATA on an idle stream', ErrorCode.protocol, [data(1, 'x')]],
  [
    'padding as long as the frame',
    ErrorCode.protocol,
    [headers(1, request('POST'), false), frame(DATA, 8, 1, Buffer.of(3, 1, 2))],
  ],
  [
    'padded DATA without room for its length',
    ErrorCode.frameSize,
    [headers(1, request('POST'), false), frame(DATA, 8, 1)],
  ],
  ['HEADERS on stream 0', ErrorCode.protocol, [headers(0, request())]],
  ['HEADERS on an even stream', ErrorCode.protocol, [headers(2, request())]],
  ['HEADERS on a stream below the last one', ErrorCode.streamClosed, [headers(3, request()), headers(1, request())]],
  ['padding of HEADERS beyond their block', ErrorCode.protocol, [frame(HEADERS, 0xd, 1, Buffer.of(9, 0x82))]],
  ['HEADERS too short for their priority', ErrorCode.frameSize, [frame(HEADERS, 0x25, 1, Buffer.of(0, 0))]],
  ['a header block that cannot be decoded', ErrorCode.compression, [frame(HEADERS, 5, 1, Buffer.of(0x80))]],
  ['CONTINUATION without HEADERS', ErrorCode.protocol, [frame(continuation, 4, 1, block(request()))]],
  [
    'CONTINUATION of another stream',
    ErrorCode.protocol,
    [frame(HEADERS, 1, 1, block(request())), frame(continuation, 4, 3)],
  ],
  [
    'a frame within a header block',
    ErrorCode.protocol,
    [frame(HEADERS, 1, 1, block(request())), frame(ping, 0, 0, Buffer.alloc(8))],
  ],
  [
    'DATA within a header block',
    ErrorCode.protocol,
    [headers(1, request('POST'), false), frame(HEADERS, 1, 3, block(request())), data(1, 'x')],
  ],
  ['PRIORITY on stream 0', ErrorCode.protocol, [frame(priority, 0, 0, self)]],
  ['RST_STREAM on stream 0', ErrorCode.protocol, [reset(0)]],
  ['RST_STREAM on an idle stream', ErrorCode.protocol, [reset(1)]],
  ['RST_STREAM of another length', ErrorCode.frameSize, [frame(rstStream, 0, 1, Buffer.alloc(3))]],
  ['SETTINGS on a stream', ErrorCode.protocol, [frame(settings, 0, 1)]],
  ['SETTINGS of an odd length', ErrorCode.frameSize, [frame(settings, 0, 0, Buffer.alloc(5))]],
  ['SETTINGS ACK with content', ErrorCode.frameSize, [frame(settings, 1, 0, Buffer.alloc(6))]],
  ['ENABLE_PUSH 2', ErrorCode.protocol, [settingsFrame([[Setting.enablePush, 2]])]],
  ['INITIAL_WINDOW_SIZE of 2^31', ErrorCode.flowControl, [settingsFrame([[Setting.initialWindowSize, 0x8000_0000]])]],
  ['MAX_FRAME_SIZE too small', ErrorCode.protocol, [settingsFrame([[Setting.maxFrameSize, 16_383]])]],
  ['MAX_FRAME_SIZE too large', ErrorCode.protocol, [settingsFrame([[Setting.maxFrameSize, 0x100_0000]])]],
  ['ENABLE_CONNECT_PROTOCOL 2', ErrorCode.protocol, [settingsFrame([[Setting.enableConnectProtocol, 2]])]],
  ['PUSH_PROMISE', ErrorCode.protocol, [headers(1, request('POST'), false), frame(pushPromise, 4, 1, uint32(2))]],
  ['PING on a stream', ErrorCode.protocol, [frame(ping, 0, 1, Buffer.alloc(8))]],
  ['PING of another length', ErrorCode.frameSize, [frame(ping, 0, 0, Buffer.alloc(6))]],
  ['GOAWAY on a stream', ErrorCode.protocol, [frame(goaway, 0, 1, Buffer.alloc(8))]],
  ['GOAWAY too short', ErrorCode.frameSize, [frame(goaway, 0, 0, Buffer.alloc(7))]],
  ['WINDOW_UPDATE of another length', ErrorCode.frameSize, [frame(WINDOW_UPDATE, 0, 0, Buffer.alloc(3))]],
  ['WINDOW_UPDATE of 0 on the connection', ErrorCode.protocol, [windowUpdate(0, 0)]],
  ['WINDOW_UPDATE on an idle stream', ErrorCode.protocol, [windowUpdate(1, 1)]],
  ['a connection window beyond 2^31-1', ErrorCode.flowControl, [windowUpdate(0, 0x7fff_ffff)]],
  [
    'a stream window beyond 2^31-1 by SETTINGS',
    ErrorCode.flowControl,
    [
      headers(1, request('GET', '/wait')),
      windowUpdate(1, 0x7fff_0000),
      settingsFrame([[Setting.initialWindowSize, 0x7fff_ffff]]),
    ],
  ],
  ['PRIORITY_UPDATE on a stream', ErrorCode.protocol, [frame(priorityUpdate, 0, 1, uint32(1))]],
]
for (const [what, code, bytes] of connectionErrors) {
  test(`the connection ends for ${what}`, async () => {
    await using server = await start()
    await using client = await RawClient.start(server.port)
    client.send(...bytes)
    assert.equal(await client.error(0), code)
    if (!client.closed) await client.until(() => client.socket.readableEnded)
    assert.equal(server.failures.length, 0)
  })
}

test('the connection ends when it does not begin with the preface and SETTINGS', async () => {
  await using server = await start()
  const ack = frame(settings, 1, 0)
  for (const bytes of [
    Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n'),
    Buffer.concat([clientPreface, headers(1, request())]),
    Buffer.concat([clientPreface, ack]),
  ]) {
    await using client = await RawClient.open(server.port)
    client.send(bytes)
    assert.equal(await client.error(0), ErrorCode.protocol)
  }
})

const streamErrors: [string, number, Buffer[]][] = [
  [
    'a body longer than its Content-Length',
    ErrorCode.protocol,
    [headers(1, request('POST', '/', 'content-length', '3'), false), data(1, 'four')],
  ],
  [
    'a body shorter than its Content-Length',
    ErrorCode.protocol,
    [headers(1, request('POST', '/', 'content-length', '3'), false), data(1, 'tw', true)],
  ],
  [
    'no body where Content-Length promises one',
    ErrorCode.protocol,
    [headers(1, request('POST', '/', 'content-length', '3'))],
  ],
  [
    'trailers before the end of a counted body',
    ErrorCode.protocol,
    [headers(1, request('POST', '/', 'content-length', '3'), false), headers(1, ['x', 'y'])],
  ],
  [
    'two Content-Lengths',
    ErrorCode.protocol,
    [headers(1, request('POST', '/', 'content-length', '3', 'content-length', '3'), false)],
  ],
  [
    'a Content-Length that is no number',
    ErrorCode.protocol,
    [headers(1, request('POST', '/', 'content-length', '+3'), false)],
  ],
  [
    'trailers without the end of the stream',
    ErrorCode.protocol,
    [headers(1, request('POST'), false), headers(1, ['x', 'y'], false)],
  ],
  [
    'a pseudo-header field in trailers',
    ErrorCode.protocol,
    [headers(1, request('POST'), false), headers(1, [':path', '/'])],
  ],
  ['no :method', ErrorCode.protocol, [headers(1, without(':method'))]],
  ['no :scheme', ErrorCode.protocol, [headers(1, without(':scheme'))]],
  ['no :path', ErrorCode.protocol, [headers(1, without(':path'))]],
  [':status in a request', ErrorCode.protocol, [headers(1, [...request(), ':status', '200'])]],
  [':protocol without CONNECT', ErrorCode.protocol, [headers(1, [':protocol', 'websocket', ...request()])]],
  ['CONNECT with a path', ErrorCode.protocol, [headers(1, request('CONNECT'))]],
  ['two Host fields', ErrorCode.protocol, [headers(1, [...request(), 'host', 'app.test', 'host', 'app.test'])]],
  ['Host unlike :authority', ErrorCode.protocol, [headers(1, [...request(), 'host', 'other.test'])]],
  ['an upper-case name', ErrorCode.protocol, [headers(1, [...request(), 'X-Upper', '1'])]],
  ['connection', ErrorCode.protocol, [headers(1, [...request(), 'connection', 'close'])]],
  ['transfer-encoding', ErrorCode.protocol, [headers(1, [...request(), 'transfer-encoding', 'chunked'])]],
  ['te other than trailers', ErrorCode.protocol, [headers(1, [...request(), 'te', 'gzip'])]],
  ['a line end in a value', ErrorCode.protocol, [headers(1, [...request(), 'x', 'a\r\nhost: evil'])]],
  ['dependence on itself', ErrorCode.protocol, [frame(HEADERS, 0x25, 1, Buffer.concat([self, block(request())]))]],
  [
    'PRIORITY that depends on itself',
    ErrorCode.protocol,
    [headers(1, request('GET', '/wait')), frame(priority, 0, 1, self)],
  ],
  [
    'PRIORITY of another length',
    ErrorCode.frameSize,
    [headers(1, request('GET', '/wait')), frame(priority, 0, 1, Buffer.alloc(4))],
  ],
  ['WINDOW_UPDATE of 0', ErrorCode.protocol, [headers(1, request('GET', '/wait')), windowUpdate(1, 0)]],
  [
    'a window beyond 2^31-1',
    ErrorCode.flowControl,
    [headers(1, request('GET', '/wait')), windowUpdate(1, 0x7fff_ffff)],
  ],
  ['DATA after the end', ErrorCode.streamClosed, [headers(1, request('GET', '/wait')), data(1, 'x')]],
  ['HEADERS after the end', ErrorCode.streamClosed, [headers(1, request('GET', '/wait')), headers(1, ['x', 'y'])]],
]
for (const [what, code, bytes] of streamErrors) {
  test(`only the stream is reset for ${what}`, async () => {
    await using server = await start()
    await using client = await RawClient.start(server.port)
    client.send(...bytes)
    assert.equal(await client.error(1), code)
    // The connection, and what both sides know of its header fields, goes on.
    client.send(headers(3, request('POST', '/next'), false), data(3, 'hello', true))
    await client.ended(3)
    assert.equal(client.body(3).toString(), 'hello')
    assert.deepEqual([server.failures.length, server.open], [0, 0])
  })
}

const refusals: [string, number, string[]][] = [
  ['a path with a space', 400, request('GET', '/a b')],
  ['a path with a fragment', 400, request('GET', '/a#b')],
  ['a line end in the path', 400, request('GET', '/a HTTP/1.1\r\nHost: evil')],
  ['a path that is a URL', 400, request('GET', 'https://app.test/')],
  ['a path that climbs', 400, request('GET', '/a/..%2fb')],
  ['* for GET', 400, request('GET', '*')],
  ['a path too long', 414, request('GET', `/${'a'.repeat(8_192)}`)],
  ['fields too large', 431, [...request(), 'x-large', 'v'.repeat(16_400)]],
  ['too many fields', 431, [...request(), ...Array.from({ length: 101 }, (_, i) => [`x-${i}`, 'v']).flat()]],
  ['an unknown method', 400, request('get')],
  ['TRACE', 405, request('TRACE')],
  ['CONNECT', 405, [':method', 'CONNECT', ':authority', 'app.test:443']],
  ['another scheme', 400, withValue(':scheme', 'http')],
  ['an authority with a user', 400, withValue(':authority', 'user@app.test')],
  ['an authority that is no name', 400, withValue(':authority', 'a..b')],
  ['an authority that is an address', 421, withValue(':authority', '127.0.0.1')],
  ['no authority and no Host', 400, without(':authority')],
  ['another expectation', 400, [...request(), 'expect', '200-ok']],
  [
    'CONNECT for another protocol',
    400,
    [':method', 'CONNECT', ':protocol', 'connect-udp', ':scheme', 'https', ':authority', 'app.test', ':path', '/'],
  ],
]
for (const [what, status, fields] of refusals) {
  test(`a page with status ${status} answers ${what}`, async () => {
    await using server = await start()
    await using client = await RawClient.start(server.port)
    const stream = fields.includes(':protocol') ? headers(1, fields, false) : headers(1, fields)
    client.send(stream, headers(3, request('OPTIONS', '*')))
    await client.ended(1)
    await client.ended(3)
    assert.equal(client.of(HEADERS, 1)[0]?.fields?.[1], String(status))
    assert.equal(seen.length, 1)
    assert.equal(client.has(goaway), false)
  })
}

test('Host stands in for a missing :authority, and may repeat it', async () => {
  await using server = await start()
  await using client = await RawClient.start(server.port)
  client.send(
    headers(1, [...without(':authority'), 'host', 'Other.test:443']),
    headers(3, [...request(), 'host', 'APP.test']),
  )
  await client.ended(3)
  assert.deepEqual(
    server.ended.map(({ head }) => head.host),
    ['other.test', 'app.test'],
  )
})

test('priorities, unknown frames, unknown settings and unknown flags change nothing', async () => {
  await using server = await start()
  await using client = await RawClient.start(server.port)
  const dependent = Buffer.concat([uint32(0x8000_0000), Buffer.of(200)])
  client.send(
    frame(priority, 0, 1, dependent),
    frame(priority, 0, 7, Buffer.alloc(4)),
    frame(priorityUpdate, 0, 0, Buffer.concat([uint32(1), Buffer.from('u=0')])),
    frame(0xee, 0xff, 1, Buffer.alloc(100)),
    settingsFrame([[0x7777, 0xffff_ffff]]),
    frame(HEADERS, 0x2c, 1, Buffer.concat([Buffer.of(2), dependent, block(request('POST')), Buffer.alloc(2)])),
    frame(DATA, 0xf9, 1, Buffer.concat([Buffer.of(3), Buffer.from('padded'), Buffer.alloc(3)])),
    frame(goaway, 0, 0, Buffer.alloc(8)),
  )
  await client.ended(1)
  assert.equal(client.body(1).toString(), 'padded')
})

test('frames for a stream that we reset are ignored for a while; for one that ended they are a fault of theirs', async () => {
  await using server = await start()
  await using client = await RawClient.start(server.port)
  client.send(headers(1, [...request(), 'connection', 'x'], false))
  await client.error(1)
  client.send(data(1, 'late'), windowUpdate(1, 10), reset(1), headers(1, ['x', 'y']))
  client.send(headers(3, request()))
  await client.ended(3)
  assert.equal(client.of(rstStream, 1).length, 1)
  client.send(data(3, 'late'))
  assert.equal(await client.error(3), ErrorCode.streamClosed)
  assert.equal(client.has(goaway), false)
})

test('PING and SETTINGS are answered', async () => {
  await using server = await start()
  await using client = await RawClient.start(server.port)
  client.send(frame(ping, 0, 0, Buffer.from('8 bytes!')))
  await client.until(() => client.has(ping))
  assert.deepEqual(
    client.of(ping, 0).map(({ flags, payload }) => [flags, payload.toString()]),
    [[1, '8 bytes!']],
  )
  client.send(settingsFrame([]))
  await client.until(() => client.of(settings, 0).filter(({ flags }) => flags === 1).length === 2)
})

test('more DATA than the windows allow is a fault of the stream, or of the connection', async () => {
  await using server = await startHttp2Server({
    limits: { streamWindowBytes: 65_535, connectionWindowBytes: 100_000, heldBytesMax: 1 },
    handle: (exchange) => exchange.listen(sink()),
  })
  const part = Buffer.alloc(16_384)
  {
    await using client = await RawClient.start(server.port)
    client.send(headers(1, request('POST'), false), ...Array(4).fill(data(1, part)))
    assert.equal(await client.error(1), ErrorCode.flowControl)
  }
  await using client = await RawClient.start(server.port)
  const half = [1, 3, 5].flatMap((id) => [headers(id, request('POST'), false), ...Array(3).fill(data(id, part))])
  client.send(...half)
  assert.equal(await client.error(0), ErrorCode.flowControl)
})

test('windows of a client are kept to the byte, on streams and on the connection, and settings move them', async () => {
  await using server = await startHttp2Server({
    handle: (exchange) => void answerWith(exchange, 200, [], Buffer.alloc(100_000, exchange.path), true),
  })
  await using client = await RawClient.start(server.port, [[Setting.initialWindowSize, 1_000]])
  client.send(headers(1, request('GET', '/1')), headers(3, request('GET', '/3')))
  await client.settle()
  assert.deepEqual([client.body(1).length, client.body(3).length], [1_000, 1_000])
  client.send(windowUpdate(1, 500))
  await client.settle()
  assert.deepEqual([client.body(1).length, client.body(3).length], [1_500, 1_000])
  client.send(settingsFrame([[Setting.initialWindowSize, 200]]), windowUpdate(1, 800))
  await client.settle()
  assert.deepEqual([client.body(1).length, client.body(3).length], [1_500, 1_000], 'below zero')
  client.send(settingsFrame([[Setting.initialWindowSize, 300_000]]))
  await client.settle()
  // The connection's window has 65,535 bytes.
  assert.equal(client.body(1).length + client.body(3).length, 65_535)
  client.send(windowUpdate(0, 200_000))
  await client.ended(1)
  await client.ended(3)
  assert.deepEqual([client.body(1).length, client.body(3).length], [100_000, 100_000])
  assert.ok(client.body(3).equals(Buffer.alloc(100_000, '/3')))
})

test('a small whole answer is kept until the window opens, though its memory is used again at once', async () => {
  const shared = Buffer.alloc(16_000)
  await using server = await startHttp2Server({
    handle(exchange) {
      shared.fill(exchange.path)
      answerWith(exchange, 200, [], shared, true)
      shared.fill('stale')
    },
  })
  await using client = await RawClient.start(server.port, [[Setting.initialWindowSize, 5]])
  client.send(headers(1, request('GET', '/1')), headers(3, request('GET', '/3')))
  await client.settle()
  client.send(settingsFrame([[Setting.initialWindowSize, 30_000]]))
  await client.ended(1)
  await client.ended(3)
  assert.ok(client.body(1).equals(Buffer.alloc(16_000, '/1')))
  assert.ok(client.body(3).equals(Buffer.alloc(16_000, '/3')))
})

test('streams that wait for the connection take turns', async () => {
  await using server = await startHttp2Server({
    handle: (exchange) => void answerWith(exchange, 200, [], Buffer.alloc(200_000), true),
  })
  await using client = await RawClient.start(server.port, [[Setting.initialWindowSize, 1_000_000]])
  client.send(...[1, 3, 5].map((id) => headers(id, request())))
  await client.settle()
  for (let i = 0; i < 6; i++) client.send(windowUpdate(0, 16_384))
  await client.settle()
  const sizes = [1, 3, 5].map((id) => client.body(id).length)
  assert.ok(Math.min(...sizes) >= 16_384, String(sizes))
})

test('what a client sends before its request is read is counted by its window, and given back when it is', async () => {
  const waiting: Exchange[] = []
  await using server = await startHttp2Server({
    limits: { streamWindowBytes: 65_535 },
    handle: (exchange) => void waiting.push(exchange),
  })
  await using client = await RawClient.start(server.port)
  client.send(headers(1, request('POST'), false), ...Array(6).fill(data(1, Buffer.alloc(10_000, 'x'))))
  await client.settle()
  assert.equal(client.of(WINDOW_UPDATE, 1).length, 0)
  const parts: number[] = []
  waiting[0]?.readBody(sink({ onBody: (part) => parts.push(part.length) > 0 }))
  await client.until(() => client.of(WINDOW_UPDATE, 1).length === 1)
  assert.deepEqual(parts, [60_000])
  assert.equal(client.of(WINDOW_UPDATE, 1)[0]?.payload.readUInt32BE(0), 60_000)
})

test('requests that a client takes back at once are never shown to anybody', async () => {
  await using server = await start()
  await using client = await RawClient.start(server.port)
  client.send(headers(1, request('GET', '/wait')), reset(1), headers(3, request()))
  await client.ended(3)
  assert.deepEqual(
    seen.map(({ ending }) => ending),
    ['whole'],
  )
  assert.equal(server.ended.length, 1)
})

test('answers of a host that come while a page is being sent do no harm', async () => {
  await using server = await startHttp2Server({
    handle(exchange) {
      answerText(exchange, 200, 'first')
      answerText(exchange, 200, 'second')
      exchange.inform(103, exchange.head.fields)
      exchange.readBody(sink())
    },
  })
  await using client = await RawClient.start(server.port)
  client.send(headers(1, request()))
  await client.settle()
  assert.equal(client.body(1).toString(), 'first')
  assert.equal(client.of(HEADERS, 1).length, 1)
})
