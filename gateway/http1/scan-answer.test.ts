import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { inChunks, ScannedAnswer, scanAnswer, untilClose } from './scan-answer.ts'
import { needMore, Refusal } from './scan-fields.ts'

const limits = { headBytesMax: 32_768, headFieldsMax: 200 }

function scan(
  text: string,
  method = 'GET',
  changed: Partial<typeof limits> = {},
): { next: number; answer: ScannedAnswer } {
  const answer = new ScannedAnswer()
  const bytes = Buffer.from(text, 'latin1')
  return { next: scanAnswer(bytes, 0, bytes.length, answer, { ...limits, ...changed }, method), answer }
}

test('a head is read into its parts, and the offset of its body returned', () => {
  const text = 'HTTP/1.1 404 N\xf6t Found\r\nContent-Length: 5\r\nX-A:  b \r\n\r\nhello'
  const { next, answer } = scan(text)
  assert.equal(next, text.length - 5)
  assert.deepEqual([answer.status, answer.bodyBytes, answer.keepAlive, answer.nominates], [404, 5, true, false])
  assert.deepEqual(answer.fields.pairs(), ['Content-Length', '5', 'X-A', 'b'])
})

test('how long a body is', () => {
  const length = (status: string, fields: string, method?: string): number =>
    scan(`HTTP/1.1 ${status}\r\n${fields}\r\n`, method).answer.bodyBytes
  assert.equal(length('200 OK', 'Content-Length: 7\r\n'), 7)
  assert.equal(length('200 OK', 'Transfer-Encoding: chunked\r\n'), inChunks)
  assert.equal(length('200 OK', ''), untilClose)
  for (const bare of ['204 No Content', '304 Not Modified', '103 Early Hints'])
    assert.equal(length(bare, 'Content-Length: 7\r\n'), 0, bare)
  assert.equal(length('200 OK', 'Content-Length: 7\r\n', 'HEAD'), 0)
  assert.equal(length('200 OK', '', 'HEAD'), 0)
})

test('a length that must not stand there is left out: on 204 and informational answers, not on 304', () => {
  const fields = (status: number): string[] =>
    scan(`HTTP/1.1 ${status} x\r\nContent-Length: 7\r\n\r\n`).answer.fields.pairs()
  assert.deepEqual(fields(204), [])
  assert.deepEqual(fields(103), [])
  assert.deepEqual(fields(304), ['Content-Length', '7'])
})

test('whether the connection may be used again', () => {
  const keeps = (version: string, fields: string): boolean =>
    scan(`HTTP/${version} 200 OK\r\nContent-Length: 0\r\n${fields}\r\n`).answer.keepAlive
  assert.equal(keeps('1.1', ''), true)
  assert.equal(keeps('1.1', 'Connection: x, close\r\n'), false)
  assert.equal(keeps('1.0', ''), false)
  assert.equal(keeps('1.0', 'Connection: keep-alive\r\n'), true)
  assert.equal(scan('HTTP/1.1 200 OK\r\n\r\n').answer.keepAlive, false, 'a body that ends with it')
})

const refusals: [string, string, number][] = [
  ['what is not HTTP', '220 mail ready\r\n', Refusal.badStatusLine],
  ['another version', 'HTTP/2 200\r\n\r\n', Refusal.badStatusLine],
  ['a status of two digits', 'HTTP/1.1 20 OK\r\n\r\n', Refusal.badStatusLine],
  ['a status of four digits', 'HTTP/1.1 2000 OK\r\n\r\n', Refusal.badStatusLine],
  ['a status below 100', 'HTTP/1.1 099 x\r\n\r\n', Refusal.badStatus],
  ['a status above 599', 'HTTP/1.1 600 x\r\n\r\n', Refusal.badStatus],
  ['an informational answer of 1.0', 'HTTP/1.0 103 x\r\n\r\n', Refusal.badStatus],
  ['a control byte in the reason', 'HTTP/1.1 200 O\0K\r\n\r\n', Refusal.badStatusLine],
  ['a lone LF behind the status line', 'HTTP/1.1 200 OK\n\r\n', Refusal.bareLineEnd],
  ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n', Refusal.repeatedLength],
  ['a length that is none', 'HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n', Refusal.badLength],
  [
    'length and coding',
    'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
    Refusal.lengthAndCoding,
  ],
  ['another coding', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n', Refusal.badCoding],
  ['a coding in 1.0', 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', Refusal.codingIn10],
  ['a coding on 204', 'HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n', Refusal.codingIn10],
  ['a Connection that is no list', 'HTTP/1.1 200 OK\r\nConnection: (x)\r\n\r\n', Refusal.badConnection],
]
for (const [what, text, refusal] of refusals) {
  test(`refused: ${what}`, () => {
    assert.equal(scan(text).next, refusal)
    for (let end = 0; end < text.length; end++) {
      const { next } = scan(text.slice(0, end))
      assert.ok(next === needMore || next === refusal, `cut at ${end}: ${next}`)
    }
  })
}

test('limits hold, and a head without end is refused', () => {
  assert.equal(scan(`HTTP/1.1 200 ${'a'.repeat(200)}`, 'GET', { headBytesMax: 100 }).next, Refusal.headTooLarge)
  assert.equal(
    scan(`HTTP/1.1 200 OK\r\nA: ${'b'.repeat(200)}`, 'GET', { headBytesMax: 100 }).next,
    Refusal.headTooLarge,
  )
  assert.equal(scan(`HTTP/1.1 200 OK\r\n${'A: b\r\n'.repeat(201)}\r\n`).next, Refusal.tooManyFields)
})

test('no bytes make the scanner throw', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('HTTP/1.1 200 OK\r\n', 'HTTP/1.0 ', 'HTTP/1.1 1', ''),
      fc.string({ unit: 'binary' }),
      (start, rest) => {
        const { next } = scan(start + rest)
        assert.ok(Number.isInteger(next) && next <= start.length + rest.length)
      },
    ),
  )
})
