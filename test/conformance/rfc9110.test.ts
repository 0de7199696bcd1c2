// HTTP semantics, as far as a gateway and the pages of its own are concerned, over HTTP/1.1.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { connectTls } from '../../gateway/testing/client.ts'
import { until } from '../../gateway/testing/until.ts'
import { valuesOf } from './rig.ts'
import { type Row, testRows } from './rows.ts'

const host = 'Host: app.test\r\n'
const ok = 'HTTP/1.1 200 OK\r\n'
const get = `GET / HTTP/1.1\r\n${host}`
const refused: Pick<Row, 'statuses' | 'goesOn' | 'hostRequests'> = { statuses: [400], goesOn: false, hostRequests: 0 }
const answering = (fields: string, body = 'ok'): string => `${ok}${fields}Content-Length: ${body.length}\r\n\r\n${body}`

const fields: Row[] = [
  {
    section: '§5.1',
    rule: 'fields that nobody knows go on, both ways',
    send: `${get}X-New-Thing: a\r\n\r\n`,
    host: answering('X-Other-Thing: b\r\n'),
    request: { 'X-New-Thing': 'a' },
    answer: { 'X-Other-Thing': 'b' },
  },
  {
    section: '§5.1',
    rule: 'names of fields have no case',
    send: 'GET / HTTP/1.1\r\nhOST: app.test\r\nCONTENT-length: 5\r\n\r\nhello',
    requestBody: 'hello',
    goesOn: true,
  },
  {
    section: '§5.3',
    rule: 'fields of one name stay apart and in their order, on the way to the host',
    send: `${get}X: 1\r\nY: 2\r\nX: 3\r\n\r\n`,
    request: { X: '1 | 3' },
  },
  {
    section: '§5.3',
    rule: 'fields of one name stay apart and in their order, on the way to the client',
    send: `${get}\r\n`,
    host: answering('Set-Cookie: a=1\r\nX: 1\r\nSet-Cookie: b=2\r\nX: 2\r\n'),
    answer: { 'Set-Cookie': 'a=1 | b=2', X: '1 | 2' },
  },
  {
    section: '§5.5',
    rule: 'bytes above 127 in a value pass as they are',
    send: `${get}X: caf\xe9 \xff\r\n\r\n`,
    host: answering('X: \xe9\xff\r\n'),
    request: { X: 'caf\xe9 \xff' },
    answer: { X: '\xe9\xff' },
  },
  { section: '§5.5', rule: 'NUL in a value is refused', send: `${get}X: a\0b\r\n\r\n`, ...refused },
  {
    section: '§5.5',
    rule: 'NUL in a value of an answer becomes a 502',
    send: `${get}\r\n`,
    host: answering('X: a\0b\r\n'),
    statuses: [502],
    goesOn: true,
  },
  { section: '§5.6.2', rule: 'a name that is no token is refused', send: `${get}X(y): z\r\n\r\n`, ...refused },
  {
    section: '§5.4',
    rule: 'more fields than we take are a 431',
    send: `${get}${'X: y\r\n'.repeat(100)}\r\n`,
    statuses: [431],
    goesOn: false,
    hostRequests: 0,
  },
]

const messages: Row[] = [
  {
    section: '§6.4.2',
    rule: 'content is passed on as bytes',
    send: `${get}Content-Length: 6\r\n\r\n\0\r\n\xff\r\n`,
    requestBody: '\0\r\n\xff\r\n',
  },
  {
    section: '§6.5.1',
    rule: 'trailers of a request that would frame, route or name who asks are dropped',
    send: `POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nHost: evil\r\nX-Sum: 1\r\nAuthorization: x\r\nX-Forwarded-For: y\r\nContent-Type: z\r\n\r\n`,
    requestTrailers: ['X-Sum', '1'],
    request: { Host: 'app.test' },
    goesOn: true,
  },
  {
    section: '§6.5.1',
    rule: 'a trailer that says how long the message is makes it a bad one (stricter: it may be ignored)',
    send: `POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nContent-Length: 5\r\n\r\n`,
    statuses: [400],
    goesOn: false,
    hostRequests: 0,
  },
  {
    section: '§6.5.1',
    rule: 'trailers of an answer that may not stand there are dropped',
    send: `${get}\r\n`,
    host: `${ok}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nSet-Cookie: a=b\r\nContent-Encoding: gzip\r\n\r\n`,
    trailers: ['X-Sum', '1'],
    answer: { 'Set-Cookie': undefined },
    goesOn: true,
  },
  {
    section: '§6.6.1',
    rule: 'an answer without a Date gets one',
    send: `${get}\r\n`,
    check: ({ answers }) =>
      assert.match(valuesOf(answers[0]?.fields ?? [], 'date').join(), /^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$/),
  },
  {
    section: '§6.6.1',
    rule: 'an answer with a Date keeps it',
    send: `${get}\r\n`,
    host: answering('Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n'),
    answer: { Date: 'Thu, 01 Jan 1970 00:00:00 GMT' },
  },
  {
    section: '§6.6.1',
    rule: 'a page of our own has a Date',
    send: `${get}\r\n`,
    host: 'nonsense\r\n\r\n',
    statuses: [502],
    check: ({ answers }) => assert.equal(valuesOf(answers[0]?.fields ?? [], 'date').length, 1),
  },
  {
    section: '§6.6.1',
    rule: 'a refusal has a Date',
    send: `${get}X : y\r\n\r\n`,
    statuses: [400],
    check: ({ answers }) => assert.equal(valuesOf(answers[0]?.fields ?? [], 'date').length, 1),
  },
  {
    section: '§6.6.2',
    rule: 'what trailers are announced is passed on',
    send: `${get}\r\n`,
    host: `${ok}Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n`,
    answer: { Trailer: 'X-Sum' },
  },
]

const routing: Row[] = [
  {
    section: '§7.2',
    rule: 'Host is the first field to the host, and made from the target',
    send: 'GET / HTTP/1.1\r\nX: y\r\nHost: APP.test.:8443\r\n\r\n',
    check: ({ host: bytes }) => assert.match(bytes, /^GET \S+ HTTP\/1\.1\r\nHost: app\.test\r\n/),
  },
  {
    section: '§7.4',
    rule: 'a request for another site than the connection was made for is a 421',
    send: 'GET / HTTP/1.1\r\nHost: other.test\r\n\r\n',
    statuses: [421],
    hostRequests: 0,
  },
  {
    section: '§7.6.1',
    rule: 'fields of the connection stay here, on the way to the host',
    send: `${get}Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n`,
    request: {
      Connection: undefined,
      'Keep-Alive': undefined,
      'Proxy-Connection': undefined,
      TE: undefined,
      Upgrade: undefined,
      'HTTP2-Settings': undefined,
    },
    goesOn: true,
  },
  {
    section: '§7.6.1',
    rule: 'fields that Connection names stay here, in whatever case and wherever they stand',
    send: `${get}X-Named: 1\r\nConnection: x-nAMED\r\nconnection: X-TOO, ,\r\nX-Too: 2\r\nX-Open: 3\r\n\r\n`,
    request: { 'X-Named': undefined, 'X-Too': undefined, 'X-Open': '3' },
  },
  {
    section: '§7.6.1',
    rule: 'a client cannot have what makes a message safe taken away',
    send: `POST / HTTP/1.1\r\n${host}Connection: host, content-length, cookie, authorization, cdn-loop, via\r\nContent-Length: 5\r\nCookie: a=b\r\nAuthorization: x\r\n\r\nhello`,
    request: { Host: 'app.test', 'Content-Length': '5', Cookie: 'a=b', Authorization: 'x', 'CDN-Loop': 'zone.test' },
    requestBody: 'hello',
    goesOn: true,
  },
  {
    section: '§7.6.1',
    rule: 'fields of the connection stay here, on the way to the client',
    send: `${get}\r\n`,
    host: answering(
      'Connection: keep-alive, X-Named\r\nX-Named: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\nUpgrade: h2c\r\nTE: x\r\n',
    ),
    answer: {
      Connection: undefined,
      'X-Named': undefined,
      'Keep-Alive': undefined,
      'Proxy-Connection': undefined,
      Upgrade: undefined,
      TE: undefined,
    },
  },
  {
    section: '§7.6.2',
    rule: 'OPTIONS goes on with one hop less',
    send: `OPTIONS / HTTP/1.1\r\n${host}Max-Forwards: 7\r\n\r\n`,
    request: { 'Max-Forwards': '6' },
  },
  {
    section: '§7.6.2',
    rule: 'OPTIONS without hops left is answered here',
    send: `OPTIONS / HTTP/1.1\r\n${host}Max-Forwards: 0\r\n\r\n`,
    hostRequests: 0,
    statuses: [204],
    goesOn: true,
  },
  {
    section: '§7.6.2',
    rule: 'for other methods hops do not count',
    send: `${get}Max-Forwards: 0\r\n\r\n`,
    hostRequests: 1,
    statuses: [200],
  },
  {
    section: '§7.6.3',
    rule: 'every request to a host carries Via, with the version that the client spoke',
    send: `${get}\r\n`,
    request: { Via: '1.1 zone.test' },
  },
  {
    section: '§7.6.3',
    rule: 'Via tells of a 1.0 client',
    send: `GET / HTTP/1.0\r\n${host}\r\n`,
    alone: true,
    request: { Via: '1.0 zone.test' },
  },
  {
    section: '§7.6.3',
    rule: 'a request that has been here is a loop',
    send: `${get}Via: 1.1 other, 1.1 zone.test\r\n\r\n`,
    statuses: [508],
    hostRequests: 0,
  },
  {
    section: '§7.7',
    rule: 'nothing of a message’s content, type or coding is changed',
    send: `${get}Accept-Encoding: gzip, br, zstd\r\n\r\n`,
    host: answering(
      'Content-Type: text/plain\r\nContent-Location: /a\r\nETag: "x"\r\nCache-Control: no-transform\r\n',
      'a'.repeat(3_000),
    ),
    body: 'a'.repeat(3_000),
    answer: { 'Content-Type': 'text/plain', 'Content-Location': '/a', ETag: '"x"', 'Content-Encoding': undefined },
    request: { 'Accept-Encoding': 'gzip, br, zstd' },
  },
  {
    section: '§7.8',
    rule: 'an upgrade to a protocol that we do not speak is ignored',
    send: `${get}Connection: Upgrade\r\nUpgrade: foo/2\r\n\r\n`,
    statuses: [200],
    request: { Upgrade: undefined },
  },
  {
    section: '§7.8',
    rule: 'an upgrade that Connection does not name is ignored',
    send: `${get}Upgrade: websocket\r\n\r\n`,
    statuses: [200],
    request: { Upgrade: undefined },
    goesOn: true,
  },
  {
    section: '§7.8',
    rule: 'a host cannot switch protocols unasked',
    send: `${get}\r\n`,
    host: 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
    statuses: [502],
  },
  {
    section: '§7.8',
    rule: 'an upgrade asked by a 1.0 client is ignored',
    send: `GET / HTTP/1.0\r\n${host}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
    alone: true,
    statuses: [200],
    request: { Upgrade: undefined },
  },
]

const representations: Row[] = [
  {
    section: '§8.6',
    rule: 'a request whose method has content, but which has none, says so to the host',
    send: `POST / HTTP/1.1\r\n${host}\r\n`,
    request: { 'Content-Length': '0', 'Transfer-Encoding': undefined },
  },
  {
    section: '§8.6',
    rule: 'a request whose method has no content says nothing',
    send: `${get}\r\n`,
    request: { 'Content-Length': undefined, 'Transfer-Encoding': undefined },
  },
  {
    section: '§8.6',
    rule: 'a 204 never goes on with a length',
    send: `${get}\r\n`,
    host: 'HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n',
    statuses: [204],
    answer: { 'Content-Length': undefined },
    goesOn: true,
  },
  {
    section: '§8.6',
    rule: 'an informational answer never goes on with a length',
    send: `${get}\r\n`,
    host: `HTTP/1.1 103 Early Hints\r\nContent-Length: 3\r\nLink: <a>\r\n\r\n${answering('')}`,
    statuses: [103, 200],
    check: ({ client }) => assert.ok(!client.slice(0, client.indexOf('\r\n\r\n')).includes('Content-Length')),
    goesOn: true,
  },
  {
    section: '§8.6',
    rule: 'a length that is known to be wrong is not believed: less',
    send: `${get}\r\n`,
    host: `${ok}Content-Length: 5\r\n\r\nabc`,
    hostCloses: true,
    statuses: [502],
  },
]

const methods: Row[] = [
  {
    section: '§9.1',
    rule: 'a method that we do not know is refused',
    send: `BREW / HTTP/1.1\r\n${host}\r\n`,
    ...refused,
  },
  {
    section: '§9.3.2',
    rule: 'the answer to HEAD has the fields of GET and no content',
    send: `HEAD / HTTP/1.1\r\n${host}\r\n`,
    host: `${ok}Content-Length: 5\r\nETag: "x"\r\n\r\n`,
    statuses: [200],
    answer: { 'Content-Length': '5', ETag: '"x"' },
    goesOn: true,
  },
  {
    section: '§9.3.2',
    rule: 'the answer to HEAD in chunks has no content either',
    send: `HEAD / HTTP/1.1\r\n${host}\r\n`,
    host: `${ok}Transfer-Encoding: chunked\r\n\r\n`,
    statuses: [200],
    goesOn: true,
  },
  {
    section: '§9.3.2',
    rule: 'a page of our own to HEAD has no content',
    send: `HEAD / HTTP/1.1\r\n${host}CDN-Loop: zone.test\r\n\r\n`,
    statuses: [508],
    goesOn: true,
  },
  {
    section: '§9.3.6',
    rule: 'CONNECT is not for a gateway',
    send: `CONNECT app.test:443 HTTP/1.1\r\n${host}\r\n`,
    statuses: [405],
    goesOn: false,
    hostRequests: 0,
  },
  {
    section: '§9.3.7',
    rule: 'OPTIONS goes to the program',
    send: `OPTIONS /x HTTP/1.1\r\n${host}\r\n`,
    requestLine: 'OPTIONS /x HTTP/1.1',
    statuses: [200],
  },
  {
    section: '§9.3.7',
    rule: 'OPTIONS * is answered with what is allowed',
    send: `OPTIONS * HTTP/1.1\r\n${host}\r\n`,
    statuses: [204],
    answer: { Allow: 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS' },
  },
  {
    section: '§9.3.8',
    rule: 'TRACE is off, since it would show what fields we add',
    send: `TRACE / HTTP/1.1\r\n${host}\r\n`,
    statuses: [405],
    hostRequests: 0,
  },
  {
    section: '§15.5.6',
    rule: 'a 405 says what is allowed',
    send: `TRACE / HTTP/1.1\r\n${host}\r\n`,
    answer: { Allow: 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS' },
  },
]

const context: Row[] = [
  {
    section: '§10.1.1',
    rule: 'a client that has sent its body already gets no 100',
    send: `POST / HTTP/1.1\r\n${host}Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello`,
    statuses: [200],
    requestBody: 'hello',
    goesOn: true,
  },
  {
    section: '§10.1.1',
    rule: 'the expectation is met here and goes no further',
    send: `POST / HTTP/1.1\r\n${host}Expect: 100-Continue\r\nContent-Length: 5\r\n\r\nhello`,
    request: { Expect: undefined },
  },
  {
    section: '§10.1.1',
    rule: 'an expectation of a 1.0 client is ignored',
    send: `POST / HTTP/1.0\r\n${host}Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello`,
    alone: true,
    statuses: [200],
  },
  {
    section: '§10.1.1',
    rule: 'an expectation that we do not know is refused (a 417 would do as well)',
    send: `POST / HTTP/1.1\r\n${host}Expect: 200-ok\r\nContent-Length: 0\r\n\r\n`,
    statuses: [400],
    hostRequests: 0,
  },
  {
    section: '§10.1.4',
    rule: 'TE is between the client and us',
    send: `${get}TE: trailers, deflate;q=0.5\r\n\r\n`,
    request: { TE: undefined },
  },
  {
    section: '§11.6.2',
    rule: 'credentials for the program pass unchanged, and so does its challenge',
    send: `${get}Authorization: Basic eDp5\r\n\r\n`,
    host: 'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm="a, b"\r\nContent-Length: 0\r\n\r\n',
    statuses: [401],
    request: { Authorization: 'Basic eDp5' },
    answer: { 'WWW-Authenticate': 'Basic realm="a, b"' },
  },
  {
    section: '§11.7',
    rule: 'credentials for a proxy stay here, both ways',
    send: `${get}Proxy-Authorization: Basic eDp5\r\n\r\n`,
    host: answering('Proxy-Authenticate: Basic\r\nProxy-Authentication-Info: x\r\n'),
    request: { 'Proxy-Authorization': undefined },
    answer: { 'Proxy-Authenticate': undefined, 'Proxy-Authentication-Info': undefined },
  },
]

const conditional: Row[] = [
  {
    section: '§13',
    rule: 'conditions are the host’s to decide',
    send: `${get}If-None-Match: "x"\r\nIf-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT\r\nIf-Match: *\r\n\r\n`,
    host: 'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n',
    statuses: [304],
    request: { 'If-None-Match': '"x"', 'If-Modified-Since': 'Thu, 01 Jan 1970 00:00:00 GMT', 'If-Match': '*' },
    answer: { ETag: '"x"' },
    goesOn: true,
  },
  {
    section: '§13',
    rule: 'a failed condition passes',
    send: `${get}If-Match: "y"\r\n\r\n`,
    host: 'HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n',
    statuses: [412],
    goesOn: true,
  },
  {
    section: '§14.2',
    rule: 'ranges are the host’s to decide',
    send: `${get}Range: bytes=0-1,3-\r\nIf-Range: "x"\r\n\r\n`,
    host: 'HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/5\r\nContent-Length: 2\r\n\r\nhe',
    statuses: [206],
    request: { Range: 'bytes=0-1,3-', 'If-Range': '"x"' },
    answer: { 'Content-Range': 'bytes 0-1/5' },
    body: 'he',
  },
  {
    section: '§14.4',
    rule: 'a range that cannot be served passes',
    send: `${get}Range: bytes=9-\r\n\r\n`,
    host: 'HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */5\r\nContent-Length: 0\r\n\r\n',
    statuses: [416],
    answer: { 'Content-Range': 'bytes */5' },
  },
]

const statuses: Row[] = [
  {
    section: '§15',
    rule: 'a status that nobody knows passes with its class',
    send: `${get}\r\n`,
    host: 'HTTP/1.1 299 Odd\r\nContent-Length: 2\r\n\r\nok',
    statuses: [299],
    body: 'ok',
  },
  {
    section: '§15',
    rule: 'a status outside 100 to 599 is none',
    send: `${get}\r\n`,
    host: 'HTTP/1.1 600 Odd\r\nContent-Length: 2\r\n\r\nok',
    statuses: [502],
  },
  {
    section: '§15.2',
    rule: 'early hints reach the client, and the answer after them is whole',
    send: `${get}\r\n`,
    host: `HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <b>\r\n\r\n${answering('')}`,
    statuses: [103, 103, 200],
    body: 'ok',
    goesOn: true,
  },
  {
    section: '§15.2',
    rule: 'informational answers that nobody knows reach the client',
    send: `${get}\r\n`,
    host: `HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 199 Odd\r\nX: y\r\n\r\n${answering('')}`,
    statuses: [102, 199, 200],
    goesOn: true,
  },
  {
    section: '§15.2',
    rule: 'no informational answer reaches a 1.0 client',
    send: `GET / HTTP/1.0\r\n${host}\r\n`,
    alone: true,
    host: `HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n${answering('')}`,
    statuses: [200],
  },
  {
    section: '§15.2',
    rule: 'informational answers without end become a 502',
    send: `${get}\r\n`,
    host: `${'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(50)}${answering('')}`,
    check: ({ answers }) => assert.equal(answers.at(-1)?.status, 502),
  },
  {
    section: '§15.2.1',
    rule: 'a 100 of the host is between it and us',
    send: `POST / HTTP/1.1\r\n${host}Content-Length: 5\r\n\r\nhello`,
    host: `HTTP/1.1 100 Continue\r\n\r\n${answering('')}`,
    statuses: [200],
    goesOn: true,
  },
  {
    section: '§15.3.6',
    rule: 'a 205 passes without content',
    send: `${get}\r\n`,
    host: 'HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n',
    statuses: [205],
    body: '',
    goesOn: true,
  },
  {
    section: '§15.4',
    rule: 'redirects are the client’s to follow',
    send: `${get}\r\n`,
    host: 'HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n',
    statuses: [302],
    answer: { Location: 'http://127.0.0.1/' },
    hostRequests: 1,
  },
  {
    section: '§15.5.22',
    rule: 'what protocol a host wants is between it and us',
    send: `${get}\r\n`,
    host: 'HTTP/1.1 426 Upgrade Required\r\nConnection: Upgrade\r\nUpgrade: foo\r\nContent-Length: 0\r\n\r\n',
    statuses: [426],
    answer: { Upgrade: undefined },
  },
]

const rig = testRows('RFC 9110', [
  ...fields,
  ...messages,
  ...routing,
  ...representations,
  ...methods,
  ...context,
  ...conditional,
  ...statuses,
])

test('RFC 9110 §10.1.1: a client that waits for 100 gets it before it has sent its body, and one answer after', async () => {
  rig().reset()
  const socket = await connectTls(rig().gateway.httpsPort, 'app.test')
  const parts: Buffer[] = []
  socket.on('data', (part: Buffer) => parts.push(part))
  const text = (): string => Buffer.concat(parts).toString('latin1')
  socket.write(`POST / HTTP/1.1\r\n${host}Connection: close\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n`)
  await until(() => text() === 'HTTP/1.1 100 Continue\r\n\r\n')
  socket.write('hello')
  await once(socket, 'close')
  assert.match(text(), /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK\r\n[\s\S]*ok$/)
  assert.equal(rig().hostRequests[0]?.body.toString(), 'hello')
})
