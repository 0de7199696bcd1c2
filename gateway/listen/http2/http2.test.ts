import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type OutgoingHttpHeaders,
} from 'node:http2'
import { test } from 'node:test'
import type { Exchange } from '../../forward/exchange.ts'
import { blockOf } from '../../http1/field-block.ts'
import { until } from '../../testing/until.ts'
import { data, headers, RawClient, request } from './testing/raw-client.ts'
import { answerText, answerWith, echo, sink, startHttp2Server } from './testing/test-server.ts'

/** `node:http2` as the client: an implementation of somebody else's. */
async function openClient(port: number, settings = {}): Promise<ClientHttp2Session & AsyncDisposable> {
  const session = connect(`https://app.test:${port}`, {
    rejectUnauthorized: false,
    servername: 'app.test',
    lookup: (_name, _options, done) => done(null, [{ address: '127.0.0.1', family: 4 }] as never, 4),
    settings,
  })
  session.on('error', () => {})
  const closed = new Promise<void>((resolve) => session.once('close', resolve))
  await once(session, 'remoteSettings')
  return Object.assign(session, {
    async [Symbol.asyncDispose]() {
      session.destroy()
      await closed
    },
  })
}

interface Answer {
  status: number
  fields: Record<string, unknown>
  body: Buffer
  trailers: Record<string, unknown> | undefined
}

async function answerOf(stream: ClientHttp2Stream): Promise<Answer> {
  const parts: Buffer[] = []
  let trailers: Record<string, unknown> | undefined
  const ended = once(stream, 'end')
  stream.on('trailers', (fields: Record<string, unknown>) => {
    trailers = fields
  })
  stream.on('data', (part: Buffer) => void parts.push(part))
  const [fields] = (await once(stream, 'response')) as [Record<string, unknown>]
  await ended
  return { status: Number(fields[':status']), fields, body: Buffer.concat(parts), trailers }
}

function ask(session: ClientHttp2Session, fields: OutgoingHttpHeaders, body?: Buffer): Promise<Answer> {
  const stream = session.request(fields, { endStream: body === undefined })
  if (body !== undefined) stream.end(body)
  return answerOf(stream)
}

test('a request reaches its handler as a head of HTTP/1.1 lines, and its answer comes back', async () => {
  let seen: unknown
  await using server = await startHttp2Server({
    handle(exchange) {
      const { head } = exchange
      seen = { ...head, path: exchange.path, fields: head.fields.pairs(), secure: exchange.client.secure }
      answerText(exchange, 200, 'hello', ['Content-Type', 'text/plain', 'X-Own', 'yes'])
    },
  })
  await using session = await openClient(server.port)
  for (let turn = 0; turn < 3; turn++) {
    const answer = await ask(session, { ':path': '/a/b?c=d', 'user-agent': 'test', cookie: ['a=1', 'b=2'] })
    assert.equal(answer.status, 200)
    assert.equal(answer.fields['content-type'], 'text/plain')
    assert.equal(answer.fields['content-length'], '5')
    assert.equal(answer.body.toString(), 'hello')
    const { method, path, host, fields, bodyBytes, upgrade, version, secure } = seen as Record<string, unknown>
    assert.deepEqual(
      { method, path, host, fields, bodyBytes, upgrade, version, secure },
      {
        method: 'GET',
        path: '/a/b?c=d',
        host: 'app.test',
        fields: ['user-agent', 'test', 'cookie', 'a=1; b=2'],
        bodyBytes: 0,
        upgrade: undefined,
        version: '2',
        secure: true,
      },
    )
  }
  assert.deepEqual(
    server.ended.map(({ ending, status, path }) => [ending, status, path]),
    Array(3).fill(['whole', 200, '']),
  )
  assert.equal(server.open, 0)
})

test('a hundred requests at a time are answered, each with its own body', async () => {
  await using server = await startHttp2Server({ handle: echo })
  await using session = await openClient(server.port)
  const bodies = Array.from({ length: 100 }, (_, i) => randomBytes(1_000 + i * 97))
  const answers = await Promise.all(bodies.map((body) => ask(session, { ':method': 'POST', ':path': '/' }, body)))
  for (const [i, answer] of answers.entries()) assert.ok(answer.body.equals(bodies[i] as Buffer), `body ${i}`)
  assert.equal(server.ended.length, 100)
})

test('large bodies go both ways at the pace of a slow reader, and others are not held up', async () => {
  await using server = await startHttp2Server({ handle: echo })
  await using session = await openClient(server.port)
  const body = randomBytes(3_000_000)
  const slow = session.request({ ':method': 'POST', ':path': '/slow' })
  slow.end(body)
  await once(slow, 'response')
  // Nobody reads `slow`: its windows fill, in both directions.
  for (let i = 0; i < 20; i++) {
    const answer = await ask(session, { ':method': 'POST', ':path': '/fast' }, body.subarray(0, 50_000))
    assert.equal(answer.body.length, 50_000)
  }
  const hash = createHash('sha256')
  for await (const part of slow) hash.update(part as Buffer)
  assert.equal(hash.digest('hex'), createHash('sha256').update(body).digest('hex'))
})

test('one reader that pauses stalls its own request only', async () => {
  const paused: Exchange[] = []
  let received = 0
  await using server = await startHttp2Server({
    handle(exchange) {
      if (exchange.path !== '/paused') return echo(exchange)
      paused.push(exchange)
      exchange.readBody(
        sink({
          onBody(part) {
            received += part.length
            return false
          },
          onBodyEnd: () => answerText(exchange, 200, String(received)),
        }),
      )
    },
  })
  await using session = await openClient(server.port)
  const body = randomBytes(1_000_000)
  const stalled = [1, 2, 3].map(() => ask(session, { ':method': 'POST', ':path': '/paused' }, body))
  for (let i = 0; i < 10; i++) {
    const answer = await ask(session, { ':method': 'POST', ':path': '/' }, body)
    assert.ok(answer.body.equals(body))
  }
  // No more than a window each has been taken meanwhile.
  assert.ok(received <= 3 * 262_144, String(received))
  assert.equal(paused.length, 3)
  const resuming = setInterval(() => paused.forEach((exchange) => void exchange.resumeBody()), 1)
  await Promise.all(stalled)
  clearInterval(resuming)
  assert.equal(received, 3_000_000)
})

test('a small body can be taken whole, and one that is read in parts cannot', async () => {
  const whole: unknown[] = []
  await using server = await startHttp2Server({
    handle(exchange) {
      const body = exchange.takeWholeBody()
      whole.push(body?.toString())
      assert.equal(exchange.bodyEnded, body !== undefined)
      if (body) answerText(exchange, 200, 'taken')
      else echo(exchange)
    },
  })
  await using raw = await RawClient.start(server.port)
  raw.send(headers(1, request('POST'), false), data(1, 'sm'), data(1, 'all', true))
  await raw.ended(1)
  assert.equal(raw.body(1).toString(), 'taken')
  await using session = await openClient(server.port)
  const open = session.request({ ':method': 'POST', ':path': '/' })
  const answer = answerOf(open)
  open.write('part')
  await until(() => whole.length === 2)
  open.end('!')
  assert.equal((await answer).body.toString(), 'part!')
  assert.deepEqual(whole, ['small', undefined])
})

test('trailers go both ways, as gRPC needs them', async () => {
  let trailers: string[] | undefined
  await using server = await startHttp2Server({
    handle(exchange) {
      assert.equal(exchange.head.fields.value(1), 'trailers')
      exchange.readBody(
        sink({
          onBodyEnd(fields) {
            trailers = fields?.pairs()
            answerWith(exchange, 200, ['Content-Type', 'application/grpc'], Buffer.from('\0\0\0\0\x02ok'), false)
            exchange.end(blockOf(['grpc-status', '0', 'Content-Length', '9', 'grpc-message', 'fine']))
          },
        }),
      )
    },
  })
  await using session = await openClient(server.port)
  const stream = session.request(
    { ':method': 'POST', ':path': '/s/m', 'content-type': 'application/grpc', te: 'trailers' },
    { waitForTrailers: true },
  )
  stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': '7', host: 'evil' }))
  stream.end('\0\0\0\0\x01x')
  const answer = await answerOf(stream)
  assert.deepEqual(trailers, ['x-sum', '7'])
  assert.equal(answer.body.length, 7)
  assert.deepEqual([answer.trailers?.['grpc-status'], answer.trailers?.['grpc-message']], ['0', 'fine'])
  assert.equal(answer.trailers?.['content-length'], undefined)
})

test('trailers wait for a body that waits for the client', async () => {
  const body = randomBytes(300_000)
  await using server = await startHttp2Server({
    handle(exchange) {
      const trailers = blockOf(['x-sum', 'abc'])
      assert.equal(answerWith(exchange, 200, [], body, false), false)
      exchange.end(trailers)
      trailers.bytes.fill(0)
    },
  })
  await using session = await openClient(server.port)
  const answer = await ask(session, { ':path': '/' })
  assert.ok(answer.body.equals(body))
  assert.equal(answer.trailers?.['x-sum'], 'abc')
})

test('103 comes before the answer, and 100 when the body is wanted', async () => {
  await using server = await startHttp2Server({
    handle(exchange) {
      exchange.inform(103, blockOf(['Link', '</a.css>; rel=preload']))
      echo(exchange)
    },
  })
  await using session = await openClient(server.port)
  const stream = session.request({ ':method': 'POST', ':path': '/', expect: '100-continue' })
  const informed: unknown[] = []
  stream.on('headers', (fields: Record<string, unknown>) => void informed.push(fields[':status'], fields.link))
  await once(stream, 'continue')
  stream.end('after')
  assert.equal((await answerOf(stream)).body.toString(), 'after')
  assert.deepEqual(informed.slice(0, 2), [103, '</a.css>; rel=preload'])
})

test('HEAD, 204 and 304 have no body; Content-Length stays where it may', async () => {
  await using server = await startHttp2Server({
    handle(exchange) {
      const status = Number(exchange.path.slice(1))
      answerText(exchange, status, exchange.head.method === 'HEAD' ? 'twelve bytes' : '', ['Content-Length', '12'])
    },
  })
  await using session = await openClient(server.port)
  for (const [method, path] of [
    ['HEAD', '/200'],
    ['GET', '/204'],
    ['GET', '/304'],
  ]) {
    const answer = await ask(session, { ':method': method, ':path': path })
    const length = path === '/204' ? undefined : '12'
    assert.deepEqual([answer.body.length, answer.fields['content-length']], [0, length], `${method} ${path}`)
  }
})

test('an answer that breaks off, or is shorter or longer than promised, is visibly cut', async () => {
  await using server = await startHttp2Server({
    handle(exchange) {
      if (exchange.path === '/cut') {
        answerWith(exchange, 200, [], Buffer.from('half'), false)
        exchange.cut()
        return
      }
      const fields = blockOf(['Content-Length', '10'])
      exchange.answer(
        { status: 200, fields, extra: [], bodyBytes: 10 },
        Buffer.from('12345'),
        exchange.path === '/last',
      )
      if (exchange.path === '/long') exchange.write(Buffer.from('678901'))
      exchange.end()
    },
  })
  await using session = await openClient(server.port)
  for (const path of ['/cut', '/last', '/short', '/long']) {
    const stream = session.request({ ':path': path })
    stream.resume()
    await assert.rejects(once(stream, 'end'), path)
    assert.equal(stream.rstCode, constants.NGHTTP2_INTERNAL_ERROR, path)
  }
  assert.deepEqual(
    server.ended.map(({ ending }) => ending),
    ['cut', 'cut', 'cut', 'cut'],
  )
})

test('a WebSocket is agreed to by extended CONNECT and carries bytes both ways until each side ends', async () => {
  let head: unknown
  await using server = await startHttp2Server({
    handle(exchange) {
      const { method, upgrade, bodyBytes, host } = exchange.head
      head = { method, upgrade, bodyBytes, host, path: exchange.path, fields: exchange.head.fields.pairs() }
      exchange.listen(
        sink({
          onBody: (part) => exchange.write(Buffer.from(part.toString().toUpperCase())),
          onBodyEnd: () => exchange.end(),
        }),
      )
      exchange.upgrade(
        blockOf(['Sec-WebSocket-Accept', 'abc', 'Sec-WebSocket-Protocol', 'chat', 'Upgrade', 'websocket']),
        [],
      )
    },
  })
  await using session = await openClient(server.port)
  assert.equal(session.remoteSettings.enableConnectProtocol, true)
  const stream = session.request({
    ':method': 'CONNECT',
    ':protocol': 'websocket',
    ':scheme': 'https',
    ':path': '/socket',
    ':authority': 'app.test',
    'sec-websocket-version': '13',
  })
  stream.write('early ')
  const [fields] = (await once(stream, 'response')) as [Record<string, unknown>]
  assert.deepEqual(
    [fields[':status'], fields['sec-websocket-protocol'], fields['sec-websocket-accept']],
    [200, 'chat', undefined],
  )
  stream.write('late')
  let text = ''
  stream.on('data', (part: Buffer) => {
    text += part.toString()
  })
  await until(() => text === 'EARLY LATE')
  stream.end()
  await once(stream, 'end')
  assert.deepEqual(head, {
    method: 'GET',
    upgrade: 'websocket',
    bodyBytes: 0,
    host: 'app.test',
    path: '/socket',
    fields: ['sec-websocket-version', '13'],
  })
  assert.deepEqual(
    server.ended.map(({ ending, status }) => [ending, status]),
    [['whole', 200]],
  )
})

test('who answers hears of a client that goes, before the answer and within it', async () => {
  let gone = 0
  const exchanges: Exchange[] = []
  await using server = await startHttp2Server({
    handle(exchange) {
      exchanges.push(exchange)
      exchange.listen(sink({ onClientGone: () => void gone++ }))
      if (exchange.path === '/begun') answerWith(exchange, 200, [], Buffer.from('part'), false)
    },
  })
  await using session = await openClient(server.port)
  const [waiting, begun, last] = ['/waiting', '/begun', '/last'].map((path) => session.request({ ':path': path }))
  for (const stream of [waiting, begun, last]) stream?.on('error', () => {})
  await until(() => exchanges.length === 3)
  waiting?.close(constants.NGHTTP2_CANCEL)
  begun?.close(constants.NGHTTP2_CANCEL)
  await until(() => gone === 2)
  session.destroy()
  await until(() => gone === 3)
  assert.deepEqual(
    server.ended.map(({ ending, path }) => [ending, path]),
    [
      ['gone', ''],
      ['cut', ''],
      ['gone', ''],
    ],
  )
  // Late news from a host does no harm.
  for (const exchange of exchanges) {
    answerText(exchange, 200, 'late')
    exchange.write(Buffer.from('late'))
    exchange.end()
    exchange.cut()
    exchange.resumeBody()
  }
  assert.equal(server.ended.length, 3)
  assert.equal(server.failures.length, 0)
})

test('an answer need not wait for the request body', async () => {
  await using server = await startHttp2Server({ handle: (exchange) => answerText(exchange, 413, 'too large') })
  await using session = await openClient(server.port)
  const stream = session.request({ ':method': 'POST', ':path': '/' })
  stream.write(randomBytes(10_000))
  const answer = await answerOf(stream)
  assert.deepEqual([answer.status, answer.body.toString()], [413, 'too large'])
  assert.equal(stream.rstCode, constants.NGHTTP2_NO_ERROR)
  assert.equal((await ask(session, { ':path': '/' })).status, 413)
})

test('a drain lets requests under way finish, takes no more, and then closes', async () => {
  const exchanges: Exchange[] = []
  await using server = await startHttp2Server({ handle: (exchange) => void exchanges.push(exchange) })
  await using session = await openClient(server.port)
  const goaways: number[] = []
  session.on('goaway', (code: number, lastId: number) => void goaways.push(code, lastId))
  const answer = ask(session, { ':path': '/' })
  await until(() => exchanges.length === 1)
  for (const connection of server.connections) connection.drain()
  await until(() => goaways.length === 4)
  assert.deepEqual(goaways, [0, 0x7fff_ffff, 0, 1])
  answerText(exchanges[0] as Exchange, 200, 'still here')
  assert.equal((await answer).body.toString(), 'still here')
  if (!session.closed) await once(session, 'close')
  await until(() => server.connections.size === 0)
})

test('a handler that throws ends its connection, not the process', async () => {
  await using server = await startHttp2Server({
    handle() {
      throw new Error('a fault')
    },
  })
  await using session = await openClient(server.port)
  const stream = session.request({ ':path': '/' })
  await assert.rejects(once(stream, 'response'))
  assert.equal((server.failures[0] as Error).message, 'a fault')
  await using again = await openClient(server.port)
  assert.ok(!again.closed)
})

test('a sink that throws when its client goes keeps nobody else from hearing of it', async () => {
  let gone = 0
  await using server = await startHttp2Server({
    handle(exchange) {
      const onClientGone = (): void => {
        gone++
        throw new Error('a fault')
      }
      exchange.listen(sink({ onClientGone }))
    },
  })
  await using session = await openClient(server.port)
  for (let i = 0; i < 3; i++) session.request({ ':path': '/' }).on('error', () => {})
  await until(() => server.open === 3)
  session.destroy()
  await until(() => gone === 3 && server.connections.size === 0)
  assert.equal((server.failures[0] as Error).message, 'a fault')
})

test('heads of answers larger than a frame are continued', async () => {
  const large = 'v'.repeat(30_000)
  await using server = await startHttp2Server({
    handle: (exchange) => answerText(exchange, 200, 'x', ['X-Large', large, 'X-Other', 'o']),
  })
  await using session = await openClient(server.port, { maxHeaderListSize: 100_000 })
  const answer = await ask(session, { ':path': '/' })
  assert.deepEqual([answer.fields['x-large'], answer.fields['x-other']], [large, 'o'])
})

test('a client without table memory, and one that changes it, are answered rightly', async () => {
  await using server = await startHttp2Server({
    handle: (exchange) => answerText(exchange, 200, 'x', ['Server', 'own', 'X-A', exchange.path]),
  })
  await using session = await openClient(server.port, { headerTableSize: 0 })
  for (let i = 0; i < 4; i++) assert.equal((await ask(session, { ':path': '/same' })).fields['x-a'], '/same')
  session.settings({ headerTableSize: 4_096 })
  await once(session, 'localSettings')
  for (let i = 0; i < 4; i++) assert.equal((await ask(session, { ':path': '/same' })).fields.server, 'own')
})
