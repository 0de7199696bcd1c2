import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { blockOf } from '../http1/field-block.ts'
import { poison } from '../http1/message-socket.ts'
import { startHttp2Host } from '../testing/http2-host.ts'
import { until } from '../testing/until.ts'
import { AnswerRecorder, hostRequest, send, testPools } from './testing/host-client.ts'

// Memory is overwritten as soon as it counts as free: whoever still reads it shows.
poison.on = true

test('a request goes out with its public name, its own fields in lower case, and nothing of the connection', async () => {
  await using host = await startHttp2Host((stream) => {
    stream.respond({ ':status': 200 })
    stream.end()
  })
  using pools = testPools()
  const fields = blockOf([
    'Host',
    'other.test',
    'X-One',
    '1',
    'TE',
    'trailers',
    'Connection',
    'X-Two',
    'Cookie',
    'a=1; b=2',
  ])
  const request = hostRequest('/vm/x/path?q=1', { fields, method: 'DELETE' })
  await send(pools, host.origin, request).ended()
  assert.deepEqual(Object.fromEntries(Object.entries(host.seen[0] ?? {})), {
    ':method': 'DELETE',
    ':scheme': 'https',
    ':authority': 'app.test',
    ':path': '/vm/x/path?q=1',
    'x-one': '1',
    cookie: 'a=1; b=2',
    te: 'trailers',
    'x-request-id': '0123456789abcdef',
  })
})

test('a request without a wish for trailers carries no te; one of gRPC always does', async () => {
  await using host = await startHttp2Host((stream) => {
    stream.respond({ ':status': 200 })
    stream.end()
  })
  using pools = testPools()
  await send(pools, host.origin, hostRequest('/')).ended()
  await send(
    pools,
    host.origin,
    hostRequest('/', { fields: blockOf(['Content-Type', 'application/grpc+proto']) }),
  ).ended()
  await send(pools, host.origin, hostRequest('/', { fields: blockOf(['TE', 'gzip;q=0.5, Trailers']) })).ended()
  await send(pools, host.origin, hostRequest('/', { fields: blockOf(['TE', 'gzip']) })).ended()
  assert.deepEqual(
    host.seen.map(({ te }) => te),
    [undefined, 'trailers', 'trailers', undefined],
  )
})

test('a small answer comes in one call, with its length known', async () => {
  await using host = await startHttp2Host((stream) => {
    stream.respond({ ':status': 201, 'x-answer': 'yes' })
    stream.end('hello')
  })
  using pools = testPools()
  // The first one finds out what the host speaks; frames of one turn arrive together from then on.
  await send(pools, host.origin, hostRequest('/')).ended()
  const answer = await send(pools, host.origin, hostRequest('/')).ended()
  assert.equal(answer.status, 201)
  assert.equal(answer.body.toString(), 'hello')
  assert.ok(answer.fields.includes('x-answer'))
  assert.equal(host.connections.h2, 1)
  if (answer.whole) assert.equal(answer.bodyBytes, 5)
})

test('many exchanges share one connection, and each gets its own answer', async () => {
  await using host = await startHttp2Host((stream, headers) => {
    stream.respond({ ':status': 200 })
    setImmediate(() => stream.end(headers[':path']))
  })
  using pools = testPools()
  await send(pools, host.origin, hostRequest('/first')).ended()
  const answers = Array.from({ length: 90 }, (_, i) => send(pools, host.origin, hostRequest(`/${i}`)))
  for (const [i, answer] of answers.entries()) assert.equal((await answer.ended()).body.toString(), `/${i}`)
  assert.equal(host.connections.h2, 1)
})

for (const [method, status] of [
  ['HEAD', 200],
  ['GET', 204],
  ['GET', 304],
] as const)
  test(`an answer ${status} to ${method} has no body, whatever length it tells`, async () => {
    await using host = await startHttp2Host((stream) => {
      const length = status === 204 ? {} : { 'content-length': '1234' }
      stream.respond({ ':status': status, ...length }, { endStream: status !== 200 })
      if (status === 200) stream.end()
    })
    using pools = testPools()
    const answer = await send(pools, host.origin, hostRequest('/', { method })).ended()
    assert.equal(answer.failure, undefined)
    assert.equal(answer.status, status)
    assert.equal(answer.bodyBytes, 0)
    assert.equal(answer.body.length, 0)
    assert.equal(answer.fields.includes('content-length'), status !== 204)
  })

test('early hints pass, a 100 does not', async () => {
  await using host = await startHttp2Host((stream) => {
    stream.additionalHeaders({ ':status': 100 })
    stream.additionalHeaders({ ':status': 103, link: '</a.css>; rel=preload' })
    stream.respond({ ':status': 200 })
    stream.end('body')
  })
  using pools = testPools()
  const answer = await send(pools, host.origin, hostRequest('/')).ended()
  assert.deepEqual(answer.informational, [[103, ['link', '</a.css>; rel=preload']]])
  assert.equal(answer.body.toString(), 'body')
})

test('trailers pass, those that may not be trailers do not', async () => {
  await using host = await startHttp2Host((stream) => {
    stream.respond({ ':status': 200 }, { waitForTrailers: true })
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', 'set-cookie': 'a=1', 'x-sum': 'abc' }))
    stream.end('body')
  })
  using pools = testPools()
  const answer = await send(pools, host.origin, hostRequest('/')).ended()
  assert.deepEqual(answer.trailers, ['grpc-status', '0', 'x-sum', 'abc'])
  assert.equal(answer.whole, false)
})

test('a body of 1 MiB arrives unchanged both ways, with the windows of HTTP/2 in between', async () => {
  await using host = await startHttp2Host((stream) => {
    const parts: Buffer[] = []
    stream.on('data', (part: Buffer) => parts.push(part))
    stream.on('end', () => {
      stream.respond({ ':status': 200 })
      stream.end(Buffer.concat(parts))
    })
  })
  using pools = testPools()
  const body = randomBytes(1_048_576)
  const hash = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')
  const fields = () => blockOf(['Content-Length', String(body.length)])
  const whole = send(
    pools,
    host.origin,
    hostRequest('/', { method: 'POST', fields: fields(), bodyBytes: body.length }),
    {
      body,
    },
  )
  assert.equal(hash((await whole.ended()).body), hash(body))

  const inParts = send(
    pools,
    host.origin,
    hostRequest('/', { method: 'POST', fields: fields(), bodyBytes: body.length }),
    { last: false },
  )
  let waited = 0
  const part = Buffer.alloc(50_000)
  for (let at = 0; at < body.length; at += part.length) {
    const drains = inParts.drains
    const size = body.copy(part, 0, at)
    const free = inParts.stream?.write(part.subarray(0, size))
    // The memory is ours again at once.
    part.fill(0)
    if (free) continue
    waited++
    await inParts.until(() => inParts.drains > drains)
  }
  inParts.stream?.end()
  assert.equal(hash((await inParts.ended()).body), hash(body))
  assert.ok(waited > 0, 'the window never filled')
})

test('trailers of a request reach the host', async () => {
  await using host = await startHttp2Host((stream) => {
    stream.resume()
    stream.on('trailers', (trailers) => {
      stream.respond({ ':status': 200 })
      stream.end(String(trailers['x-sum']))
    })
  })
  using pools = testPools()
  const answer = send(pools, host.origin, hostRequest('/', { method: 'POST', bodyBytes: -1 }), { last: false })
  answer.stream?.write(Buffer.from('body'))
  await answer.until(() => answer.drains > 0)
  answer.stream?.write(Buffer.from('body'))
  answer.stream?.end(blockOf(['X-Sum', 'abc']))
  assert.equal((await answer.ended()).body.toString(), 'abc')
})

test('a reader that stops holds up its own answer only, and gets all of it later', async () => {
  const large = randomBytes(2_000_000)
  await using host = await startHttp2Host(
    (stream, headers) => {
      stream.respond({ ':status': 200 })
      stream.end(headers[':path'] === '/large' ? large : 'small')
    },
    { maxSessionMemory: 100 },
  )
  using pools = testPools()
  await send(pools, host.origin, hostRequest('/')).ended()
  const slow: AnswerRecorder[] = []
  for (let i = 0; i < 8; i++) {
    const sink = new AnswerRecorder()
    sink.paused = true
    const stream = pools.acquire(host.origin, sink)
    assert.ok(stream)
    sink.stream = stream
    stream.send(hostRequest('/large'), undefined, true)
    slow.push(sink)
  }
  for (const sink of slow) await sink.until(() => sink.status === 200)
  for (let i = 0; i < 20; i++)
    assert.equal((await send(pools, host.origin, hostRequest('/')).ended()).body.toString(), 'small')
  for (const sink of slow) {
    assert.equal(sink.over, false)
    assert.ok(sink.body.length < 20_000, `it got ${sink.body.length} bytes though it had said stop`)
    sink.go()
  }
  for (const sink of slow) assert.ok((await sink.ended()).body.equals(large))
  assert.equal(host.connections.h2, 1)
})

test('an answer that stops after each part is complete in the end', async () => {
  const large = randomBytes(600_000)
  await using host = await startHttp2Host((stream) => {
    stream.respond({ ':status': 200, 'content-length': large.length })
    stream.end(large)
  })
  using pools = testPools()
  const sink = send(pools, host.origin, hostRequest('/'))
  sink.paused = true
  const turn = setInterval(() => {
    sink.stream?.resumeAnswer()
  }, 1)
  await sink.ended()
  clearInterval(turn)
  assert.ok(sink.body.equals(large))
})

test('who cancels tells the host, and the connection goes on', async () => {
  let code = -1
  await using host = await startHttp2Host((stream, headers) => {
    if (headers[':path'] === '/slow') {
      stream.respond({ ':status': 200 })
      stream.write('begin')
      stream.on('close', () => {
        code = stream.rstCode
      })
    } else {
      stream.respond({ ':status': 200 })
      stream.end('ok')
    }
  })
  using pools = testPools()
  const slow = send(pools, host.origin, hostRequest('/slow'))
  await slow.until(() => slow.body.length > 0)
  slow.stream?.cancel()
  await until(() => code === 8)
  assert.equal((await send(pools, host.origin, hostRequest('/')).ended()).body.toString(), 'ok')
  assert.equal(slow.over, false)
  assert.equal(host.connections.h2, 1)
})

test('a host that answers before the request is through need not read the rest', async () => {
  await using host = await startHttp2Host((stream) => {
    stream.respond({ ':status': 413 }, { endStream: true })
  })
  using pools = testPools()
  const answer = send(pools, host.origin, hostRequest('/', { method: 'POST', bodyBytes: -1 }), { last: false })
  await answer.ended()
  assert.equal(answer.status, 413)
  answer.stream?.write(Buffer.alloc(100))
  answer.stream?.end()
  assert.equal((await send(pools, host.origin, hostRequest('/')).ended()).status, 413)
})
