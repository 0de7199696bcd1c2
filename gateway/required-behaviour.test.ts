// The table of required proxy behaviour, one row per test, through real sockets. Rows about the answer's side use a host that speaks raw bytes.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { ask, connectTls, sendRaw } from './testing/client.ts'
import { type FakeHost, startFakeHost, startRawHost } from './testing/fake-host.ts'
import { startTestGateway, type TestGateway } from './testing/test-gateway.ts'

const host = 'Host: app.test\r\n'

interface RequestRow {
  title: string
  request: string
  status: number
}

const requestRows: RequestRow[] = [
  { title: 'a plain request passes', request: `GET / HTTP/1.1\r\n${host}\r\n`, status: 200 },
  {
    title: 'a port and a final dot in Host are no difference',
    request: 'GET / HTTP/1.1\r\nHost: App.Test.:8443\r\n\r\n',
    status: 200,
  },
  {
    title: 'an absolute URL that agrees with Host passes',
    request: `GET https://app.test/x HTTP/1.1\r\n${host}\r\n`,
    status: 200,
  },
  { title: 'two Host fields', request: `GET / HTTP/1.1\r\n${host}Host: app.test\r\n\r\n`, status: 400 },
  { title: 'two different Host fields', request: `GET / HTTP/1.1\r\n${host}Host: other.test\r\n\r\n`, status: 400 },
  { title: 'no Host field', request: 'GET / HTTP/1.1\r\nX: y\r\n\r\n', status: 400 },
  { title: 'HTTP/1.0 without Host', request: 'GET / HTTP/1.0\r\n\r\n', status: 400 },
  { title: 'an empty Host', request: 'GET / HTTP/1.1\r\nHost:\r\n\r\n', status: 400 },
  { title: 'user information in Host', request: 'GET / HTTP/1.1\r\nHost: localhost@app.test\r\n\r\n', status: 400 },
  { title: 'a slash in Host', request: 'GET / HTTP/1.1\r\nHost: app.test/x\r\n\r\n', status: 400 },
  { title: 'a space in Host', request: 'GET / HTTP/1.1\r\nHost: app test\r\n\r\n', status: 400 },
  { title: 'a list in Host', request: 'GET / HTTP/1.1\r\nHost: app.test, b\r\n\r\n', status: 400 },
  { title: 'a port that is none in Host', request: 'GET / HTTP/1.1\r\nHost: app.test:70000\r\n\r\n', status: 400 },
  { title: 'an address in Host', request: 'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n', status: 421 },
  {
    title: 'a Host of another site than the connection',
    request: 'GET / HTTP/1.1\r\nHost: other.test\r\n\r\n',
    status: 421,
  },
  {
    title: 'an absolute URL against another Host',
    request: `GET http://other.test/ HTTP/1.1\r\n${host}\r\n`,
    status: 400,
  },
  {
    title: 'an absolute URL with user information',
    request: `GET http://a@app.test/ HTTP/1.1\r\n${host}\r\n`,
    status: 400,
  },
  { title: 'an absolute URL of another scheme', request: `GET ftp://app.test/ HTTP/1.1\r\n${host}\r\n`, status: 400 },
  { title: 'TRACE', request: `TRACE / HTTP/1.1\r\n${host}\r\n`, status: 405 },
  { title: 'CONNECT', request: `CONNECT app.test:443 HTTP/1.1\r\n${host}\r\n`, status: 405 },
  { title: 'an unknown method', request: `BREW / HTTP/1.1\r\n${host}\r\n`, status: 400 },
  { title: 'a request line without version', request: `GET /\r\n${host}\r\n`, status: 400 },
  { title: 'a request line without version ended by a bare LF', request: 'GET /\n\n', status: 400 },
  { title: 'a future version', request: `GET / HTTP/2.0\r\n${host}\r\n`, status: 400 },
  {
    title: 'Content-Length with Transfer-Encoding',
    request: `POST / HTTP/1.1\r\n${host}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    status: 400,
  },
  {
    title: 'two Content-Length',
    request: `POST / HTTP/1.1\r\n${host}Content-Length: 1\r\nContent-Length: 1\r\n\r\nx`,
    status: 400,
  },
  { title: 'a Content-Length list', request: `POST / HTTP/1.1\r\n${host}Content-Length: 1, 1\r\n\r\nx`, status: 400 },
  { title: 'a signed Content-Length', request: `POST / HTTP/1.1\r\n${host}Content-Length: +1\r\n\r\nx`, status: 400 },
  {
    title: 'Transfer-Encoding: xchunked',
    request: `POST / HTTP/1.1\r\n${host}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`,
    status: 400,
  },
  {
    title: 'Transfer-Encoding: gzip, chunked',
    request: `POST / HTTP/1.1\r\n${host}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
    status: 400,
  },
  {
    title: 'Transfer-Encoding twice',
    request: `POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    status: 400,
  },
  {
    title: 'HTTP/1.0 with Transfer-Encoding',
    request: `POST / HTTP/1.0\r\n${host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    status: 400,
  },
  { title: 'a bare CR in a field', request: `GET / HTTP/1.1\r\n${host}X: a\rb\r\n\r\n`, status: 400 },
  { title: 'a NUL in a field', request: `GET / HTTP/1.1\r\n${host}X: a\0b\r\n\r\n`, status: 400 },
  { title: 'a control byte in a field', request: `GET / HTTP/1.1\r\n${host}X: a\x01b\r\n\r\n`, status: 400 },
  { title: 'a folded field', request: `GET / HTTP/1.1\r\n${host}X: a\r\n b\r\n\r\n`, status: 400 },
  { title: 'a space before the colon', request: `GET / HTTP/1.1\r\n${host}X : a\r\n\r\n`, status: 400 },
  {
    title: 'a path with a parent segment',
    request: `GET /../${'cd'.repeat(32)}/ HTTP/1.1\r\n${host}\r\n`,
    status: 400,
  },
  {
    title: 'a path with a parent segment, percent-encoded',
    request: `GET /a/%2e%2e/%2E./x HTTP/1.1\r\n${host}\r\n`,
    status: 400,
  },
  { title: 'a target * for GET', request: `GET * HTTP/1.1\r\n${host}\r\n`, status: 400 },
  { title: 'a space in the target', request: `GET /a b HTTP/1.1\r\n${host}\r\n`, status: 400 },
  { title: 'more than 100 fields', request: `GET / HTTP/1.1\r\n${host}${'A: b\r\n'.repeat(100)}\r\n`, status: 431 },
  { title: '3,000 fields', request: `GET / HTTP/1.1\r\n${host}${'A: b\r\n'.repeat(3_000)}\r\n`, status: 431 },
  {
    title: 'more than 16 KiB of fields',
    request: `GET / HTTP/1.1\r\n${host}A: ${'b'.repeat(16_400)}\r\n\r\n`,
    status: 431,
  },
  { title: '40 KiB of fields', request: `GET / HTTP/1.1\r\n${host}A: ${'b'.repeat(40_000)}\r\n\r\n`, status: 431 },
  {
    title: 'an upgrade with a body',
    request: `GET / HTTP/1.1\r\n${host}Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n\r\nabc`,
    status: 400,
  },
  { title: 'a target of more than 8 KiB', request: `GET /${'a'.repeat(8_200)} HTTP/1.1\r\n${host}\r\n`, status: 414 },
]

interface AnswerRow {
  title: string
  answer: string
  status: number
}

const answerRows: AnswerRow[] = [
  { title: 'a plain answer passes', answer: 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok', status: 200 },
  { title: 'an answer that ends with its connection passes', answer: 'HTTP/1.0 200 OK\r\n\r\nok', status: 200 },
  {
    title: 'two Content-Length',
    answer: 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok',
    status: 502,
  },
  {
    title: 'two equal Content-Length',
    answer: 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok',
    status: 502,
  },
  {
    title: 'Content-Length with Transfer-Encoding',
    answer: 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    status: 502,
  },
  {
    title: 'an unknown transfer coding',
    answer: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
    status: 502,
  },
  { title: 'a bare CR in a field', answer: 'HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 2\r\n\r\nok', status: 502 },
  { title: 'a NUL in a field', answer: 'HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\nok', status: 502 },
  { title: 'something that is not HTTP', answer: 'hello, I am a mail server\r\n', status: 502 },
  { title: 'a TLS record', answer: '\x15\x03\x01\x00\x02\x02\x50', status: 502 },
  {
    title: 'a switch of protocols that nobody asked for',
    answer: 'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n',
    status: 502,
  },
  { title: 'a status out of range', answer: 'HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n', status: 502 },
  { title: 'a head without end', answer: `HTTP/1.1 200 OK\r\nX: ${'a'.repeat(40_000)}\r\n\r\n`, status: 502 },
  {
    title: 'more than 200 fields',
    answer: `HTTP/1.1 200 OK\r\n${'A: b\r\n'.repeat(201)}Content-Length: 0\r\n\r\n`,
    status: 502,
  },
  { title: 'a connection closed without an answer', answer: '', status: 502 },
]

describe('what a request must be', () => {
  let gateway: TestGateway
  let origin: FakeHost
  before(async () => {
    origin = await startFakeHost((request, response) => {
      request.resume()
      response.end('ok')
    })
    gateway = await startTestGateway()
    gateway.hosts.add('one', origin.origin)
    gateway.names.set('other.test', { kind: 'program', itemHash: 'cd'.repeat(32) })
  })
  after(async () => {
    await gateway[Symbol.asyncDispose]()
    await origin[Symbol.asyncDispose]()
  })
  for (const { title, request, status } of requestRows) {
    test(`${title}: ${status}`, async () => {
      const before = origin.seen.length
      const answer = await sendRaw(gateway.httpsPort, 'app.test', request, 150)
      assert.match(answer, new RegExp(`^HTTP/1.1 ${status} `))
      assert.equal(answer.match(/^HTTP\/1\.1 /gm)?.length, 1, 'exactly one answer')
      if (status !== 200) assert.equal(origin.seen.length, before, 'the host saw nothing')
    })
  }

  test('two names of one target may share a connection', async () => {
    gateway.names.set('same.test', { kind: 'program', itemHash: 'ab'.repeat(32) })
    const answer = await sendRaw(gateway.httpsPort, 'app.test', 'GET / HTTP/1.1\r\nHost: same.test\r\n\r\n', 150)
    assert.match(answer, /^HTTP\/1.1 200 /)
  })
})

describe('what an answer must be', () => {
  let gateway: TestGateway
  before(async () => {
    gateway = await startTestGateway({ balance: { hostsMs: 1, ejectAfter: 100 } })
  })
  after(() => gateway[Symbol.asyncDispose]())
  for (const { title, answer: bytes, status } of answerRows) {
    test(`${title}: ${status}`, async () => {
      await using origin = await startRawHost((socket) => void socket.end(Buffer.from(bytes, 'latin1')))
      gateway.hosts.list = []
      gateway.hosts.add('one', origin.origin)
      await new Promise((resolve) => setTimeout(resolve, 2))
      const answer = await ask({ port: gateway.httpsPort, host: 'app.test' })
      assert.equal(answer.status, status)
      if (status === 200) assert.equal(answer.body, 'ok')
      else assert.match(answer.body, /"code": "GATEWAY_(BAD_UPSTREAM_ANSWER|HOST_UNREACHABLE)"/)
    })
  }
})

test('no field of the connection, and none that Connection names, reaches the host', async () => {
  await using origin = await startFakeHost((_, response) => response.end('ok'))
  await using gateway = await startTestGateway()
  gateway.hosts.add('one', origin.origin)
  const fields = [
    'Connection: keep-alive, X-Secret, Upgrade',
    'X-Secret: 1',
    'Keep-Alive: timeout=5',
    'Proxy-Connection: keep-alive',
  ]
  fields.push(
    'TE: trailers',
    'Upgrade: h2c',
    'HTTP2-Settings: AAMAAABkAAQAAP__',
    'Proxy-Authorization: Basic eA==',
    'X-Open: 1',
  )
  const answer = await sendRaw(
    gateway.httpsPort,
    'app.test',
    `GET / HTTP/1.1\r\n${host}${fields.join('\r\n')}\r\n\r\n`,
    150,
  )
  assert.match(answer, /^HTTP\/1.1 200 /)
  const names = origin.seen[0]?.rawHeaders.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase())
  assert.deepEqual(names, ['host', 'x-open', 'via', 'x-request-id', 'cdn-loop'])
})

test('a client cannot take Host or CDN-Loop away by naming them in Connection', async () => {
  await using origin = await startFakeHost((_, response) => response.end('ok'))
  await using gateway = await startTestGateway()
  gateway.hosts.add('one', origin.origin)
  const fields = 'Connection: host, cdn-loop, content-length\r\nCDN-Loop: elsewhere\r\nContent-Length: 3\r\n'
  await sendRaw(gateway.httpsPort, 'app.test', `POST / HTTP/1.1\r\n${host}${fields}\r\nabc`, 150)
  const seen = origin.seen[0]?.rawHeaders ?? []
  assert.deepEqual(seen.slice(0, 2), ['Host', 'app.test'])
  assert.ok(seen.includes('elsewhere, zone.test'))
  assert.ok(seen.includes('Content-Length'))
})

test('no field of the connection reaches the client', async () => {
  const fields =
    'Connection: close, X-Inner\r\nX-Inner: 1\r\nKeep-Alive: timeout=99\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\nAlt-Svc: h3=":1"\r\nX-Open: 1\r\n'
  await using origin = await startRawHost(
    (socket) => void socket.end(`HTTP/1.1 200 OK\r\n${fields}Content-Length: 2\r\n\r\nok`),
  )
  await using gateway = await startTestGateway()
  gateway.hosts.add('one', origin.origin)
  const { rawHeaders } = await ask({ port: gateway.httpsPort, host: 'app.test', headers: { Connection: 'keep-alive' } })
  const names = rawHeaders.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase())
  assert.deepEqual(names.sort(), ['content-length', 'date', 'x-open'])
})

test('repeated fields stay repeated, both ways', async () => {
  await using origin = await startFakeHost((_, response) => {
    response.writeHead(200, ['Set-Cookie', 'a=1', 'Set-Cookie', 'b=2', 'X-Twice', '1', 'X-Twice', '2']).end()
  })
  await using gateway = await startTestGateway()
  gateway.hosts.add('one', origin.origin)
  const answer = await ask({ port: gateway.httpsPort, host: 'app.test', headers: ['X-Many', '1', 'X-Many', '2'] })
  assert.deepEqual(answer.headers['set-cookie'], ['a=1', 'b=2'])
  assert.equal(answer.rawHeaders.filter((name) => name === 'X-Twice').length, 2)
  assert.equal(origin.seen[0]?.rawHeaders.filter((name) => name === 'X-Many').length, 2)
})

test('103 is relayed and the final answer stays intact', async () => {
  await using origin = await startFakeHost((_, response) => {
    response.writeEarlyHints({ link: '</style.css>; rel=preload; as=style' })
    response.end('done')
  })
  await using gateway = await startTestGateway()
  gateway.hosts.add('one', origin.origin)
  const answer = await sendRaw(gateway.httpsPort, 'app.test', `GET / HTTP/1.1\r\n${host}Connection: close\r\n\r\n`)
  assert.match(
    answer,
    /^HTTP\/1\.1 103 Early Hints\r\nLink: <\/style\.css>; rel=preload; as=style\r\n\r\nHTTP\/1\.1 200 OK\r\n/,
  )
  assert.match(answer, /done/)
})

test('trailers are relayed both ways', async () => {
  let received: NodeJS.Dict<string> = {}
  await using origin = await startFakeHost((request, response) => {
    request.resume()
    request.on('end', () => {
      received = request.trailers
      response.writeHead(200, { Trailer: 'X-Sum' })
      response.write('body')
      response.addTrailers({ 'X-Sum': '42' })
      response.end()
    })
  })
  await using gateway = await startTestGateway()
  gateway.hosts.add('one', origin.origin)
  const request = `POST / HTTP/1.1\r\n${host}Connection: close\r\nTransfer-Encoding: chunked\r\nTrailer: X-Up\r\n\r\n3\r\nabc\r\n0\r\nX-Up: 7\r\nHost: evil\r\n\r\n`
  const answer = await sendRaw(gateway.httpsPort, 'app.test', request)
  assert.deepEqual({ ...received }, { 'x-up': '7' })
  assert.match(answer, /X-Sum: 42\r\n\r\n$/)
})

test('a POST that expects 100-continue succeeds', async () => {
  await using origin = await startFakeHost((request, response) => void request.pipe(response))
  await using gateway = await startTestGateway()
  gateway.hosts.add('one', origin.origin)
  const answer = await ask({
    port: gateway.httpsPort,
    host: 'app.test',
    method: 'POST',
    headers: { Expect: '100-continue', 'Content-Length': '4' },
    body: 'body',
  })
  assert.equal(answer.status, 200)
  assert.equal(answer.body, 'body')
})

for (const [kind, head] of [
  ['chunked', 'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n'],
  ['of known length', 'Content-Length: 100000\r\n\r\nhello'],
] as const) {
  test(`an answer (${kind}) that breaks off is visibly cut for the client`, async () => {
    await using origin = await startRawHost((socket) => {
      socket.write(`HTTP/1.1 200 OK\r\n${head}`)
      setTimeout(() => socket.destroy(), 50)
    })
    await using gateway = await startTestGateway()
    gateway.hosts.add('one', origin.origin)
    await assert.rejects(ask({ port: gateway.httpsPort, host: 'app.test' }), /aborted|socket hang up|ECONNRESET/)
    assert.match(await gateway.metrics.text(), /gateway_requests_total\{class="cut",fault="none"\} 1/)
  })
}

test('a small answer that breaks off is not begun: the request goes to another host, or gets a 502', async () => {
  await using dying = await startRawHost((socket) => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello')
    setTimeout(() => socket.destroy(), 20)
  })
  await using whole = await startRawHost(
    (socket) => void socket.end('HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nwhole'),
  )
  await using alone = await startTestGateway()
  alone.hosts.add('dying', dying.origin)
  assert.equal((await ask({ port: alone.httpsPort, host: 'app.test' })).status, 502)
  await using gateway = await startTestGateway()
  gateway.hosts.add('dying', dying.origin)
  gateway.hosts.add('whole', whole.origin)
  for (let i = 0; i < 5; i++) {
    const answer = await ask({ port: gateway.httpsPort, host: 'app.test' })
    assert.deepEqual([answer.status, answer.body], [200, 'whole'])
  }
})

test('bytes after the end of an answer never become the next answer', async () => {
  const evil = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil'
  await using origin = await startRawHost(
    (socket) => void socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood${evil}`),
  )
  await using gateway = await startTestGateway()
  gateway.hosts.add('one', origin.origin)
  for (let turn = 0; turn < 3; turn++)
    assert.equal((await ask({ port: gateway.httpsPort, host: 'app.test' })).body, 'good')
})

test('a request head that drips in is cut off by a deadline that single bytes do not extend', async () => {
  await using gateway = await startTestGateway({ timeouts: { headMs: 400 } })
  const socket = await connectTls(gateway.httpsPort, 'app.test')
  const startedMs = performance.now()
  const drip = setInterval(() => socket.write('a'), 50)
  let text = ''
  socket.on('data', (part) => {
    text += part
  })
  socket.on('error', () => {})
  socket.write('GET /')
  await new Promise((resolve) => socket.once('close', resolve))
  clearInterval(drip)
  assert.ok(performance.now() - startedMs < 8_000)
  assert.match(text, /^HTTP\/1.1 408 /)
})

test('a request body that stops is cut off', async () => {
  await using origin = await startFakeHost((request) => void request.resume())
  await using gateway = await startTestGateway({ timeouts: { bodyIdleMs: 200 } })
  gateway.hosts.add('one', origin.origin)
  const startedMs = performance.now()
  await sendRaw(gateway.httpsPort, 'app.test', `POST / HTTP/1.1\r\n${host}Content-Length: 10\r\n\r\nabc`)
  assert.ok(performance.now() - startedMs < 8_000)
})
