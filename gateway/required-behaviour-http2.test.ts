// The table of required proxy behaviour over HTTP/2: one row per test, frames by hand. Rows about framing that HTTP/2 does not have are left out.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { ErrorCode } from './http2/error-code.ts'
import { FrameType } from './http2/frame.ts'
import { data, headers, RawClient, request } from './listen/http2/testing/raw-client.ts'
import { type FakeHost, startFakeHost, startRawHost } from './testing/fake-host.ts'
import { startTestGateway, type TestGateway } from './testing/test-gateway.ts'

const to = (authority: string): string[] => request().map((text) => (text === 'app.test' ? authority : text))
const many = (count: number): string[] => Array.from({ length: count }, () => ['a', 'b']).flat()

const requestRows: [title: string, fields: string[], status: number | 'reset'][] = [
  ['a plain request passes', request(), 200],
  ['a port and a final dot in :authority are no difference', to('App.Test.:8443'), 200],
  ['user information in :authority', to('localhost@app.test'), 400],
  ['a slash in :authority', to('app.test/x'), 400],
  // Bytes that no authority may hold make the request malformed (RFC 9113 §8.1.1): its stream is reset.
  ['a space in :authority', to('app test'), 'reset'],
  ['a list in :authority', to('app.test, b'), 'reset'],
  ['an address in :authority', to('127.0.0.1'), 421],
  ['another site than that of the connection', to('other.test'), 421],
  ['no :authority and no Host', [':method', 'GET', ':scheme', 'https', ':path', '/'], 400],
  ['TRACE', request('TRACE'), 405],
  ['CONNECT', [':method', 'CONNECT', ':authority', 'app.test:443'], 405],
  ['a path with a parent segment', request('GET', `/../${'cd'.repeat(32)}/`), 400],
  ['a path with a parent segment, percent-encoded', request('GET', '/a/%2e%2e/%2E./x'), 400],
  ['a target * for GET', request('GET', '*'), 400],
  ['a space in the path', request('GET', '/a b'), 400],
  ['more than 100 fields', request('GET', '/', ...many(101)), 431],
  ['3,000 fields', request('GET', '/', ...many(3_000)), 431],
  ['more than 16 KiB of fields', request('GET', '/', 'a', 'b'.repeat(16_400)), 431],
  ['40 KiB of fields', request('GET', '/', 'a', 'b'.repeat(40_000)), 431],
  ['a path of more than 8 KiB', request('GET', `/${'a'.repeat(8_200)}`), 414],
  ['a request that has been here before', request('GET', '/', 'cdn-loop', 'zone.test'), 508],
]

describe('what a request must be (HTTP/2)', () => {
  let gateway: TestGateway
  let origin: FakeHost
  before(async () => {
    origin = await startFakeHost((_, response) => void response.end('ok'))
    gateway = await startTestGateway()
    gateway.hosts.add('one', origin.origin)
    gateway.names.set('other.test', { kind: 'program', itemHash: 'cd'.repeat(32) })
  })
  after(async () => {
    await gateway[Symbol.asyncDispose]()
    await origin[Symbol.asyncDispose]()
  })
  for (const [title, fields, status] of requestRows) {
    test(`${title}: ${status}`, async () => {
      const before = origin.seen.length
      await using client = await RawClient.start(gateway.httpsPort)
      client.send(headers(1, fields))
      if (status === 'reset') assert.equal(await client.error(1), ErrorCode.protocol)
      else {
        await client.ended(1)
        assert.equal(client.of(FrameType.headers, 1)[0]?.fields?.[1], String(status))
      }
      if (status !== 200) assert.equal(origin.seen.length, before, 'the host saw nothing')
    })
  }

  test('nothing that tells who the client is reaches the host', async () => {
    const telling = ['x-forwarded-for', 'forwarded', 'x-real-ip', 'cf-connecting-ip', 'x-request-id', 'via'].flatMap(
      (name) => [name, 'x'],
    )
    await using client = await RawClient.start(gateway.httpsPort)
    client.send(headers(1, request('GET', '/', ...telling, 'x-open', '1')))
    await client.ended(1)
    const names = origin.seen.at(-1)?.rawHeaders.filter((_, i) => i % 2 === 0)
    assert.deepEqual(names, ['Host', 'x-open', 'Via', 'X-Request-Id', 'CDN-Loop'])
    assert.ok(!origin.seen.at(-1)?.rawHeaders.includes('x'))
  })

  test('a POST that expects 100-continue succeeds', async () => {
    await using client = await RawClient.start(gateway.httpsPort)
    client.send(headers(1, request('POST', '/', 'expect', '100-continue', 'content-length', '400000'), false))
    await client.until(() => client.of(FrameType.headers, 1).length === 1)
    assert.deepEqual(client.of(FrameType.headers, 1)[0]?.fields, [':status', '100'])
    // The host answers before it has the body; the client need not send it (RFC 9113 §8.1).
    await client.until(() => client.of(FrameType.headers, 1).length === 2)
    assert.equal(client.of(FrameType.headers, 1)[1]?.fields?.[1], '200')
  })
})

const ok = 'HTTP/1.1 200 OK\r\n'
const answerRows: [title: string, answer: string, status: number][] = [
  ['a plain answer passes', `${ok}Content-Length: 2\r\n\r\nok`, 200],
  ['two Content-Length', `${ok}Content-Length: 2\r\nContent-Length: 3\r\n\r\nok`, 502],
  [
    'Content-Length with Transfer-Encoding',
    `${ok}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    502,
  ],
  ['a bare CR in a field', `${ok}X: a\rb\r\nContent-Length: 2\r\n\r\nok`, 502],
  ['a NUL in a field', `${ok}X: a\0b\r\nContent-Length: 2\r\n\r\nok`, 502],
  [
    'a switch of protocols that nobody asked for',
    'HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n',
    502,
  ],
  ['a status out of range', 'HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n', 502],
  ['more than 200 fields', `${ok}${'A: b\r\n'.repeat(201)}Content-Length: 0\r\n\r\n`, 502],
  ['a connection closed without an answer', '', 502],
]

describe('what an answer must be (HTTP/2)', () => {
  for (const [title, bytes, status] of answerRows) {
    test(`${title}: ${status}`, async () => {
      await using origin = await startRawHost((socket) => void socket.end(Buffer.from(bytes, 'latin1')))
      await using gateway = await startTestGateway()
      gateway.hosts.add('one', origin.origin)
      await using client = await RawClient.start(gateway.httpsPort)
      client.send(headers(1, request()))
      await client.ended(1)
      assert.equal(client.of(FrameType.headers, 1)[0]?.fields?.[1], String(status))
    })
  }
})

for (const [kind, head] of [
  ['chunked', 'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n'],
  ['of known length', 'Content-Length: 100000\r\n\r\nhello'],
] as const) {
  test(`an answer (${kind}) that breaks off is visibly cut for the client (HTTP/2)`, async () => {
    await using origin = await startRawHost((socket) => void socket.end(`${ok}${head}`))
    await using gateway = await startTestGateway()
    gateway.hosts.add('one', origin.origin)
    await using client = await RawClient.start(gateway.httpsPort)
    client.send(headers(1, request()))
    assert.equal(await client.error(1), ErrorCode.internal)
  })
}

test('103 is relayed, and trailers both ways (HTTP/2)', async () => {
  let received: NodeJS.Dict<string> = {}
  await using origin = await startFakeHost((asked, response) => {
    asked.resume()
    asked.on('end', () => {
      received = asked.trailers
      response.writeEarlyHints({ link: '</style.css>; rel=preload' })
      response.writeHead(200, { Trailer: 'X-Sum' })
      response.write('body')
      response.addTrailers({ 'X-Sum': '42' })
      response.end()
    })
  })
  await using gateway = await startTestGateway()
  gateway.hosts.add('one', origin.origin)
  await using client = await RawClient.start(gateway.httpsPort)
  client.send(headers(1, request('POST'), false), data(1, 'abc'), headers(1, ['x-up', '7', 'x-forwarded-for', 'evil']))
  await client.ended(1)
  const [hints, head, trailers] = client.of(FrameType.headers, 1).map(({ fields }) => fields)
  assert.deepEqual(hints, [':status', '103', 'link', '</style.css>; rel=preload'])
  assert.equal(head?.[1], '200')
  assert.deepEqual(trailers, ['x-sum', '42'])
  assert.equal(client.body(1).toString(), 'body')
  assert.deepEqual({ ...received }, { 'x-up': '7' })
})
