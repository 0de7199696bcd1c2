import type { Picker } from '../pick.ts'

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1')

const words = [
  '\r\n',
  '\r',
  '\n',
  '\r\n\r\n',
  '\n\n',
  ' ',
  '\t',
  ':',
  ': ',
  ',',
  ';',
  '=',
  '"',
  '\0',
  '\x0b',
  '\x7f',
  '\x80',
  '\xff',
  '0',
  '1',
  '5',
  '+5',
  '-1',
  '0x5',
  '00',
  '1e1',
  '9007199254740993',
  '99999999999999999999',
  'GET ',
  'POST ',
  'HEAD ',
  'OPTIONS * ',
  'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  '/',
  '*',
  '//',
  '/../',
  '/%2e%2e/',
  '?',
  '#',
  'http://app.test/',
  'https://app.test',
  'http://',
  ' HTTP/1.1\r\n',
  ' HTTP/1.0\r\n',
  'HTTP/1.1',
  'HTTP/1.1 200 OK\r\n',
  'HTTP/1.1 204 No Content\r\n',
  'HTTP/1.1 304 Not Modified\r\n',
  'HTTP/1.1 100 Continue\r\n\r\n',
  'HTTP/1.1 103 \r\n\r\n',
  'HTTP/1.0 200\r\n',
  'Host: app.test\r\n',
  'Host',
  'host: b\r\n',
  'Content-Length: 5\r\n',
  'Content-Length',
  'content-length: 0\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Transfer-Encoding',
  'chunked',
  'xchunked',
  'gzip, chunked',
  'chunked, identity',
  'identity',
  'Connection: close\r\n',
  'Connection: keep-alive\r\n',
  'Connection: ',
  'close',
  'keep-alive',
  'Upgrade: websocket\r\n',
  'Connection: Upgrade\r\n',
  'Expect: 100-continue\r\n',
  'TE: trailers\r\n',
  'Trailer: X-Sum\r\n',
  'Cookie: a=b\r\n',
  'X: y\r\n',
  'X : y\r\n',
  ' folded\r\n',
  'X\r\n',
  ':\r\n',
  '5\r\nhello\r\n',
  '0\r\n\r\n',
  '0\r\n',
  '5;a=b\r\nhello\r\n',
  '5 \r\n',
  '0x5\r\n',
  '5\n',
  'X-Sum: 1\r\n',
].map(latin1)

export const http1Words: readonly Buffer[] = words

/** A stream of one to three requests, valid or nearly. */
export function makeRequests(pick: Picker): Buffer {
  const parts: string[] = []
  for (let count = 1 + (pick.oneIn(3) ? pick.below(3) : 0); count > 0; count--) parts.push(makeRequest(pick))
  return latin1(parts.join(''))
}

/** Zero to two informational answers and a final one, valid or nearly. */
export function makeAnswer(pick: Picker): Buffer {
  let text = ''
  for (let count = pick.oneIn(4) ? pick.below(3) : 0; count > 0; count--)
    text += `HTTP/1.1 ${pick.of(['103 Early Hints', '100 Continue', '102', '199 x'])}\r\n${pick.of(['', 'Link: <a>\r\n'])}\r\n`
  const status = pick.of([
    '200 OK',
    '200 OK',
    '200 OK',
    '204 No Content',
    '304 Not Modified',
    '404 \xe9t\xe9',
    '500',
    '205 Reset',
    '101 Switching',
  ])
  const [framing, body] = makeBody(pick)
  const fields = makeFields(pick, [
    'Server: x',
    'Set-Cookie: a=1',
    'Date: Thu, 01 Jan 1970 00:00:00 GMT',
    'ETag: "x"',
    'X: \xff',
    'Keep-Alive: 5',
  ])
  return latin1(
    `${text}${pick.oneIn(8) ? 'HTTP/1.0' : 'HTTP/1.1'} ${status}\r\n${shuffled(pick, [...fields, ...framing])}\r\n${body}`,
  )
}

function makeRequest(pick: Picker): string {
  const method = pick.of([
    'GET',
    'GET',
    'POST',
    'PUT',
    'HEAD',
    'DELETE',
    'OPTIONS',
    'PATCH',
    'M-SEARCH',
    'TRACE',
    'CONNECT',
    'get',
    'PROPFIND',
  ])
  const target = pick.of([
    '/',
    '/',
    '/a?b=c',
    '*',
    'http://app.test/x',
    'https://app.test',
    'http://app.test?q',
    '/%2e%2e/',
    '/a b',
    '/\xe9',
    '//',
    '/"<>^`{|}\\',
  ])
  const version = pick.oneIn(6)
    ? 'HTTP/1.0'
    : pick.oneIn(16)
      ? pick.of(['HTTP/1.2', 'HTTP/2.0', 'http/1.1', 'HTTP/1.10', 'RTSP/1.0'])
      : 'HTTP/1.1'
  const host = pick.oneIn(12)
    ? pick.of(['', 'Host:', 'Host: b, c', 'Host: 127.0.0.1', 'Host: app.test\r\nHost: app.test'])
    : pick.of(['Host: app.test', 'host:  App.Test.:8443 '])
  const [framing, body] = pick.oneIn(2) ? makeBody(pick) : [[], '']
  const extra = [
    'Cookie: a=b',
    'Accept: */*',
    'X-Forwarded-For: 1.2.3.4',
    'Expect: 100-continue',
    'Upgrade: websocket',
    'Connection: Upgrade',
    'TE: trailers',
  ]
  const fields = makeFields(pick, extra)
  return `${pick.oneIn(16) ? '\r\n' : ''}${method} ${target} ${version}\r\n${shuffled(pick, [host, ...fields, ...framing])}\r\n${body}`
}

function makeFields(pick: Picker, some: readonly string[]): string[] {
  const fields: string[] = []
  for (let count = pick.below(4); count > 0; count--) fields.push(pick.of(some))
  if (pick.oneIn(4))
    fields.push(
      pick.of([
        'Connection: close',
        'Connection: keep-alive',
        'Connection: keep-alive, close',
        'Connection: x-named',
        'Connection: ,,close',
        'Connection: "x"',
      ]),
    )
  if (pick.oneIn(4))
    fields.push(pick.of(['X-Named: 1', 'X: a\tb', 'X:', 'X: \t ', 'x-a: b:c', 'X: "\\"', "!#$%&'*+-.^_`|~: x"]))
  return fields
}

function makeBody(pick: Picker): [string[], string] {
  const data = 'hello world'.slice(0, pick.below(12))
  const lie = pick.oneIn(10) ? pick.of([-1, 1, 3]) : 0
  switch (pick.below(3)) {
    case 0:
      return [[`Content-Length: ${Math.max(0, data.length + lie)}`], data]
    case 1:
      return [['Transfer-Encoding: chunked'], makeChunks(pick, data, lie)]
    default:
      return [pick.oneIn(8) ? ['Content-Length: 3', 'Transfer-Encoding: chunked'] : [], data]
  }
}

/** A chunked body, now and then with a size that lies. */
export function makeChunks(pick: Picker, data: string, lie: number): string {
  let text = ''
  for (let at = 0; at < data.length; ) {
    const size = Math.min(data.length - at, 1 + pick.below(6))
    const written = Math.max(0, size + (pick.oneIn(3) ? lie : 0))
    const digits = pick.oneIn(4) ? `00${written.toString(16).toUpperCase()}` : written.toString(16)
    const extension = pick.oneIn(5) ? pick.of([';a', ';a=b', ';a="b\\"c";d', '; a', ';', ';a=', ';a="']) : ''
    text += `${digits}${extension}\r\n${data.slice(at, at + size)}\r\n`
    at += size
  }
  const trailers = pick.oneIn(4)
    ? pick.of(['X-Sum: 1\r\n', 'Content-Length: 5\r\n', 'X-Sum: 1\r\nX-Two: 2\r\n', 'Bad\r\n', ' folded\r\n'])
    : ''
  return `${text}${pick.oneIn(6) ? '000' : '0'}\r\n${trailers}\r\n`
}

function shuffled(pick: Picker, lines: readonly string[]): string {
  const rest = [...lines]
  let text = ''
  while (rest.length > 0) {
    const [line] = rest.splice(pick.below(rest.length), 1)
    if (line !== '') text += `${line}\r\n`
  }
  return text
}
