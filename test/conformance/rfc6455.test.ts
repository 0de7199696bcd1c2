// The WebSocket protocol, as far as an intermediary is concerned: the handshake, then bytes.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { after, before, test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { connectTls } from '../../gateway/testing/client.ts'
import { until } from '../../gateway/testing/until.ts'
import { type HostBehaviour, pairsOf, Rig, sentinel, valuesOf } from './rig.ts'

const key = 'dGhlIHNhbXBsZSBub25jZQ=='
/** Of the example in §1.3. */
const accept = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='
const handshake = (more = ''): string =>
  `GET /chat HTTP/1.1\r\nHost: app.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\n${more}\r\n`
const agreement = (more = ''): string =>
  `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n${more}\r\n`

let rig: Rig
before(async () => {
  rig = await Rig.start()
})
after(() => rig[Symbol.asyncDispose]())

/** A connection of a client that has sent `bytes`, and what it gets. */
async function open(bytes: string | Buffer): Promise<{ socket: TLSSocket; text(): string }> {
  const socket = await connectTls(rig.gateway.httpsPort, 'app.test')
  const parts: Buffer[] = []
  socket.on('data', (part: Buffer) => parts.push(part))
  socket.on('error', () => {})
  socket.write(bytes)
  return { socket, text: () => Buffer.concat(parts).toString('latin1') }
}

test('RFC 6455 §1.3: the accept value of the example is what we expect', () => {
  const guid = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
  assert.equal(
    createHash('sha1')
      .update(key + guid)
      .digest('base64'),
    accept,
  )
})

test('RFC 6455 §4.1: the handshake reaches the host whole: GET of 1.1, Upgrade, Connection, key, version, protocols, extensions, origin', async () => {
  rig.reset((socket) => void socket.end(agreement()))
  const more =
    'Sec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Extensions: permessage-deflate\r\nOrigin: https://a.test\r\n'
  const { socket } = await open(handshake(more))
  await once(socket, 'close')
  const fields = pairsOf(rig.hostRequests[0]?.fields ?? [])
  assert.match(rig.hostBytes, /^GET \/vm\/[0-9a-f]{64}\/chat HTTP\/1\.1\r\n/)
  for (const [name, value] of [
    ['Upgrade', 'websocket'],
    ['Connection', 'Upgrade'],
    ['Sec-WebSocket-Key', key],
    ['Sec-WebSocket-Version', '13'],
    ['Sec-WebSocket-Protocol', 'chat, superchat'],
    ['Sec-WebSocket-Extensions', 'permessage-deflate'],
    ['Origin', 'https://a.test'],
  ])
    assert.deepEqual(valuesOf(fields, name as string), [value])
})

test('RFC 6455 §4.2.2: the agreement reaches the client whole: 101, Upgrade, Connection, accept, protocol', async () => {
  rig.reset((socket) => void socket.end(agreement('Sec-WebSocket-Protocol: chat\r\nX-More: 1\r\n')))
  const { socket, text } = await open(handshake('Sec-WebSocket-Protocol: chat\r\n'))
  await once(socket, 'close')
  const [answer] = rig.see(Buffer.from(text(), 'latin1')).answers
  assert.equal(answer?.status, 101)
  for (const [name, value] of [
    ['Upgrade', 'websocket'],
    ['Connection', 'Upgrade'],
    ['Sec-WebSocket-Accept', accept],
    ['Sec-WebSocket-Protocol', 'chat'],
    ['X-More', '1'],
  ])
    assert.deepEqual(valuesOf(answer?.fields ?? [], name as string), [value])
})

const bad: [string, string][] = [
  ['whose accept value is of another key', agreement().replace(accept, 'AAAAAAAAAAAAAAAAAAAAAAAAAAA=')],
  ['without an accept value', agreement().replace(/Sec-WebSocket-Accept.*\r\n/, '')],
  ['to another protocol', agreement().replace('Upgrade: websocket', 'Upgrade: foo')],
  ['without Upgrade', agreement().replace('Upgrade: websocket\r\n', '')],
]
for (const [what, answer] of bad) {
  test(`RFC 6455 §4.1: a 101 ${what} is no agreement, and the client gets a 502`, async () => {
    rig.reset(answer)
    const { socket, text } = await open(handshake('Accept: */*\r\n'))
    await until(() => text().includes('\r\n\r\n'))
    socket.destroy()
    assert.match(text(), /^HTTP\/1\.1 502 /)
  })
}

test('RFC 6455 §4.2.2: a host that declines does so in plain HTTP, and the connection goes on', async () => {
  rig.reset('HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13, 8\r\nContent-Length: 2\r\n\r\nno')
  const { socket, text } = await open(handshake())
  await until(() => text().endsWith('no'))
  socket.write(sentinel)
  await once(socket, 'close')
  assert.match(text(), /^HTTP\/1\.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13, 8\r\n/)
  assert.match(text(), /sentinel$/)
})

test('RFC 6455 §4.1: only GET of HTTP/1.1 asks for a WebSocket', async () => {
  for (const line of ['POST /chat HTTP/1.1', 'GET /chat HTTP/1.0']) {
    rig.reset()
    const { socket, text } = await open(handshake('Content-Length: 0\r\n').replace('GET /chat HTTP/1.1', line))
    await until(() => text().endsWith('ok'))
    socket.destroy()
    assert.match(text(), /^HTTP\/1\.1 200 /)
    assert.deepEqual(valuesOf(pairsOf(rig.hostRequests[0]?.fields ?? []), 'upgrade'), [])
  }
})

test('RFC 6455 §4.1: names of protocol and options have no case', async () => {
  rig.reset((socket) => void socket.end(agreement()))
  const { socket, text } = await open(
    handshake().replace('websocket', 'WebSocket').replace(': Upgrade', ': keep-alive, UPGRADE'),
  )
  await once(socket, 'close')
  assert.match(text(), /^HTTP\/1\.1 101 /)
})

const frames = Buffer.from([0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58])

/** A host that agrees and sends every byte back. */
const echo: HostBehaviour = (socket: Socket) => {
  socket.write(agreement())
  socket.on('data', (part) => socket.write(part))
  socket.on('end', () => socket.end())
}

test('RFC 6455 §5: frames pass as bytes both ways, masks and all', async () => {
  rig.reset(echo)
  const { socket, text } = await open(handshake())
  await until(() => text().endsWith('\r\n\r\n'))
  const all = Buffer.concat(Array.from({ length: 2_000 }, () => frames))
  socket.write(all)
  const start = agreement().length
  await until(() => text().length >= start + all.length)
  socket.destroy()
  assert.deepEqual(Buffer.from(text().slice(text().indexOf('\r\n\r\n') + 4), 'latin1'), all)
})

test('RFC 6455 §5: frames that come with the handshake, or with its answer, are not lost', async () => {
  rig.reset((socket) => {
    socket.write(Buffer.concat([Buffer.from(agreement()), Buffer.from([0x89, 0x00])]))
    socket.on('data', (part) => socket.write(part))
  })
  const { socket, text } = await open(Buffer.concat([Buffer.from(handshake()), frames]))
  await until(() => text().slice(text().indexOf('\r\n\r\n') + 4).length >= 2 + frames.length)
  socket.destroy()
  const got = Buffer.from(text().slice(text().indexOf('\r\n\r\n') + 4), 'latin1')
  assert.deepEqual(got, Buffer.concat([Buffer.from([0x89, 0x00]), frames]))
})

test('RFC 6455 §5: bytes that look like another request are bytes of the WebSocket', async () => {
  rig.reset(echo)
  const { socket, text } = await open(handshake() + sentinel)
  await until(() => text().endsWith(sentinel))
  socket.destroy()
  assert.equal(rig.hostRequests.length, 1)
})

test('RFC 6455 §7: when the host closes, the client’s connection ends after what was sent', async () => {
  rig.reset((socket) => void socket.end(Buffer.concat([Buffer.from(agreement()), Buffer.from([0x88, 0x00])])))
  const { socket, text } = await open(handshake())
  await once(socket, 'close')
  assert.ok(text().endsWith('\r\n\r\n\x88\0'))
})

test('RFC 6455 §7: when the client closes, the host’s connection ends after what was sent', async () => {
  let got = ''
  let ended = false
  rig.reset((socket) => {
    socket.write(agreement())
    socket.on('data', (part) => {
      got += part.toString('latin1')
    })
    socket.on('close', () => {
      ended = true
    })
    socket.on('end', () => socket.end())
  })
  const { socket, text } = await open(handshake())
  await until(() => text().endsWith('\r\n\r\n'))
  socket.end(frames)
  await until(() => ended)
  assert.equal(got, frames.toString('latin1'))
})

test('RFC 6455 §7: when the host is gone without a word, the client’s connection is cut', async () => {
  rig.reset((socket) => {
    socket.write(agreement())
    setImmediate(() => socket.resetAndDestroy())
  })
  const { socket } = await open(handshake())
  await once(socket, 'close')
})
