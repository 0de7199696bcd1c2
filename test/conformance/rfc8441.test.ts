// WebSockets over HTTP/2, through the TLS listener.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import { ErrorCode } from '../../gateway/http2/error-code.ts'
import { FrameType, Setting } from '../../gateway/http2/frame.ts'
import { data, headers, RawClient, reset } from '../../gateway/listen/http2/testing/raw-client.ts'
import type { ReadRequest } from '../fuzz/http1/read-requests.ts'
import { type H2Row, openRaw, preface, testH2Rows } from './h2-rows.ts'
import { pairsOf, valuesOf } from './rig.ts'

const connect = (...more: string[]): string[] => [
  ':method',
  'CONNECT',
  ':protocol',
  'websocket',
  ':scheme',
  'https',
  ':authority',
  'app.test',
  ':path',
  '/chat',
  'sec-websocket-version',
  '13',
  ...more,
]
const without = (name: string): string[] => connect().filter((_, i, all) => all[i - (i % 2)] !== name)
const malformed: Pick<H2Row, 'streamError' | 'hostRequests'> = { streamError: [ErrorCode.protocol], hostRequests: 0 }

function agreementTo({ fields }: ReadRequest, more = ''): string {
  const [key] = valuesOf(pairsOf(fields), 'sec-websocket-key')
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
  return `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n${more}\r\n`
}

const rows: H2Row[] = [
  {
    section: '§4',
    rule: 'a request with :protocol and another method than CONNECT is malformed',
    send: [
      headers(
        1,
        connect().map((text) => (text === 'CONNECT' ? 'GET' : text)),
        false,
      ),
    ],
    ...malformed,
  },
  ...[':scheme', ':path', ':authority'].map(
    (name): H2Row => ({
      section: '§4',
      rule: `an extended CONNECT without ${name} is malformed`,
      send: [headers(1, without(name), false)],
      ...malformed,
    }),
  ),
  {
    section: '§4',
    rule: 'another protocol than websocket is refused',
    send: [
      headers(
        1,
        connect().map((text) => (text === 'websocket' ? 'foo' : text)),
        false,
      ),
    ],
    status: 400,
    hostRequests: 0,
  },
  {
    section: '§5',
    rule: 'Connection and Upgrade are malformed here too',
    send: [headers(1, connect('upgrade', 'websocket'), false)],
    ...malformed,
  },
  {
    section: '§5',
    rule: 'a host that declines does so with a status',
    send: [headers(1, connect(), false)],
    host: 'HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno',
    check: async (client) => {
      await client.until(() => client.body(1).toString() === 'no')
      assert.equal(client.of(FrameType.headers, 1)[0]?.fields?.[1], '403')
    },
  },
  {
    section: '§5',
    rule: 'a host that agrees wrongly is a 502',
    send: [headers(1, connect(), false)],
    host: 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n',
    check: async (client) => {
      await client.until(() => client.of(FrameType.headers, 1).length > 0)
      assert.equal(client.of(FrameType.headers, 1)[0]?.fields?.[1], '502')
    },
  },
]

const rig = testH2Rows('RFC 8441', rows)

test('RFC 8441 §3: the server says that it takes extended CONNECT, with its first SETTINGS', async () => {
  await using client = await openRaw(rig(), preface)
  await client.until(() => client.frames.length > 0)
  const payload = client.frames[0]?.payload as Buffer
  const settings = new Map<number, number>()
  for (let at = 0; at < payload.length; at += 6) settings.set(payload.readUInt16BE(at), payload.readUInt32BE(at + 2))
  assert.equal(settings.get(Setting.enableConnectProtocol), 1)
})

/** A host that agrees and sends every byte back. */
const echo = (socket: Socket, request: ReadRequest): void => {
  socket.write(agreementTo(request, 'Sec-WebSocket-Protocol: chat\r\n'))
  socket.on('data', (part) => socket.write(part))
  socket.on('end', () => socket.end())
}

async function agreed(client: RawClient): Promise<string[]> {
  client.send(headers(1, connect('sec-websocket-protocol', 'chat', 'origin', 'https://a.test'), false))
  await client.until(() => client.of(FrameType.headers, 1).length > 0)
  return client.of(FrameType.headers, 1)[0]?.fields ?? []
}

test('RFC 8441 §5: the host gets a handshake of HTTP/1.1 with a key, the client a 200 without one', async () => {
  rig().reset(echo)
  await using client = await RawClient.start(rig().gateway.httpsPort)
  const fields = pairsOf(await agreed(client))
  assert.deepEqual(valuesOf(fields, ':status'), ['200'])
  assert.deepEqual(valuesOf(fields, 'sec-websocket-protocol'), ['chat'])
  for (const name of ['sec-websocket-accept', 'upgrade', 'connection']) assert.deepEqual(valuesOf(fields, name), [])
  assert.match(rig().hostBytes, /^GET \/vm\/[0-9a-f]{64}\/chat HTTP\/1\.1\r\nHost: app\.test\r\n/)
  const asked = pairsOf(rig().hostRequests[0]?.fields ?? [])
  assert.deepEqual(valuesOf(asked, 'upgrade'), ['websocket'])
  assert.deepEqual(valuesOf(asked, 'connection'), ['Upgrade'])
  assert.equal(Buffer.from(valuesOf(asked, 'sec-websocket-key').join(), 'base64').length, 16)
  assert.deepEqual(valuesOf(asked, 'origin'), ['https://a.test'])
  assert.deepEqual(valuesOf(asked, 'content-length'), [])
})

test('RFC 8441 §5: bytes of DATA are the bytes of the WebSocket, both ways, and END_STREAM ends it', async () => {
  rig().reset(echo)
  await using client = await RawClient.start(rig().gateway.httpsPort)
  await agreed(client)
  client.send(data(1, 'hello '), data(1, 'world', true))
  await client.ended(1)
  assert.equal(client.body(1).toString(), 'hello world')
})

test('RFC 8441 §5.1: RST_STREAM with CANCEL is a connection that breaks, on either side', async () => {
  let closed = false
  rig().reset((socket, request) => {
    socket.write(agreementTo(request))
    socket.on('close', () => {
      closed = true
    })
  })
  await using client = await RawClient.start(rig().gateway.httpsPort)
  await agreed(client)
  client.send(reset(1, ErrorCode.cancel))
  await client.until(() => closed)

  rig().reset((socket, request) => {
    socket.write(agreementTo(request))
    setImmediate(() => socket.resetAndDestroy())
  })
  await using second = await RawClient.start(rig().gateway.httpsPort)
  await agreed(second)
  await second.until(
    () =>
      second.has(FrameType.rstStream, ({ id }) => id === 1) ||
      second.frames.some(({ id, type, flags }) => id === 1 && type === 0 && flags === 1),
  )
})
