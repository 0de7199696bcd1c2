// HTTP/2, through the TLS listener, with frames written by hand.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../gateway/http2/error-code.ts'
import { FrameType, Setting } from '../../gateway/http2/frame.ts'
import {
  block,
  data,
  frame,
  headers,
  RawClient,
  request,
  reset,
  settingsFrame,
  uint32,
  windowUpdate,
} from '../../gateway/listen/http2/testing/raw-client.ts'
import { type H2Row, openRaw, preface, testH2Rows } from './h2-rows.ts'

const { protocol, frameSize, flowControl, streamClosed, compression, refusedStream, cancel } = ErrorCode
const ok = 'HTTP/1.1 200 OK\r\n'
const get = headers(1, request())
const post = (...fields: string[]): Buffer => headers(1, request('POST', '/', ...fields), false)
const malformed: Pick<H2Row, 'streamError' | 'hostRequests'> = { streamError: [protocol], hostRequests: 0 }
const withField = (name: string, value: string): Buffer[] => [headers(1, request('GET', '/', name, value))]
const pad = (bytes: number, content: Buffer): Buffer => Buffer.concat([Buffer.of(bytes), content, Buffer.alloc(bytes)])
const big = 'a'.repeat(100_000)
/** An answer that does not fit the client's window, so that its stream stays open. */
const large = `${ok}Content-Length: ${big.length}\r\n\r\n${big}`

const framesAndStreams: H2Row[] = [
  {
    section: '§4.1',
    rule: 'a frame of unknown type is ignored',
    send: [frame(0xbe, 0xff, 0, Buffer.from('hello')), frame(0xbe, 0, 1), get],
    status: 200,
  },
  {
    section: '§4.1',
    rule: 'unknown flags are ignored',
    send: [frame(FrameType.headers, 0x5 | (0xc2 & ~0x28), 1, block(request()))],
    status: 200,
  },
  {
    section: '§4.1',
    rule: 'the reserved bit of an identifier is ignored',
    send: [frame(FrameType.headers, 5, 0x8000_0001 >>> 0, block(request()))],
    status: 200,
  },
  {
    section: '§4.2',
    rule: 'a frame larger than 16,384 octets ends the connection',
    send: [post(), frame(FrameType.data, 0, 1, Buffer.alloc(16_385))],
    connectionError: [frameSize],
  },
  {
    section: '§4.2',
    rule: 'a frame of exactly 16,384 octets is taken',
    send: [post(), data(1, Buffer.alloc(16_384, 'a'), true)],
    status: 200,
    requestBody: 'a'.repeat(16_384),
  },
  {
    section: '§4.3',
    rule: 'a header block that cannot be decoded ends the connection',
    send: [frame(FrameType.headers, 5, 1, Buffer.from([0x80]))],
    connectionError: [compression],
  },
  {
    section: '§4.3',
    rule: 'nothing may come between the frames of a header block',
    send: [frame(FrameType.headers, 1, 1, block(request())), frame(FrameType.ping, 0, 0, Buffer.alloc(8))],
    connectionError: [protocol],
  },
  {
    section: '§4.3',
    rule: 'the frames of a header block are of one stream',
    send: [frame(FrameType.headers, 1, 1, block(request())), frame(FrameType.continuation, 4, 3, block(['a', 'b']))],
    connectionError: [protocol],
  },
  {
    section: '§4.3',
    rule: 'a header block in pieces is one',
    send: [
      frame(FrameType.headers, 1, 1, block(request()).subarray(0, 9)),
      frame(FrameType.continuation, 0, 1, block(request()).subarray(9, 20)),
      frame(FrameType.continuation, 4, 1, block(request()).subarray(20)),
    ],
    status: 200,
  },
  {
    section: '§5.1',
    rule: 'DATA on an idle stream ends the connection',
    send: [data(1, 'x')],
    connectionError: [protocol],
  },
  {
    section: '§5.1',
    rule: 'RST_STREAM on an idle stream ends the connection',
    send: [reset(1)],
    connectionError: [protocol],
  },
  {
    section: '§5.1',
    rule: 'WINDOW_UPDATE on an idle stream ends the connection',
    send: [windowUpdate(1, 1)],
    connectionError: [protocol],
  },
  {
    section: '§5.1',
    rule: 'PRIORITY on an idle stream is allowed',
    send: [frame(FrameType.priority, 0, 1, Buffer.concat([uint32(0), Buffer.of(16)])), get],
    status: 200,
  },
  {
    section: '§5.1',
    rule: 'DATA after END_STREAM is an error',
    send: [headers(1, request()), data(1, 'x')],
    host: large,
    check: () => {},
    streamError: [streamClosed],
  },
  {
    section: '§5.1',
    rule: 'HEADERS after END_STREAM is an error',
    send: [headers(1, request()), headers(1, request())],
    host: large,
    streamError: [streamClosed],
  },
  {
    section: '§5.1',
    rule: 'WINDOW_UPDATE after END_STREAM is allowed',
    send: [headers(1, request()), windowUpdate(1, 1_000)],
    status: 200,
  },
  {
    section: '§5.1',
    rule: 'RST_STREAM ends the request to the host too',
    send: [headers(1, request()), reset(1, cancel)],
    host: () => {},
  },
  {
    section: '§5.1.1',
    rule: 'a client’s stream has an odd number',
    send: [headers(2, request())],
    connectionError: [protocol],
  },
  {
    section: '§5.1.1',
    rule: 'the number of a new stream is higher than all before',
    send: [headers(5, request()), headers(3, request())],
    host: large,
    connectionError: [protocol, streamClosed],
  },
  {
    section: '§5.4.1',
    rule: 'GOAWAY names the last stream that was looked at',
    send: [headers(1, request()), headers(2, request())],
    host: large,
    connectionError: [protocol],
    check: () => {},
  },
  { section: '§5.5', rule: 'unknown settings are ignored', send: [settingsFrame([[0xfe, 1]]), get], status: 200 },
]

const eachFrame: H2Row[] = [
  { section: '§6.1', rule: 'DATA on stream 0 ends the connection', send: [data(0, 'x')], connectionError: [protocol] },
  {
    section: '§6.1',
    rule: 'padding of DATA is no content',
    send: [post(), frame(FrameType.data, 8 | 1, 1, pad(7, Buffer.from('hello')))],
    status: 200,
    requestBody: 'hello',
  },
  {
    section: '§6.1',
    rule: 'padding that is longer than its frame ends the connection',
    send: [post(), frame(FrameType.data, 8, 1, Buffer.from([5, 0, 0]))],
    connectionError: [protocol],
  },
  {
    section: '§6.2',
    rule: 'HEADERS on stream 0 ends the connection',
    send: [headers(0, request())],
    connectionError: [protocol],
  },
  {
    section: '§6.2',
    rule: 'padding and priority of HEADERS are no fields',
    send: [
      frame(
        FrameType.headers,
        0x2d,
        1,
        Buffer.concat([Buffer.of(3), uint32(0), Buffer.of(9), block(request()), Buffer.alloc(3)]),
      ),
    ],
    status: 200,
  },
  {
    section: '§6.2',
    rule: 'padding of HEADERS that is longer than its frame ends the connection',
    send: [frame(FrameType.headers, 0xd, 1, Buffer.concat([Buffer.of(255), block(request())]))],
    connectionError: [protocol],
  },
  {
    section: '§6.3',
    rule: 'PRIORITY on stream 0 ends the connection',
    send: [frame(FrameType.priority, 0, 0, Buffer.alloc(5))],
    connectionError: [protocol],
  },
  {
    section: '§6.3',
    rule: 'PRIORITY of another length than 5 is an error of its size',
    send: [headers(1, request()), frame(FrameType.priority, 0, 1, Buffer.alloc(4))],
    host: large,
    streamError: [frameSize],
  },
  {
    section: '§6.4',
    rule: 'RST_STREAM on stream 0 ends the connection',
    send: [reset(0)],
    connectionError: [protocol],
  },
  {
    section: '§6.4',
    rule: 'RST_STREAM of another length than 4 ends the connection',
    send: [headers(1, request()), frame(FrameType.rstStream, 0, 1, Buffer.alloc(3))],
    host: large,
    connectionError: [frameSize],
  },
  {
    section: '§6.5',
    rule: 'SETTINGS on a stream ends the connection',
    send: [frame(FrameType.settings, 0, 1)],
    connectionError: [protocol],
  },
  {
    section: '§6.5',
    rule: 'SETTINGS of a length that is no multiple of 6 ends the connection',
    send: [frame(FrameType.settings, 0, 0, Buffer.alloc(5))],
    connectionError: [frameSize],
  },
  {
    section: '§6.5',
    rule: 'an acknowledgement with content ends the connection',
    send: [frame(FrameType.settings, 1, 0, Buffer.alloc(6))],
    connectionError: [frameSize],
  },
  {
    section: '§6.5.2',
    rule: 'ENABLE_PUSH is 0 or 1',
    send: [settingsFrame([[Setting.enablePush, 2]])],
    connectionError: [protocol],
  },
  {
    section: '§6.5.2',
    rule: 'INITIAL_WINDOW_SIZE is at most 2^31-1',
    send: [settingsFrame([[Setting.initialWindowSize, 0x8000_0000]])],
    connectionError: [flowControl],
  },
  {
    section: '§6.5.2',
    rule: 'MAX_FRAME_SIZE is at least 16,384',
    send: [settingsFrame([[Setting.maxFrameSize, 16_383]])],
    connectionError: [protocol],
  },
  {
    section: '§6.5.2',
    rule: 'MAX_FRAME_SIZE is at most 2^24-1',
    send: [settingsFrame([[Setting.maxFrameSize, 0x100_0000]])],
    connectionError: [protocol],
  },
  {
    section: '§6.5.3',
    rule: 'SETTINGS are acknowledged',
    send: [settingsFrame([[Setting.initialWindowSize, 70_000]])],
    check: (client) =>
      client.until(
        () => client.frames.filter(({ type, flags }) => type === FrameType.settings && flags === 1).length === 2,
      ),
  },
  {
    section: '§6.6',
    rule: 'PUSH_PROMISE from a client ends the connection',
    send: [frame(FrameType.pushPromise, 4, 1, Buffer.concat([uint32(2), block(request())]))],
    connectionError: [protocol],
  },
  {
    section: '§6.7',
    rule: 'PING comes back with its content',
    send: [frame(FrameType.ping, 0, 0, Buffer.from('12345678'))],
    check: (client) =>
      client.until(() =>
        client.has(FrameType.ping, ({ flags, payload }) => flags === 1 && payload.toString() === '12345678'),
      ),
  },
  {
    section: '§6.7',
    rule: 'PING on a stream ends the connection',
    send: [frame(FrameType.ping, 0, 1, Buffer.alloc(8))],
    connectionError: [protocol],
  },
  {
    section: '§6.7',
    rule: 'PING of another length than 8 ends the connection',
    send: [frame(FrameType.ping, 0, 0, Buffer.alloc(6))],
    connectionError: [frameSize],
  },
  {
    section: '§6.8',
    rule: 'GOAWAY on a stream ends the connection',
    send: [frame(FrameType.goaway, 0, 1, Buffer.alloc(8))],
    connectionError: [protocol],
  },
  {
    section: '§6.8',
    rule: 'a client that goes away still gets its answers',
    send: [get, frame(FrameType.goaway, 0, 0, Buffer.alloc(8))],
    status: 200,
  },
  {
    section: '§6.9',
    rule: 'WINDOW_UPDATE of 0 on the connection ends it',
    send: [windowUpdate(0, 0)],
    connectionError: [protocol],
  },
  {
    section: '§6.9',
    rule: 'WINDOW_UPDATE of 0 on a stream is an error of the stream',
    send: [headers(1, request()), windowUpdate(1, 0)],
    host: () => {},
    streamError: [protocol],
  },
  {
    section: '§6.9',
    rule: 'WINDOW_UPDATE of another length than 4 ends the connection',
    send: [frame(FrameType.windowUpdate, 0, 0, Buffer.alloc(3))],
    connectionError: [frameSize],
  },
  {
    section: '§6.9.1',
    rule: 'a window of the connection beyond 2^31-1 ends it',
    send: [windowUpdate(0, 0x7fff_ffff), windowUpdate(0, 0x7fff_ffff)],
    connectionError: [flowControl],
  },
  {
    section: '§6.9.1',
    rule: 'a window of a stream beyond 2^31-1 is an error of the stream',
    send: [headers(1, request()), windowUpdate(1, 0x7fff_ffff)],
    host: () => {},
    streamError: [flowControl],
  },
  {
    section: '§6.9.2',
    rule: 'a change of the initial window that makes a window too large ends the connection',
    send: [
      headers(1, request()),
      windowUpdate(1, 0x7fff_0000 - 65_535),
      settingsFrame([[Setting.initialWindowSize, 0x7fff_ffff]]),
    ],
    host: () => {},
    connectionError: [flowControl],
  },
  {
    section: '§6.10',
    rule: 'CONTINUATION without a header block before it ends the connection',
    send: [frame(FrameType.continuation, 4, 1, block(request()))],
    connectionError: [protocol],
  },
  {
    section: '§6.10',
    rule: 'CONTINUATION after a complete header block ends the connection',
    send: [headers(1, request()), frame(FrameType.continuation, 4, 1, block(['a', 'b']))],
    host: large,
    connectionError: [protocol],
  },
]

const messages: H2Row[] = [
  {
    section: '§8.1',
    rule: 'trailers that do not end the stream are malformed',
    send: [post(), headers(1, ['x-sum', '1'], false)],
    ...malformed,
  },
  {
    section: '§8.1',
    rule: 'trailers reach the host as trailers',
    send: [post('trailer', 'x-sum'), data(1, 'hello'), headers(1, ['x-sum', '1'])],
    status: 200,
    requestBody: 'hello',
    requestTrailers: ['x-sum', '1'],
  },
  {
    section: '§8.1',
    rule: 'pseudo-header fields among trailers are malformed',
    send: [post(), data(1, 'hello'), headers(1, [':method', 'GET'])],
    streamError: [protocol],
  },
  {
    section: '§8.1',
    rule: 'trailers of an answer reach the client as trailers',
    send: [get],
    host: `${ok}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n`,
    status: 200,
    body: 'ok',
    check: (client) => assert.deepEqual(client.of(FrameType.headers, 1).at(-1)?.fields, ['x-sum', '1']),
  },
  {
    section: '§8.1',
    rule: 'an informational answer does not end the stream',
    send: [get],
    host: `HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n${ok}Content-Length: 2\r\n\r\nok`,
    status: 200,
    check: (client) => assert.deepEqual(client.of(FrameType.headers, 1)[0]?.fields, [':status', '103', 'link', '<a>']),
  },
  {
    section: '§8.1.1',
    rule: 'more content than Content-Length says is malformed',
    send: [post('content-length', '3'), data(1, 'hello', true)],
    streamError: [protocol],
    hostRequests: 0,
  },
  {
    section: '§8.1.1',
    rule: 'less content than Content-Length says is malformed',
    send: [post('content-length', '30'), data(1, 'hello', true)],
    streamError: [protocol],
    hostRequests: 0,
  },
  {
    section: '§8.1.1',
    rule: 'no content where Content-Length says some is malformed',
    send: [headers(1, request('POST', '/', 'content-length', '3'))],
    ...malformed,
  },
  {
    section: '§8.1.1',
    rule: 'an answer that breaks off is reset, not ended',
    send: [get],
    host: `${ok}Content-Length: 100000\r\n\r\nhello`,
    hostCloses: true,
    streamError: [ErrorCode.internal, cancel],
  },
  {
    section: '§8.1.1',
    rule: 'an answer in chunks that breaks off is reset, not ended',
    send: [get],
    host: `${ok}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`,
    hostCloses: true,
    streamError: [ErrorCode.internal, cancel],
  },
  { section: '§8.2.1', rule: 'a name in upper case is malformed', send: withField('X-Up', '1'), ...malformed },
  { section: '§8.2.1', rule: 'a name with a colon inside is malformed', send: withField('x:y', '1'), ...malformed },
  { section: '§8.2.1', rule: 'a name with a space is malformed', send: withField('x y', '1'), ...malformed },
  { section: '§8.2.1', rule: 'an empty name is malformed', send: withField('', '1'), ...malformed },
  { section: '§8.2.1', rule: 'a name with a byte above 127 is malformed', send: withField('x\xe9', '1'), ...malformed },
  { section: '§8.2.1', rule: 'CR in a value is malformed', send: withField('x', 'a\rb'), ...malformed },
  {
    section: '§8.2.1',
    rule: 'LF in a value is malformed, so that no host sees a line of the client’s making',
    send: withField('x', 'a\nhost: evil'),
    ...malformed,
  },
  { section: '§8.2.1', rule: 'NUL in a value is malformed', send: withField('x', 'a\0b'), ...malformed },
  { section: '§8.2.1', rule: 'a space before a value is malformed', send: withField('x', ' a'), ...malformed },
  { section: '§8.2.1', rule: 'a tab behind a value is malformed', send: withField('x', 'a\t'), ...malformed },
  {
    section: '§8.2.1',
    rule: 'bytes above 127 in a value pass',
    send: withField('x', 'caf\xe9'),
    status: 200,
    request: { x: 'caf\xe9' },
  },
  ...['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade'].map(
    (name): H2Row => ({
      section: '§8.2.2',
      rule: `${name} is malformed`,
      send: withField(name, 'chunked'),
      ...malformed,
    }),
  ),
  {
    section: '§8.2.2',
    rule: 'TE may say trailers',
    send: withField('te', 'trailers'),
    status: 200,
    request: { te: undefined },
  },
  { section: '§8.2.2', rule: 'TE may say nothing else', send: withField('te', 'gzip'), ...malformed },
  {
    section: '§8.2.2',
    rule: 'fields of the host’s connection do not reach the client',
    send: [get],
    host: `${ok}Connection: x-named\r\nX-Named: 1\r\nKeep-Alive: 5\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n`,
    status: 200,
    body: 'ok',
    answer: { connection: undefined, 'x-named': undefined, 'keep-alive': undefined, 'transfer-encoding': undefined },
  },
  {
    section: '§8.2',
    rule: 'names of an answer are written in lower case',
    send: [get],
    host: `${ok}X-Some-Name: Value\r\nContent-Length: 2\r\n\r\nok`,
    status: 200,
    answer: { 'x-some-name': 'Value' },
  },
  {
    section: '§8.2.3',
    rule: 'crumbs of a cookie are joined for the host',
    send: [headers(1, request('GET', '/', 'cookie', 'a=1', 'x', 'y', 'cookie', 'b=2', 'cookie', 'c=3'))],
    status: 200,
    request: { cookie: 'a=1; b=2; c=3' },
  },
  {
    section: '§8.3',
    rule: 'pseudo-header fields come before all others',
    send: [headers(1, [':method', 'GET', ':scheme', 'https', 'x', 'y', ':path', '/', ':authority', 'app.test'])],
    ...malformed,
  },
  {
    section: '§8.3',
    rule: 'a pseudo-header field that nobody knows is malformed',
    send: [headers(1, [':foo', 'x', ...request()])],
    ...malformed,
  },
  {
    section: '§8.3',
    rule: 'a pseudo-header field of answers is malformed in a request',
    send: [headers(1, [':status', '200', ...request()])],
    ...malformed,
  },
  {
    section: '§8.3.1',
    rule: 'a pseudo-header field given twice is malformed',
    send: [headers(1, [':method', 'GET', ...request()])],
    ...malformed,
  },
  ...[':method', ':scheme', ':path'].map(
    (name): H2Row => ({
      section: '§8.3.1',
      rule: `a request without ${name} is malformed`,
      send: [
        headers(
          1,
          request().filter((_, i, all) => all[i - (i % 2)] !== name),
        ),
      ],
      ...malformed,
    }),
  ),
  {
    section: '§8.3.1',
    rule: 'an empty :path is malformed',
    send: [headers(1, request('GET', ''))],
    check: () => {},
    streamError: [protocol],
  },
  {
    section: '§8.3.1',
    rule: 'a Host that differs from :authority is malformed',
    send: withField('host', 'other.test'),
    ...malformed,
  },
  {
    section: '§8.3.1',
    rule: 'user information in :authority is refused',
    send: [headers(1, [':method', 'GET', ':scheme', 'https', ':path', '/', ':authority', 'a@app.test'])],
    status: 400,
    hostRequests: 0,
  },
  {
    section: '§8.3.1',
    rule: 'Host to the host is made from :authority',
    send: [headers(1, [':method', 'GET', ':scheme', 'https', ':path', '/a?b', ':authority', 'APP.test:8443'])],
    status: 200,
    request: { host: 'app.test', via: '2 zone.test' },
    requestLine: 'GET /a?b HTTP/1.1',
  },
  {
    section: '§8.3.1',
    rule: 'OPTIONS * asks about the server, which is us',
    send: [headers(1, request('OPTIONS', '*'))],
    status: 204,
    hostRequests: 0,
  },
  {
    section: '§8.3.1',
    rule: 'a path of another form is refused',
    send: [headers(1, request('GET', 'x'))],
    check: () => {},
    status: 400,
    hostRequests: 0,
  },
  {
    section: '§8.3.2',
    rule: 'an answer has :status, and nothing of HTTP/1',
    send: [get],
    host: 'HTTP/1.0 404 Gone Away\r\nContent-Length: 2\r\n\r\nno',
    status: 404,
    body: 'no',
    answer: { ':status': '404' },
  },
  {
    section: '§8.4',
    rule: 'nothing is ever pushed',
    send: [settingsFrame([[Setting.enablePush, 1]]), get],
    status: 200,
    check: (client) => assert.ok(!client.has(FrameType.pushPromise)),
  },
  {
    section: '§8.5',
    rule: 'CONNECT without a protocol is not for a gateway',
    send: [headers(1, [':method', 'CONNECT', ':authority', 'app.test:443'], false)],
    status: 405,
    hostRequests: 0,
  },
  {
    section: '§8.5',
    rule: 'CONNECT with :scheme and :path is malformed',
    send: [headers(1, request('CONNECT'), false)],
    ...malformed,
  },
  {
    section: '§8.6',
    rule: 'a request of known length goes on with it',
    send: [post('content-length', '5'), data(1, 'hello', true)],
    status: 200,
    requestBody: 'hello',
    request: { 'content-length': '5', 'transfer-encoding': undefined },
  },
  {
    section: '§8.6',
    rule: 'a request of unknown length goes on all the same',
    send: [post(), data(1, 'hel'), data(1, 'lo', true)],
    status: 200,
    requestBody: 'hello',
  },
  {
    section: '§8.8',
    rule: 'the answer to HEAD has fields and no content',
    send: [headers(1, request('HEAD'))],
    host: `${ok}Content-Length: 5\r\n\r\n`,
    status: 200,
    body: '',
    answer: { 'content-length': '5' },
  },
  {
    section: '§8.8',
    rule: 'a 304 has no content',
    send: [get],
    host: 'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n',
    status: 304,
    body: '',
    answer: { etag: '"x"' },
  },
  {
    section: '§9.1.1',
    rule: 'a request for another site than the connection was made for is a 421',
    send: [headers(1, [':method', 'GET', ':scheme', 'https', ':path', '/', ':authority', 'other.test'])],
    status: 421,
    hostRequests: 0,
  },
  {
    section: '§10.3',
    rule: 'an answer of a host that would split lines becomes a 502',
    send: [get],
    host: `${ok}X: a\rb\r\nContent-Length: 2\r\n\r\nok`,
    status: 502,
  },
]

const rig = testH2Rows('RFC 9113', [...framesAndStreams, ...eachFrame, ...messages])

test('RFC 9113 §3.4: the server’s first frame is SETTINGS', async () => {
  await using client = await openRaw(rig(), preface, settingsFrame([]))
  await client.until(() => client.frames.length > 0)
  assert.equal(client.frames[0]?.type, FrameType.settings)
  assert.equal(client.frames[0]?.flags, 0)
})

test('RFC 9113 §3.4: a client that does not begin with the preface is cut off', async () => {
  for (const bytes of [
    'GET / HTTP/1.1\r\nHost: app.test\r\n\r\n',
    'PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n',
    '\0'.repeat(64),
  ]) {
    await using client = await openRaw(rig(), Buffer.from(bytes))
    await client.until(() => client.closed || client.has(FrameType.goaway)).catch(() => assert.ok(client.closed))
  }
})

test('RFC 9113 §3.4: after the preface comes SETTINGS and nothing else', async () => {
  await using client = await openRaw(rig(), preface, frame(FrameType.ping, 0, 0, Buffer.alloc(8)))
  assert.equal(await client.error(0), protocol)
})

test('RFC 9113 §5.2: no more content is sent than the client’s windows allow, and all of it when they open', async () => {
  rig().reset(large)
  await using client = await RawClient.start(rig().gateway.httpsPort, [[Setting.initialWindowSize, 10]])
  client.send(headers(1, request()))
  await client.until(() => client.body(1).length === 10)
  await client.settle()
  assert.equal(client.body(1).length, 10)
  client.send(windowUpdate(1, 20))
  await client.until(() => client.body(1).length === 30)
  client.send(settingsFrame([[Setting.initialWindowSize, 20]]))
  await client.until(() => client.body(1).length === 40)
  client.send(windowUpdate(1, 200_000))
  await client.until(() => client.body(1).length === 65_535)
  await client.settle()
  assert.equal(client.body(1).length, 65_535, 'the window of the connection')
  client.send(windowUpdate(0, 200_000))
  await client.ended(1)
  assert.equal(client.body(1).toString(), big)
})

test('RFC 9113 §6.9.2: a window may become negative, and is waited for', async () => {
  rig().reset(large)
  await using client = await RawClient.start(rig().gateway.httpsPort, [[Setting.initialWindowSize, 100]])
  client.send(headers(1, request()))
  await client.until(() => client.body(1).length === 100)
  client.send(settingsFrame([[Setting.initialWindowSize, 10]]), windowUpdate(1, 90))
  await client.settle()
  assert.equal(client.body(1).length, 100)
  client.send(windowUpdate(1, 1))
  await client.until(() => client.body(1).length === 101)
})

test('RFC 9113 §6.9: what a client sends is acknowledged, so that a long upload goes on', async () => {
  rig().reset()
  await using client = await RawClient.start(rig().gateway.httpsPort)
  client.send(headers(1, request('POST'), false))
  let window = 65_535
  const piece = Buffer.alloc(16_000, 'x')
  let sent = 0
  let counted = 0
  while (sent < 3_000_000) {
    await client.until(() => {
      for (; counted < client.frames.length; counted++) {
        const { type, id, payload } = client.frames[counted] as (typeof client.frames)[number]
        if (type === FrameType.windowUpdate && id === 0) window += payload.readUInt32BE(0)
      }
      return window >= piece.length
    })
    // The stream's own window is at least as generous as the connection's first one, and opens as the host reads.
    client.send(data(1, piece))
    sent += piece.length
    window -= piece.length
    if (sent % 64_000 === 0) await client.settle()
  }
  client.send(data(1, '', true))
  await client.ended(1)
  assert.equal(rig().hostRequests[0]?.body.length, sent)
})

test('RFC 9113 §5.1: when a client takes a request back, the host’s connection ends', async () => {
  let closed = false
  rig().reset(
    (socket) =>
      void socket.on('close', () => {
        closed = true
      }),
  )
  await using client = await RawClient.start(rig().gateway.httpsPort)
  client.send(headers(1, request()))
  await client.until(() => rig().hostRequests.length === 1)
  client.send(reset(1, cancel))
  await client.until(() => closed)
})

test('RFC 9113 §5.1.2: streams beyond the number allowed are refused, so that the client may repeat them, and the others live', async () => {
  rig().reset(() => {})
  await using client = await RawClient.start(rig().gateway.httpsPort)
  const ids = Array.from({ length: 101 }, (_, i) => 1 + 2 * i)
  client.send(...ids.map((id) => headers(id, request())))
  assert.equal(await client.error(201), refusedStream)
  client.send(reset(1, cancel), headers(203, request('GET', '/sentinel')))
  await client.ended(203)
  assert.equal(client.body(203).toString(), 'sentinel')
})
