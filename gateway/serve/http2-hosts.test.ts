import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import http2, { type ClientHttp2Session, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http2'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import { poison } from '../http1/message-socket.ts'
import { headers, reset } from '../listen/http2/testing/raw-client.ts'
import { ask, connectTls } from '../testing/client.ts'
import { type FakeHttp2Host, hostCertificate, startHttp2Host } from '../testing/http2-host.ts'
import { programHash, startTestGateway, type TestGateway } from '../testing/test-gateway.ts'
import { until } from '../testing/until.ts'
import { goaway, startRawHttp2Host } from '../upstream/testing/raw-host.ts'

// Memory is overwritten as soon as it counts as free: whoever still reads it shows.
poison.on = true

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')
const prefix = `/vm/${programHash}`

/** A gateway that trusts the hosts of these tests, in front of some. */
async function startGateway(config: Record<string, object>, ...hosts: { origin: string }[]): Promise<TestGateway> {
  const gateway = await startTestGateway(config, { hostAuthorities: hostCertificate().certificatePem })
  for (const [i, { origin }] of hosts.entries()) gateway.hosts.add(`host-${i}`, origin, { uptime: 1 - i / 10 })
  return gateway
}

/** An HTTP/2 client of the gateway. */
async function connect({ httpsPort }: TestGateway): Promise<ClientHttp2Session & AsyncDisposable> {
  const session = http2.connect(`https://app.test:${httpsPort}`, {
    rejectUnauthorized: false,
    servername: 'app.test',
    lookup: ((_: string, _options: object, done: (error: null, list: object[]) => void) =>
      done(null, [{ address: '127.0.0.1', family: 4 }])) as never,
  })
  session.on('error', () => {})
  await new Promise((resolve) => session.once('connect', resolve))
  return Object.assign(session, {
    async [Symbol.asyncDispose]() {
      session.destroy()
    },
  })
}

interface Answer {
  status: number
  headers: IncomingHttpHeaders
  body: Buffer
  trailers: IncomingHttpHeaders
  hints: IncomingHttpHeaders[]
}

function request(session: ClientHttp2Session, head: OutgoingHttpHeaders, body?: Buffer): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ':authority': 'app.test', ...head }, { endStream: body === undefined })
    const answer: Answer = { status: 0, headers: {}, body: Buffer.alloc(0), trailers: {}, hints: [] }
    const parts: Buffer[] = []
    stream.on('headers', (hints) => answer.hints.push(hints))
    stream.on('response', (got) => Object.assign(answer, { headers: got, status: got[':status'] }))
    stream.on('trailers', (got) => Object.assign(answer, { trailers: got }))
    stream.on('data', (part: Buffer) => parts.push(part))
    stream.on('error', reject)
    stream.on('close', () => {
      if (stream.rstCode !== 0) return reject(new Error(`reset ${stream.rstCode}`))
      resolve({ ...answer, body: Buffer.concat(parts) })
    })
    if (body) stream.end(body)
  })
}

/** A gRPC message: a flag, its length, its bytes. */
function message(payload: Buffer | string): Buffer {
  const bytes = Buffer.from(payload)
  const head = Buffer.alloc(5)
  head.writeUInt32BE(bytes.length, 1)
  return Buffer.concat([head, bytes])
}

/** Takes gRPC messages out of what arrives. */
function messagesOf(onMessage: (payload: Buffer) => void): (part: Buffer) => void {
  let bytes = Buffer.alloc(0)
  return (part) => {
    bytes = Buffer.concat([bytes, part])
    while (bytes.length >= 5 && bytes.length >= 5 + bytes.readUInt32BE(1)) {
      const end = 5 + bytes.readUInt32BE(1)
      onMessage(bytes.subarray(5, end))
      bytes = bytes.subarray(end)
    }
  }
}

/** A gRPC service: says each message back at once, and the number of messages as a trailer. */
function startGrpcHost(): Promise<FakeHttp2Host> {
  return startHttp2Host((stream) => {
    let count = 0
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', 'x-count': String(count) }))
    const onPart = messagesOf((payload) => {
      count++
      stream.write(message(payload))
    })
    stream.on('data', onPart)
    stream.on('end', () => stream.end())
  })
}

const grpcHead = { ':method': 'POST', ':path': '/pkg.Service/Echo', 'content-type': 'application/grpc', te: 'trailers' }

test('a unary gRPC call passes with its trailers, over HTTP/2 on both sides', async () => {
  await using host = await startGrpcHost()
  await using gateway = await startGateway({}, host)
  await using client = await connect(gateway)
  const answer = await request(client, { ...grpcHead, 'grpc-timeout': '1S', 'x-meta': 'm' }, message('hello'))
  assert.equal(answer.status, 200)
  assert.deepEqual(answer.body, message('hello'))
  assert.deepEqual([answer.trailers['grpc-status'], answer.trailers['x-count']], ['0', '1'])
  const [seen] = host.seen
  assert.equal(seen?.te, 'trailers')
  assert.equal(seen?.[':path'], `${prefix}/pkg.Service/Echo`)
  assert.equal(seen?.[':authority'], 'app.test')
  assert.deepEqual([seen?.['grpc-timeout'], seen?.['x-meta']], ['1S', 'm'])
  assert.equal(host.connections.http1, 0)
})

test('a call that fails at once is told by an answer of trailers alone', async () => {
  await using host = await startHttp2Host((stream) => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '12' }, { endStream: true })
  })
  await using gateway = await startGateway({}, host)
  await using client = await connect(gateway)
  const answer = await request(client, grpcHead, message('hello'))
  assert.equal(answer.headers['grpc-status'], '12')
  assert.equal(answer.body.length, 0)
})

test('messages stream both ways while neither side has ended', async () => {
  await using host = await startGrpcHost()
  await using gateway = await startGateway({}, host)
  await using client = await connect(gateway)
  const stream = client.request({ ':authority': 'app.test', ...grpcHead }, { endStream: false })
  const got: string[] = []
  let trailers: IncomingHttpHeaders = {}
  stream.on('trailers', (found) => {
    trailers = found
  })
  stream.on(
    'data',
    messagesOf((payload) => got.push(payload.toString())),
  )
  // Each message is sent only after the one before came back: nothing on the way waits for more.
  for (let i = 0; i < 20; i++) {
    stream.write(message(`message ${i}`))
    await until(() => got.length === i + 1)
  }
  stream.end()
  await new Promise((resolve) => stream.once('close', resolve))
  assert.equal(got[19], 'message 19')
  assert.equal(trailers['x-count'], '20')
})

test('200 calls at a time, each with its own messages', async () => {
  await using host = await startGrpcHost()
  await using gateway = await startGateway({}, host)
  const clients = await Promise.all([connect(gateway), connect(gateway)])
  const answers = await Promise.all(
    Array.from({ length: 200 }, (_, i) =>
      request(clients[i % 2] as ClientHttp2Session, grpcHead, message(`call ${i}`)),
    ),
  )
  for (const [i, answer] of answers.entries()) {
    assert.deepEqual(answer.body, message(`call ${i}`))
    assert.equal(answer.trailers['grpc-status'], '0')
  }
  assert.ok(host.connections.h2 <= 3, `${host.connections.h2} connections`)
  for (const client of clients) client.destroy()
})

test('a client that reads slowly holds up nobody else, and loses nothing', async () => {
  const large = randomBytes(3_000_000)
  await using host = await startHttp2Host(
    (stream, head) => {
      stream.respond({ ':status': 200 })
      stream.end(head[':path'] === `${prefix}/large` ? large : 'small')
    },
    { maxSessionMemory: 100 },
  )
  await using gateway = await startGateway({}, host)
  await using slow = await connect(gateway)
  await using quick = await connect(gateway)
  const stream = slow.request({ ':authority': 'app.test', ':path': '/large' })
  await new Promise((resolve) => stream.once('response', resolve))
  for (let i = 0; i < 10; i++) assert.equal((await request(quick, { ':path': '/small' })).body.toString(), 'small')
  const parts: Buffer[] = []
  for await (const part of stream) {
    parts.push(part as Buffer)
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.equal(sha256(Buffer.concat(parts)), sha256(large))
  assert.equal(host.connections.h2, 1)
})

for (const version of ['HTTP/2', 'HTTP/1.1'])
  test(`a body of 1 MiB arrives unchanged both ways, from a client on ${version}`, async () => {
    await using host = await startHttp2Host((stream) => {
      const parts: Buffer[] = []
      stream.on('data', (part: Buffer) => parts.push(part))
      stream.on('end', () => {
        const body = Buffer.concat(parts)
        stream.respond({ ':status': 200, 'x-hash': sha256(body) })
        stream.end(body.reverse())
      })
    })
    await using gateway = await startGateway({}, host)
    const body = Buffer.alloc(1_048_576, randomBytes(4_099).toString('hex'))
    const back = sha256(Buffer.from(body).reverse())
    for (let i = 0; i < 3; i++) {
      if (version === 'HTTP/2') {
        await using client = await connect(gateway)
        const answer = await request(client, { ':method': 'POST', ':path': '/', 'content-length': body.length }, body)
        assert.equal(answer.headers['x-hash'], sha256(body))
        assert.equal(sha256(answer.body), back)
      } else {
        const answer = await ask({ port: gateway.httpsPort, host: 'app.test', method: 'POST', body })
        assert.equal(answer.headers['x-hash'], sha256(body))
        assert.equal(sha256(Buffer.from(answer.body)), back)
      }
    }
  })

test('an HTTP/1.1 client gets hints, trailers, and answers without a body from a host on HTTP/2', async () => {
  await using host = await startHttp2Host((stream, head) => {
    if (head[':path'] === `${prefix}/empty`) return stream.respond({ ':status': 204 }, { endStream: true })
    if (head[':path'] === `${prefix}/same`) return stream.respond({ ':status': 304, etag: '"a"' }, { endStream: true })
    stream.additionalHeaders({ ':status': 103, link: '</a.css>; rel=preload' })
    stream.respond({ ':status': 200, 'x-answer': 'yes' }, { waitForTrailers: true })
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': 'abc' }))
    stream.end(head[':method'] === 'HEAD' ? undefined : 'body')
  })
  await using gateway = await startGateway({}, host)
  const port = gateway.httpsPort
  const answer = await ask({ port, host: 'app.test' })
  assert.deepEqual([answer.status, answer.body, answer.trailers['x-sum']], [200, 'body', 'abc'])
  assert.equal(answer.headers['x-answer'], 'yes')
  const head = await ask({ port, host: 'app.test', method: 'HEAD' })
  assert.deepEqual([head.status, head.body, head.headers['x-answer']], [200, '', 'yes'])
  const empty = await ask({ port, host: 'app.test', path: '/empty' })
  assert.deepEqual([empty.status, empty.body], [204, ''])
  const same = await ask({ port, host: 'app.test', path: '/same' })
  assert.deepEqual([same.status, same.body, same.headers.etag], [304, '', '"a"'])
  await using client = await connect(gateway)
  const hinted = await request(client, { ':path': '/' })
  assert.equal(hinted.hints[0]?.link, '</a.css>; rel=preload')
  assert.equal(host.connections.http1, 0)
})

test('a POST that the host turned away goes to the next host, with its body', async () => {
  await using busy = await startRawHttp2Host((connection, id) => connection.send(reset(id, 7)))
  await using free = await startHttp2Host((stream) => {
    stream.respond({ ':status': 200 })
    stream.pipe(stream)
  })
  await using gateway = await startGateway({}, busy, free)
  for (let i = 0; i < 3; i++) {
    const answer = await ask({ port: gateway.httpsPort, host: 'app.test', method: 'POST', body: `body ${i}` })
    assert.deepEqual([answer.status, answer.body], [200, `body ${i}`])
  }
  assert.ok(busy.connections.length > 0)
})

test('a POST that the host gave up for another reason is not sent twice', async () => {
  await using broken = await startRawHttp2Host((connection, id) => connection.send(reset(id, 2)))
  await using other = await startHttp2Host((stream) => stream.respond({ ':status': 200 }, { endStream: true }))
  await using gateway = await startGateway({}, broken, other)
  const answer = await ask({ port: gateway.httpsPort, host: 'app.test', method: 'POST', body: 'once' })
  assert.equal(answer.status, 502)
  assert.equal(JSON.parse(answer.body).code, 'GATEWAY_HOST_UNREACHABLE')
  assert.equal(other.seen.length, 0)
})

test('a host that ends its connections now and then loses no request, and stays in use', async () => {
  // Turns away every tenth request of a connection, and ends the connection, as servers do after so many requests.
  await using host = await startRawHttp2Host((connection, id) => {
    if (id === 19) connection.send(goaway(17, 0))
    else if (id < 19) connection.send(headers(id, [':status', '200', 'x-id', String(id)]))
  })
  await using gateway = await startGateway({}, host)
  await using client = await connect(gateway)
  for (let round = 0; round < 10; round++) {
    const method = round % 2 === 0 ? 'GET' : 'POST'
    const answers = await Promise.all(
      Array.from({ length: 4 }, () => request(client, { ':method': method, ':path': '/' })),
    )
    for (const answer of answers) assert.equal(answer.status, 200)
  }
  assert.ok(host.connections.length >= 4)
  assert.doesNotMatch(await gateway.metrics.text(), /gateway_host_ejections_total [1-9]/)
})

test('a host that is restarted under load costs no idempotent request', async () => {
  const answer = (stream: http2.ServerHttp2Stream): void => {
    setTimeout(() => {
      if (stream.destroyed) return
      stream.respond({ ':status': 200, 'content-length': 2 })
      stream.end('ok')
    }, 5)
  }
  await using first = await startHttp2Host(answer)
  await using second = await startHttp2Host(answer)
  await using gateway = await startGateway({ balance: { ejectMs: 50, ejectMaxMs: 200 } }, first, second)
  await using client = await connect(gateway)
  let next = 0
  let failed = 0
  const worker = async (): Promise<void> => {
    while (next < 300) {
      const turn = next++
      if (turn === 100) await first.kill()
      if (turn === 200) await first.revive()
      const got = await request(client, { ':path': '/' }).catch(() => undefined)
      if (got?.status !== 200 || got.body.toString() !== 'ok') failed++
    }
  }
  await Promise.all(Array.from({ length: 16 }, worker))
  assert.equal(failed, 0)
  const before = first.seen.length
  await until(async () => {
    await request(client, { ':path': '/' })
    return first.seen.length > before
  })
})

test('an answer that breaks off is seen as such', async () => {
  await using host = await startHttp2Host((stream) => {
    stream.respond({ ':status': 200, 'content-length': 100_000 })
    stream.write(Buffer.alloc(50_000))
    setTimeout(() => stream.close(2), 20)
  })
  await using gateway = await startGateway({}, host)
  await using client = await connect(gateway)
  await assert.rejects(request(client, { ':path': '/' }), /reset|aborted|closed|INTERNAL/)
  await assert.rejects(ask({ port: gateway.httpsPort, host: 'app.test' }))
})

test('a WebSocket passes through to a host that speaks HTTP/2', async () => {
  await using host = await startHttp2Host((stream) => stream.respond({ ':status': 200 }, { endStream: true }))
  host.server.on('upgrade', (incoming, socket: Socket) => {
    const key = incoming.headers['sec-websocket-key']
    const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    )
    socket.on('error', () => {})
    socket.on('data', (part) => socket.write(part))
  })
  await using gateway = await startGateway({}, host)
  assert.equal((await ask({ port: gateway.httpsPort, host: 'app.test' })).status, 200)
  const socket = await connectTls(gateway.httpsPort, 'app.test')
  let text = ''
  socket.on('data', (part) => {
    text += part.toString('latin1')
  })
  const lines = ['Host: app.test', 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13']
  socket.write(`GET /ws HTTP/1.1\r\n${lines.join('\r\n')}\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`)
  await until(() => text.startsWith('HTTP/1.1 101') && text.endsWith('\r\n\r\n'))
  socket.write('frame')
  await until(() => text.endsWith('frame'))
  socket.destroy()
  assert.deepEqual([host.connections.h2, host.connections.http1], [1, 1])
})

test('probes reach a host on HTTP/2, which then comes back into use', async () => {
  await using host = await startHttp2Host((stream) => {
    stream.respond({ ':status': 200 })
    stream.end('ok')
  })
  await using gateway = await startGateway({ balance: { ejectMs: 50, ejectMaxMs: 100, checkMs: 100 } }, host)
  const port = gateway.httpsPort
  assert.equal((await ask({ port, host: 'app.test' })).status, 200)
  await host.kill()
  await until(async () => (await ask({ port, host: 'app.test' })).status === 502)
  await host.revive()
  await until(async () => (await ask({ port, host: 'app.test' })).status === 200)
})
