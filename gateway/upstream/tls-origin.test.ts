import assert from 'node:assert/strict'
import { once } from 'node:events'
import net, { type AddressInfo, type Socket } from 'node:net'
import { test } from 'node:test'
import tls from 'node:tls'
import { blockOf } from '../http1/field-block.ts'
import { hostCertificate, startHttp2Host } from '../testing/http2-host.ts'
import { until } from '../testing/until.ts'
import { hostRequest, send, testPools } from './testing/host-client.ts'

const echoPath = (
  stream: import('node:http2').ServerHttp2Stream,
  headers: import('node:http2').IncomingHttpHeaders,
): void => {
  stream.respond({ ':status': 200 })
  stream.end(headers[':path'])
}

/** A host on HTTP/1.1 over TLS that knows no HTTP/2; answers every request with 200 and its connection's number. */
async function startHttp1Host(
  options: tls.TlsOptions = {},
): Promise<
  AsyncDisposable & { origin: string; port: number; connections: number; resumed: number; protocols: unknown[] }
> {
  const { certificatePem, keyPem } = hostCertificate()
  const sockets = new Set<Socket>()
  const host = { origin: '', port: 0, connections: 0, resumed: 0, protocols: [] as unknown[] }
  const server = tls.createServer(
    { cert: certificatePem, key: keyPem, ALPNProtocols: ['http/1.1'], ...options },
    (socket) => {
      const number = ++host.connections
      host.protocols.push(socket.alpnProtocol)
      if (socket.isSessionReused()) host.resumed++
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('data', () =>
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${String(number).length}\r\n\r\n${number}`),
      )
    },
  )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return Object.assign(host, {
    port,
    origin: `https://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve))
      for (const socket of sockets) socket.destroy()
      await closed
    },
  })
}

test('a burst at a host nobody knows yet opens a few connections when it speaks HTTP/2', async () => {
  await using host = await startHttp2Host(echoPath)
  using pools = testPools()
  const sinks = Array.from({ length: 500 }, (_, i) => send(pools, host.origin, hostRequest(`/${i}`)))
  for (const [i, sink] of sinks.entries()) assert.equal((await sink.ended()).body.toString(), `/${i}`)
  assert.equal(host.connections.h2, 5)
  assert.equal(host.connections.http1, 0)
})

test('a burst at a host nobody knows yet is answered over as many connections as it needs when it speaks HTTP/1.1', async () => {
  await using host = await startHttp1Host()
  using pools = testPools()
  const sinks = Array.from({ length: 40 }, () => send(pools, host.origin, hostRequest('/')))
  const seen = new Set<string>()
  for (const sink of sinks) {
    await sink.ended()
    assert.equal(sink.failure, undefined)
    seen.add(sink.body.toString())
  }
  assert.equal(seen.size, 40)
  assert.equal((await send(pools, host.origin, hostRequest('/')).ended()).status, 200)
  assert.equal(host.connections, 40)
})

test('no more exchanges than connections are allowed to one host', async () => {
  await using host = await startHttp2Host(() => {})
  using pools = testPools({ limits: { connectionsPerHostMax: 20 } })
  for (let i = 0; i < 20; i++) send(pools, host.origin, hostRequest('/'))
  assert.throws(() => send(pools, host.origin, hostRequest('/')), /no connection/)
})

test('a host that nobody listens at fails all who wait for it, as a refusal', async () => {
  const probe = net.createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  probe.close()
  await once(probe, 'close')
  using pools = testPools()
  const sinks = Array.from({ length: 150 }, () => send(pools, `https://127.0.0.1:${port}`, hostRequest('/')))
  for (const sink of sinks) {
    const { failure } = await sink.ended()
    assert.deepEqual([failure?.kind, failure?.refused, failure?.declined], ['unreachable', true, undefined])
    assert.match(failure?.what ?? '', /ECONNREFUSED/)
  }
})

test('a host whose certificate nobody vouches for gets no request', async () => {
  const requests: string[] = []
  const other = (await import('../testing/self-signed.ts')).selfSigned(['127.0.0.1'])
  await using host = await startHttp2Host((_, headers) => void requests.push(String(headers[':path'])), {
    cert: other.certificatePem,
    key: other.keyPem,
  })
  using pools = testPools()
  const { failure } = await send(pools, host.origin, hostRequest('/')).ended()
  assert.deepEqual([failure?.kind, failure?.refused], ['unreachable', true])
  assert.deepEqual(requests, [])
})

test('a host whose certificate is for another name gets no request, not even on a resumed session', async () => {
  const requests: string[] = []
  await using host = await startHttp2Host((_, headers) => void requests.push(String(headers[':path'])))
  using pools = testPools()
  const origin = host.origin.replace('127.0.0.1', 'localhost')
  for (let i = 0; i < 2; i++) {
    const { failure } = await send(pools, origin, hostRequest('/')).ended()
    assert.deepEqual([failure?.kind, failure?.refused], ['unreachable', true])
  }
  assert.deepEqual(requests, [])
})

test('a host that accepts and says nothing is given up in time', async () => {
  const sockets: Socket[] = []
  const server = net.createServer((socket) => void sockets.push(socket)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  using pools = testPools({ timeouts: { connectMs: 100 } })
  const origin = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
  const { failure } = await send(pools, origin, hostRequest('/')).ended()
  assert.deepEqual([failure?.kind, failure?.what, failure?.refused], ['timeout', 'accept the connection', true])
  for (const socket of sockets) socket.destroy()
  server.close()
})

test('who leaves while the connection is being made is not sent, and the connection serves others', async () => {
  await using host = await startHttp2Host(echoPath)
  using pools = testPools()
  const gone = send(pools, host.origin, hostRequest('/gone'))
  const stays = send(pools, host.origin, hostRequest('/stays'))
  gone.stream?.cancel()
  assert.equal((await stays.ended()).body.toString(), '/stays')
  assert.deepEqual(
    host.seen.map((headers) => headers[':path']),
    ['/stays'],
  )
  assert.equal(gone.over, false)
  assert.equal(host.connections.h2, 1)
})

test('a body that flows begins when the connection stands', async () => {
  await using host = await startHttp2Host((stream) => {
    stream.respond({ ':status': 200 })
    stream.pipe(stream)
  })
  using pools = testPools()
  const sink = send(pools, host.origin, hostRequest('/', { method: 'POST', bodyBytes: -1 }), { last: false })
  await sink.until(() => sink.drains === 1)
  sink.stream?.write(Buffer.from('hello'))
  sink.stream?.end()
  assert.equal((await sink.ended()).body.toString(), 'hello')
})

for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const)
  test(`a further connection resumes the session of an earlier one, over ${maxVersion}`, async () => {
    await using host = await startHttp1Host({ maxVersion })
    using pools = testPools()
    await send(pools, host.origin, hostRequest('/')).ended()
    const again = [send(pools, host.origin, hostRequest('/')), send(pools, host.origin, hostRequest('/'))]
    for (const sink of again) await sink.ended()
    assert.equal(host.connections, 2)
    assert.equal(host.resumed, 1)
  })

test('a WebSocket goes over HTTP/1.1 also to a host that speaks HTTP/2', async () => {
  await using host = await startHttp2Host(echoPath)
  host.server.on('upgrade', (request, socket: Socket) => {
    assert.equal(request.url, '/socket')
    socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n')
    socket.pipe(socket)
  })
  using pools = testPools()
  await send(pools, host.origin, hostRequest('/')).ended()
  const request = hostRequest('/socket', {
    fields: blockOf(['Sec-WebSocket-Key', 'abc']),
    upgrade: { key: undefined, idleMs: 1_000 },
  })
  const sink = send(pools, host.origin, request, { last: false, needs: { preface: undefined, upgrade: true } })
  await sink.until(() => sink.switched)
  sink.stream?.write(Buffer.from('frame'))
  await sink.until(() => sink.body.toString() === 'frame')
  assert.deepEqual([host.connections.h2, host.connections.http1], [1, 1])
  sink.stream?.cancel()
})

test('a PROXY header goes before the handshake, and its connection serves one exchange', async () => {
  const preface = Buffer.from('PROXY TCP4 192.0.2.1 192.0.2.2 1000 443\r\n')
  await using host = await startHttp1Host()
  const prefaces: string[] = []
  // Takes the header off and passes the rest on to the host.
  const front = net.createServer((socket) => {
    socket.once('readable', () => {
      prefaces.push(String(socket.read(preface.length)))
      const inner = net.connect(host.port, '127.0.0.1')
      socket.pipe(inner).pipe(socket)
      socket.on('error', () => {})
      inner.on('error', () => {})
    })
  })
  front.listen(0, '127.0.0.1')
  await once(front, 'listening')
  let open = 0
  front.on('connection', (socket) => {
    open++
    socket.once('close', () => open--)
  })
  using pools = testPools()
  const origin = `https://127.0.0.1:${(front.address() as AddressInfo).port}`
  for (const number of ['1', '2']) {
    const sink = send(pools, origin, hostRequest('/'), { needs: { preface, upgrade: false } })
    assert.equal((await sink.ended()).body.toString(), number)
  }
  assert.deepEqual(prefaces, [preface.toString(), preface.toString()])
  assert.deepEqual(host.protocols, ['http/1.1', 'http/1.1'])
  await until(() => open === 0)
  front.close()
})

test('a PROXY header to a host that is not there is a refusal', async () => {
  const probe = net.createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  probe.close()
  await once(probe, 'close')
  using pools = testPools()
  const needs = { preface: Buffer.from('PROXY UNKNOWN\r\n'), upgrade: false }
  const { failure } = await send(pools, `https://127.0.0.1:${port}`, hostRequest('/'), { needs }).ended()
  assert.deepEqual([failure?.kind, failure?.refused], ['unreachable', true])
})

test('a host that comes back with another protocol is served by it', async () => {
  await using host = await startHttp2Host(echoPath)
  const { port } = host.server.address() as AddressInfo
  using pools = testPools()
  await send(pools, host.origin, hostRequest('/')).ended()
  await host.kill()
  const { certificatePem, keyPem } = hostCertificate()
  const old = tls.createServer({ cert: certificatePem, key: keyPem }, (socket) => {
    socket.on('error', () => {})
    socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold'))
  })
  old.listen(port, '127.0.0.1')
  await once(old, 'listening')
  // That the connection has gone shows a moment later.
  await until(async () => (await send(pools, host.origin, hostRequest('/')).ended()).body.toString() === 'old')
  const sinks = Array.from({ length: 10 }, () => send(pools, host.origin, hostRequest('/')))
  const bodies = await Promise.all(sinks.map(async (sink) => (await sink.ended()).body.toString()))
  pools[Symbol.dispose]()
  await new Promise((resolve) => old.close(resolve))
  assert.deepEqual(new Set(bodies), new Set(['old']))
})

test('disposing closes everything, and nobody hears of it', async () => {
  await using host = await startHttp2Host((stream) => stream.respond({ ':status': 200 }))
  const pools = testPools()
  const open = send(pools, host.origin, hostRequest('/'))
  await open.until(() => open.status === 200)
  const waiting = send(pools, host.origin, hostRequest('/ws'), { needs: { preface: undefined, upgrade: true } })
  pools[Symbol.dispose]()
  let connections = -1
  await until(() => {
    host.server.getConnections((_, count) => {
      connections = count
    })
    return connections === 0
  })
  assert.deepEqual([open.over, waiting.over], [false, false])
})
