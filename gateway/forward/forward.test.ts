import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import https from 'node:https'
import { test } from 'node:test'
import { connect } from 'node:tls'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { WebSocket, WebSocketServer } from 'ws'
import { connectTls, sendRaw } from '../testing/client.ts'
import { type FakeHost, startFakeHost, startRawHost } from '../testing/fake-host.ts'
import { startTestGateway, type TestGateway } from '../testing/test-gateway.ts'
import { until } from '../testing/until.ts'

const mebibyte = 1024 * 1024
const bodyBytes = 64 * mebibyte
/** How much memory may be held while 64 MiB pass: buffers of sockets and streams of client, gateway and host together. */
const heldBytesMax = 24 * mebibyte

setFlagsFromString('--expose-gc')
const collectGarbage: () => void = runInNewContext('gc')

test('64 MiB up and the same down pass unchanged, with flat memory', async () => {
  await using host = await startFakeHost((request, response) => void request.pipe(response))
  await using gateway = await startTestGateway()
  gateway.hosts.add('one', host.origin)
  const chunk = Buffer.alloc(mebibyte, 'lastmile')
  const expected = createHash('sha256')
  for (let i = 0; i < bodyBytes / mebibyte; i++) expected.update(chunk)
  const startBytes = process.memoryUsage().arrayBuffers
  let heldBytes = 0
  const received = createHash('sha256')
  let receivedBytes = 0
  const options = {
    port: gateway.httpsPort,
    host: '127.0.0.1',
    servername: 'app.test',
    headers: { Host: 'app.test' },
    rejectUnauthorized: false,
    agent: false,
  } as const
  await new Promise<void>((resolve, reject) => {
    const request = https.request({ ...options, method: 'POST' })
    request.on('error', reject)
    request.on('response', (response) => {
      response.on('data', (part: Buffer) => {
        received.update(part)
        receivedBytes += part.length
        if (receivedBytes % (16 * mebibyte) > part.length) return
        // Garbage is not held: only what is left after a collection counts.
        collectGarbage()
        setImmediate(() => {
          heldBytes = Math.max(heldBytes, process.memoryUsage().arrayBuffers - startBytes)
        })
      })
      response.on('error', reject)
      response.on('end', resolve)
    })
    let sent = 0
    const send = (): void => {
      while (sent < bodyBytes) {
        sent += chunk.length
        if (!request.write(chunk)) return void request.once('drain', send)
      }
      request.end()
    }
    send()
  })
  assert.equal(receivedBytes, bodyBytes)
  assert.equal(received.digest('hex'), expected.digest('hex'))
  assert.ok(heldBytes < heldBytesMax, `held ${Math.round(heldBytes / mebibyte)} MiB`)
})

test('a client that reads slowly holds the host back', async () => {
  let written = 0
  await using host = await startFakeHost((_, response) => {
    const chunk = Buffer.alloc(65_536)
    const pump = (): void => {
      while (written < bodyBytes) {
        written += chunk.length
        if (!response.write(chunk)) return void response.once('drain', pump)
      }
      response.end()
    }
    pump()
  })
  await using gateway = await startTestGateway()
  gateway.hosts.add('one', host.origin)
  const socket = await connectTls(gateway.httpsPort, 'app.test')
  socket.write('GET / HTTP/1.1\r\nHost: app.test\r\n\r\n')
  let last = -1
  await until(async () => {
    await new Promise((resolve) => setTimeout(resolve, 150))
    const still = written === last && written > 0
    last = written
    return still
  })
  assert.ok(written < bodyBytes / 2, `${written} bytes were taken from the host`)
  socket.destroy()
})

test('the first server-sent event arrives before the last is made', async () => {
  let finish: (() => void) | undefined
  await using host = await startFakeHost((_, response) => {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' })
    response.flushHeaders()
    setTimeout(() => response.write('data: first\n\n'), 30)
    finish = () => response.end('data: last\n\n')
  })
  await using gateway = await startTestGateway()
  gateway.hosts.add('one', host.origin)
  const socket = await connectTls(gateway.httpsPort, 'app.test')
  let text = ''
  socket.on('data', (part) => {
    text += part
    if (text.includes('first')) finish?.()
  })
  socket.write('GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n')
  await new Promise((resolve) => socket.once('close', resolve))
  assert.match(text, /data: first\n\n[\s\S]*data: last\n\n/)
})

test('a client that goes away ends the request at the host', async () => {
  let closed: (() => void) | undefined
  const gone = new Promise<void>((resolve) => {
    closed = resolve
  })
  await using host = await startFakeHost((_, response) => {
    response.write('begun')
    response.once('close', () => closed?.())
  })
  await using gateway = await startTestGateway()
  gateway.hosts.add('one', host.origin)
  const socket = await connectTls(gateway.httpsPort, 'app.test')
  socket.once('data', () => socket.destroy())
  socket.write('GET / HTTP/1.1\r\nHost: app.test\r\n\r\n')
  await gone
})

async function withWebSockets(host: FakeHost, gateway: TestGateway): Promise<AsyncDisposable> {
  const sockets = new WebSocketServer({ server: host.server })
  sockets.on('connection', (socket) => {
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }))
    socket.on('close', (code) => {
      closes.emit('close', code)
    })
  })
  gateway.hosts.add('one', host.origin)
  return { [Symbol.asyncDispose]: async () => void sockets.close() }
}
const closes = new EventEmitter()

function openWebSocket(port: number, path = '/chat?x=1'): WebSocket {
  return new WebSocket(`wss://127.0.0.1:${port}${path}`, {
    headers: { Host: 'app.test' },
    createConnection: () => connect({ port, host: '127.0.0.1', servername: 'app.test', rejectUnauthorized: false }),
  })
}

test('a WebSocket carries 1,000 messages both ways, and its close', async () => {
  await using host = await startFakeHost((_, response) => response.end())
  await using gateway = await startTestGateway()
  await using _sockets = await withWebSockets(host, gateway)
  const socket = openWebSocket(gateway.httpsPort)
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
  const echoed: string[] = []
  const all = new Promise<void>((resolve) => {
    socket.on('message', (data) => {
      echoed.push(String(data))
      if (echoed.length === 1_000) resolve()
    })
  })
  for (let i = 0; i < 1_000; i++) socket.send(`message ${i}`)
  await all
  assert.deepEqual(
    echoed,
    Array.from({ length: 1_000 }, (_, i) => `message ${i}`),
  )
  const closed = Promise.all([once(socket, 'close'), once(closes, 'close')])
  socket.close(4_000)
  const [[near], [far]] = await closed
  assert.deepEqual([near, far], [4_000, 4_000])
})

const handshake =
  'GET / HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'

test('a host that declines a WebSocket is heard', async () => {
  await using host = await startFakeHost((_, response) => response.writeHead(403).end('no'))
  host.server.on('upgrade', (_, socket) => socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno'))
  await using gateway = await startTestGateway()
  gateway.hosts.add('one', host.origin)
  const answer = await sendRaw(gateway.httpsPort, 'app.test', handshake)
  assert.match(answer, /^HTTP\/1.1 403 [\s\S]*no$/)
})

for (const [title, head] of [
  ['a wrong key', 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: AAAA\r\n'],
  ['another protocol', 'Connection: Upgrade\r\nUpgrade: h2c\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n'],
] as const) {
  test(`a 101 with ${title} is no WebSocket: 502`, async () => {
    await using host = await startRawHost(
      (socket) => void socket.write(`HTTP/1.1 101 Switching Protocols\r\n${head}\r\nevil`),
    )
    await using gateway = await startTestGateway()
    gateway.hosts.add('one', host.origin)
    const answer = await sendRaw(gateway.httpsPort, 'app.test', handshake)
    assert.match(answer, /^HTTP\/1.1 502 /)
    assert.doesNotMatch(answer, /evil/)
  })
}

test('a WebSocket to an unknown name gets the error page', async () => {
  await using gateway = await startTestGateway()
  const answer = await sendRaw(gateway.httpsPort, 'gone.test', handshake.replace('app.test', 'gone.test'))
  assert.match(answer, /^HTTP\/1.1 404 [\s\S]*NAME_UNKNOWN/)
})

test('bytes that follow the handshake at once, on either side, are not lost', async () => {
  await using host = await startRawHost((socket, request) => {
    const accept =
      'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n'
    let got = request.toString().split('\r\n\r\n')[1] ?? ''
    socket.write(`${accept}from-host`)
    const reply = (): void => {
      if (got === 'from-client') socket.end('|got it')
    }
    reply()
    socket.on('data', (part) => {
      got += part
      reply()
    })
  })
  await using gateway = await startTestGateway()
  gateway.hosts.add('one', host.origin)
  const answer = await sendRaw(gateway.httpsPort, 'app.test', `${handshake}from-client`)
  assert.match(answer, /\r\n\r\nfrom-host\|got it$/)
})
