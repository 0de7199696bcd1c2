// Limits of HTTP/2 connections that no flood shows; the floods stand in gateway/listen/http2/abuse.test.ts.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import tls from 'node:tls'
import type { Exchange } from '../forward/exchange.ts'
import type { Http2Config } from '../http2/config.ts'
import { ErrorCode } from '../http2/error-code.ts'
import { clientPreface, FrameType, Setting } from '../http2/frame.ts'
import {
  block,
  data,
  frame,
  headers,
  RawClient,
  request,
  settingsFrame,
  windowUpdate,
} from '../listen/http2/testing/raw-client.ts'
import { answerText, answerWith, sink, startHttp2Server } from '../listen/http2/testing/test-server.ts'
import { until } from '../testing/until.ts'

/** What the server announced, by setting. */
async function settingsOf(client: RawClient): Promise<Map<number, number>> {
  await client.until(() => client.has(FrameType.settings, ({ flags }) => flags === 0))
  const payload = client.of(FrameType.settings, 0).find(({ flags }) => flags === 0)?.payload ?? Buffer.alloc(0)
  const settings = new Map<number, number>()
  for (let at = 0; at < payload.length; at += 6) settings.set(payload.readUInt16BE(at), payload.readUInt32BE(at + 2))
  return settings
}

/** A dynamic table size update (RFC 7541 §6.3). */
function tableUpdate(size: number): Buffer {
  const bytes = [0x3f]
  let rest = size - 31
  for (; rest >= 128; rest >>>= 7) bytes.push(0x80 | (rest & 127))
  return Buffer.from([...bytes, rest])
}

for (const headerTableBytes of [4_096, 16_384]) {
  test(`a client may not use a header table of more than headerTableBytes (${headerTableBytes})`, async () => {
    await using server = await startHttp2Server({
      limits: { headerTableBytes },
      handle: (exchange) => answerText(exchange, 200, 'x'),
    })
    await using client = await RawClient.start(server.port)
    const announced = (await settingsOf(client)).get(Setting.headerTableSize) ?? 4_096
    assert.equal(announced, headerTableBytes)
    const sized = (id: number, size: number): Buffer =>
      frame(FrameType.headers, 5, id, Buffer.concat([tableUpdate(size), block(request())]))
    client.send(sized(1, headerTableBytes))
    await client.ended(1)
    client.send(sized(3, headerTableBytes + 1))
    assert.equal(await client.error(0), ErrorCode.compression)
  })
}

test('a client learns the windows of streams and connection as they are configured', async () => {
  const limits = { streamWindowBytes: 100_000, connectionWindowBytes: 300_000, streamsMax: 7 }
  await using server = await startHttp2Server({ limits, handle() {} })
  await using client = await RawClient.start(server.port)
  const settings = await settingsOf(client)
  assert.equal(settings.get(Setting.initialWindowSize), 100_000)
  assert.equal(settings.get(Setting.maxConcurrentStreams), 7)
  await client.until(() => client.of(FrameType.windowUpdate, 0).length > 0)
  assert.equal(client.of(FrameType.windowUpdate, 0)[0]?.payload.readUInt32BE(0), 300_000 - 65_535)
})

test('while unread bodies hold more than heldBytesMax, the window of the connection stays shut until they are read', async () => {
  const part = Buffer.alloc(16_000)
  const bodies = [1, 3, 5].flatMap((id) => [headers(id, request('POST'), false), ...Array(3).fill(data(id, part))])
  const updatesWith = async (limits: Partial<Http2Config>): Promise<[number, number]> => {
    const waiting: Exchange[] = []
    await using server = await startHttp2Server({
      limits: { connectionWindowBytes: 200_000, ...limits },
      handle: (exchange) => void waiting.push(exchange),
    })
    await using client = await RawClient.start(server.port)
    await client.until(() => client.of(FrameType.windowUpdate, 0).length === 1)
    client.send(...bodies)
    await client.settle()
    const unread = client.of(FrameType.windowUpdate, 0).length - 1
    for (const exchange of waiting) exchange.readBody(sink())
    await client.settle()
    return [unread, client.of(FrameType.windowUpdate, 0).length - 1]
  }
  assert.deepEqual(await updatesWith({ heldBytesMax: 1_000_000 }), [1, 1])
  assert.deepEqual(await updatesWith({ heldBytesMax: 100_000 }), [0, 1])
})

test('no more waits to be written to one connection than outputBytesMax, and one frame of each stream', async () => {
  const writtenWith = async (outputBytesMax: number): Promise<number> => {
    let given = 0
    await using server = await startHttp2Server({
      limits: { outputBytesMax },
      handle(exchange) {
        const part = Buffer.alloc(16_384)
        exchange.listen(sink())
        answerWith(exchange, 200, [], undefined, false)
        // All of it in one turn, so that nothing can have been written meanwhile.
        while (given < 10_000_000 && exchange.write(part)) given += part.length
      },
    })
    await using client = await RawClient.start(server.port, [[Setting.initialWindowSize, 0x7fff_ffff]])
    client.send(windowUpdate(0, 0x7000_0000), headers(1, request()))
    await until(() => given > 0)
    return given
  }
  for (const bytes of [131_072, 524_288]) {
    const written = await writtenWith(bytes)
    assert.ok(written <= bytes + 16_384 && written > bytes - 32_768, `${written} of ${bytes}`)
  }
})

test('after its last frame a connection is read for lingerMs, and then closed whatever the client does', async () => {
  await using server = await startHttp2Server({ handle() {} })
  // A client that keeps its side open and never goes by itself.
  const open = { ALPNProtocols: ['h2'], rejectUnauthorized: false, allowHalfOpen: true }
  await using client = new RawClient(tls.connect(server.port, '127.0.0.1', open as tls.ConnectionOptions))
  client.send(clientPreface, settingsFrame([]), windowUpdate(0, 0))
  assert.equal(await client.error(0), ErrorCode.protocol)
  for (let i = 0; i < 3; i++) {
    client.send(frame(FrameType.ping, 0, 0, Buffer.alloc(8)))
    await server.clock.advance(250)
  }
  assert.equal(server.sockets[0]?.destroyed, false)
  await server.clock.advance(1_000)
  await until(() => server.sockets[0]?.destroyed === true)
})
