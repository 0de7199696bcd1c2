import assert from 'node:assert/strict'
import { METHODS } from 'node:http'
import { test } from 'node:test'
import fc from 'fast-check'
import { refusalError } from '../listen/http1/http1-connection.ts'
import { blockFieldsMax } from './field-block.ts'
import { needMore, Refusal } from './scan-fields.ts'
import { type HeadLimits, ScannedRequest, scanRequest } from './scan-request.ts'

const limits: HeadLimits = { headBytesMax: 16_384, headFieldsMax: 100, uriBytesMax: 8_192 }
const host = 'Host: app.test\r\n'

function scan(text: string, changed: Partial<HeadLimits> = {}): { next: number; head: ScannedRequest } {
  const head = new ScannedRequest()
  const bytes = Buffer.from(text, 'latin1')
  return { next: scanRequest(bytes, 0, bytes.length, head, { ...limits, ...changed }), head }
}

function pathOf({ fields, pathStart, pathEnd }: ScannedRequest): string {
  return fields.bytes.toString('latin1', pathStart, pathEnd)
}

test('a head is read into its parts, and the offset of its body returned', () => {
  const text = `POST /a?b=c HTTP/1.1\r\nHOST:  App.Test.:8443 \r\nContent-length: 5\r\nX-A:\r\n\r\nhello`
  const { next, head } = scan(text)
  assert.equal(next, text.length - 5)
  assert.deepEqual(
    [head.method, pathOf(head), head.host, head.bodyBytes, head.version, head.keepAlive, head.upgrade, head.nominates],
    ['POST', '/a?b=c', 'app.test', 5, '1.1', true, undefined, false],
  )
  assert.deepEqual(head.fields.pairs(), ['HOST', 'App.Test.:8443', 'Content-length', '5', 'X-A', ''])
})

test('a head is read where it stands, whatever lies before and behind it', () => {
  const text = `GET /x HTTP/1.1\r\n${host}A: b\r\n\r\n`
  const around = Buffer.from(`\r\n\0GET${text}rest\r\n\r\n`, 'latin1')
  const head = new ScannedRequest()
  assert.equal(scanRequest(around, 6, around.length, head, limits), 6 + text.length)
  assert.equal(pathOf(head), '/x')
  assert.deepEqual(head.fields.pairs(), ['Host', 'app.test', 'A', 'b'])
})

test('every method that Node knows is known, CONNECT, TRACE and others are not allowed, and the rest is refused', () => {
  for (const method of METHODS) {
    const { next, head } = scan(`${method} / HTTP/1.1\r\n${host}\r\n`)
    if (method === 'CONNECT' || method === 'TRACE') assert.equal(next, Refusal.methodNotAllowed)
    else assert.deepEqual([next > 0, head.method], [true, method])
  }
  assert.equal(scan(`TRACK / HTTP/1.1\r\n${host}\r\n`).next, Refusal.methodNotAllowed)
  for (const bad of ['get', 'GETX', 'G', '', 'GE T', 'GET\t', 'A'.repeat(100)])
    assert.equal(scan(`${bad} / HTTP/1.1\r\n${host}\r\n`).next, Refusal.badMethod, bad)
})

const refusals: [string, string, number][] = [
  ['no version', 'GET /\r\n\r\n', Refusal.badVersion],
  ['another version', `GET / HTTP/1.2\r\n${host}\r\n`, Refusal.badVersion],
  ['a lone LF behind the request line', `GET / HTTP/1.1\n${host}\r\n`, Refusal.bareLineEnd],
  ['a lone CR behind the request line', `GET / HTTP/1.1\r${host}\r\n`, Refusal.bareLineEnd],
  ['a space in the target', `GET /a b HTTP/1.1\r\n${host}\r\n`, Refusal.badVersion],
  ['a fragment', `GET /#a HTTP/1.1\r\n${host}\r\n`, Refusal.badTarget],
  ['a byte above 127 in the target', `GET /\xe9 HTTP/1.1\r\n${host}\r\n`, Refusal.badTarget],
  ['no target', `GET  HTTP/1.1\r\n${host}\r\n`, Refusal.badTarget],
  ['a relative target', `GET a HTTP/1.1\r\n${host}\r\n`, Refusal.badTarget],
  ['* for GET', `GET * HTTP/1.1\r\n${host}\r\n`, Refusal.badTarget],
  ['a URL of another host', `GET http://b.test/ HTTP/1.1\r\n${host}\r\n`, Refusal.otherAuthority],
  ['a parent segment', `GET /a/../../b HTTP/1.1\r\n${host}\r\n`, Refusal.parentSegment],
  ['a parent segment in a URL', `GET http://app.test/%2e. HTTP/1.1\r\n${host}\r\n`, Refusal.parentSegment],
  ['no Host', 'GET / HTTP/1.1\r\nA: b\r\n\r\n', Refusal.badHostCount],
  ['two Hosts', `GET / HTTP/1.1\r\n${host}${host}\r\n`, Refusal.badHostCount],
  ['a bad Host', 'GET / HTTP/1.1\r\nHost: a b\r\n\r\n', Refusal.badHost],
  ['an address as Host', 'GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n', Refusal.hostIsAddress],
  [
    'length and coding',
    `POST / HTTP/1.1\r\n${host}Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n`,
    Refusal.lengthAndCoding,
  ],
  ['two lengths', `POST / HTTP/1.1\r\n${host}Content-Length: 1\r\nContent-Length: 1\r\n\r\n`, Refusal.repeatedLength],
  ['a length with a sign', `POST / HTTP/1.1\r\n${host}Content-Length: +1\r\n\r\n`, Refusal.badLength],
  [
    'two codings',
    `POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n`,
    Refusal.badCoding,
  ],
  ['another coding', `POST / HTTP/1.1\r\n${host}Transfer-Encoding: gzip\r\n\r\n`, Refusal.badCoding],
  ['a coding in 1.0', `POST / HTTP/1.0\r\n${host}Transfer-Encoding: chunked\r\n\r\n`, Refusal.codingIn10],
  ['a Connection that is no list', `GET / HTTP/1.1\r\n${host}Connection: "close"\r\n\r\n`, Refusal.badConnection],
  ['another expectation', `POST / HTTP/1.1\r\n${host}Expect: x\r\n\r\n`, Refusal.unsupportedExpect],
  [
    'an upgrade with a body',
    `GET / HTTP/1.1\r\n${host}Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\n`,
    Refusal.bodyOnUpgrade,
  ],
]
for (const [what, text, refusal] of refusals) {
  test(`refused: ${what}`, () => {
    assert.equal(scan(text).next, refusal)
    // Wherever it is cut, it is refused for this or not decided yet.
    for (let end = 0; end < text.length; end++) {
      const { next } = scan(text.slice(0, end))
      assert.ok(next === needMore || next === refusal, `cut at ${end}: ${next}`)
    }
  })
}

test('how a body is framed', () => {
  const bodyOf = (fields: string, line = 'POST / HTTP/1.1'): number =>
    scan(`${line}\r\n${host}${fields}\r\n`).head.bodyBytes
  assert.equal(bodyOf(''), 0)
  assert.equal(bodyOf('Content-Length: 0012\r\n'), 12)
  assert.equal(bodyOf('Content-Length: 999999999999999\r\n'), 999_999_999_999_999)
  assert.equal(bodyOf('Transfer-Encoding: CHUNKED\r\n'), -1)
})

test('whether a connection goes on', () => {
  const keeps = (fields: string, version = '1.1'): boolean =>
    scan(`GET / HTTP/${version}\r\n${host}${fields}\r\n`).head.keepAlive
  assert.equal(keeps(''), true)
  assert.equal(keeps('Connection: close\r\n'), false)
  assert.equal(keeps('Connection: a\r\nConnection: b, CLOSE\r\n'), false)
  assert.equal(keeps('', '1.0'), false)
  assert.equal(keeps('Connection: Keep-Alive\r\n', '1.0'), true)
  assert.equal(keeps('Connection: keep-alive, close\r\n', '1.0'), false)
})

test('what asks for a WebSocket: GET of 1.1 with Upgrade that Connection names, and nothing else', () => {
  const asks = (line: string, fields: string): boolean =>
    scan(`${line}\r\n${host}${fields}\r\n`).head.upgrade === 'websocket'
  assert.equal(asks('GET / HTTP/1.1', 'Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n'), true)
  assert.equal(asks('GET / HTTP/1.1', 'Upgrade: websocket\r\n'), false)
  assert.equal(asks('GET / HTTP/1.1', 'Connection: Upgrade\r\n'), false)
  assert.equal(asks('GET / HTTP/1.1', 'Connection: Upgrade\r\nUpgrade: h2c\r\n'), false)
  assert.equal(asks('GET / HTTP/1.0', 'Connection: Upgrade\r\nUpgrade: websocket\r\n'), false)
  assert.equal(asks('POST / HTTP/1.1', 'Connection: Upgrade\r\nUpgrade: websocket\r\n'), false)
})

test('a client waits for 100 only where it sends a body, and speaks 1.1', () => {
  const waits = (line: string, fields: string): boolean => scan(`${line}\r\n${host}${fields}\r\n`).head.expectsContinue
  assert.equal(waits('POST / HTTP/1.1', 'Expect: 100-Continue\r\nContent-Length: 1\r\n'), true)
  assert.equal(waits('POST / HTTP/1.1', 'Expect: 100-continue\r\n'), false)
  assert.equal(waits('POST / HTTP/1.0', 'Expect: 100-continue\r\nContent-Length: 1\r\n'), false)
})

test('a URL as target is read as its path; without a path it is "/"', () => {
  const path = (target: string): string => pathOf(scan(`GET ${target} HTTP/1.1\r\n${host}A: b\r\n\r\n`).head)
  assert.equal(path('http://app.test/a?b'), '/a?b')
  assert.equal(path('HTTPS://App.test:443/a'), '/a')
  assert.equal(path('http://app.test'), '/')
  assert.equal(path('http://app.test?b'), '/?b')
  const { head } = scan(`GET http://app.test HTTP/1.1\r\n${host}A: b\r\n\r\n`)
  assert.deepEqual(head.fields.pairs(), ['Host', 'app.test', 'A', 'b'])
})

test('limits hold to the byte, and a head that is too long is refused before its end has come', () => {
  const fields = (bytes: number): string => `${host}A: ${'b'.repeat(bytes - host.length - 5)}\r\n`
  const line = 'GET / HTTP/1.1\r\n'
  assert.ok(scan(`${line}${fields(200)}\r\n`, { headBytesMax: 200 }).next > 0)
  assert.equal(scan(`${line}${fields(201)}\r\n`, { headBytesMax: 200 }).next, Refusal.headTooLarge)
  assert.equal(scan(`${line}${fields(300).slice(0, 250)}`, { headBytesMax: 200 }).next, Refusal.headTooLarge)
  assert.ok(scan(`GET /${'a'.repeat(9)} HTTP/1.1\r\n${host}\r\n`, { uriBytesMax: 10 }).next > 0)
  assert.equal(scan(`GET /${'a'.repeat(10)} HTTP/1.1\r\n${host}\r\n`, { uriBytesMax: 10 }).next, Refusal.targetTooLong)
  assert.equal(scan(`GET /${'a'.repeat(20)}`, { uriBytesMax: 10 }).next, Refusal.targetTooLong)
  assert.ok(scan(`${line}${host}${'A: b\r\n'.repeat(9)}\r\n`, { headFieldsMax: 10 }).next > 0)
  assert.equal(scan(`${line}${host}${'A: b\r\n'.repeat(10)}\r\n`, { headFieldsMax: 10 }).next, Refusal.tooManyFields)
  const most = scan(`${line}${host}${'A: b\r\n'.repeat(blockFieldsMax)}\r\n`, { headFieldsMax: 1_000 })
  assert.equal(most.next, Refusal.tooManyFields)
})

test('a kept head outlives the buffer it was read from', () => {
  const text = `GET /a?b HTTP/1.1\r\n${host}A: b\r\n\r\n`
  const bytes = Buffer.from(`before${text}`)
  const head = new ScannedRequest()
  const next = scanRequest(bytes, 6, bytes.length, head, limits)
  head.keep(bytes, 6, next)
  bytes.fill(0xdb)
  assert.equal(pathOf(head), '/a?b')
  assert.deepEqual(head.fields.pairs(), ['Host', 'app.test', 'A', 'b'])
})

test('no bytes make the scanner throw, and every refusal has an error of its own for the client', () => {
  const line = fc.constantFrom('GET / HTTP/1.1\r\n', 'POST http://app.test/ HTTP/1.0\r\n', 'OPTIONS * HTTP/1.1\r\n', '')
  const field = fc
    .tuple(fc.constantFrom('Host', 'Content-Length', 'Transfer-Encoding', 'Connection', 'X'), fc.string())
    .map(([name, value]) => `${name}: ${value}\r\n`)
  fc.assert(
    fc.property(line, fc.array(field), fc.string(), (start, fields, rest) => {
      const { next, head } = scan(`${start}${fields.join('')}\r\n${rest}`)
      if (next >= 0) return
      const error = refusalError(next, limits.uriBytesMax)
      assert.ok(error.status >= 400 && error.status < 500)
      head.release()
    }),
  )
})
