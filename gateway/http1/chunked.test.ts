import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ChunkedDecoder, lastChunk, writeChunkSize } from './chunked.ts'
import { Refusal } from './scan-fields.ts'

interface Decoded {
  body: string
  trailers: string[]
  done: boolean
  refusal: number
}

function decode(...pieces: (string | Buffer)[]): Decoded {
  const chunks = new ChunkedDecoder()
  let body = ''
  for (const piece of pieces) {
    const bytes = Buffer.from(piece as string, 'latin1')
    for (let at = 0; at < bytes.length && !chunks.done; ) {
      at = chunks.step(bytes, at, bytes.length)
      if (at < 0) return { body, trailers: [], done: false, refusal: at }
      body += bytes.toString('latin1', chunks.dataStart, chunks.dataEnd)
    }
  }
  return { body, trailers: chunks.trailers?.pairs() ?? [], done: chunks.done, refusal: 0 }
}

test('chunks are put together, wherever the bytes are cut', () => {
  const text = '5\r\nhello\r\n00006;a=b;c="d\\"e"\r\n world\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\n'
  const whole = decode(text)
  assert.deepEqual(whole, { body: 'hello world', trailers: ['X-Sum', '1', 'Y', '2'], done: true, refusal: 0 })
  for (let at = 0; at <= text.length; at++)
    assert.deepEqual(decode(text.slice(0, at), text.slice(at)), whole, `cut at ${at}`)
  assert.deepEqual(decode(...text), whole)
})

test('what follows a body is left alone', () => {
  const bytes = Buffer.from('1\r\na\r\n0\r\n\r\nGET /')
  const chunks = new ChunkedDecoder()
  let at = 0
  while (!chunks.done) at = chunks.step(bytes, at, bytes.length)
  assert.equal(bytes.toString('latin1', at), 'GET /')
  chunks.reset()
  assert.equal(chunks.done, false)
})

test('what is written is read back, in chunks of any size', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { maxLength: 10 }), (parts) => {
      const line = Buffer.alloc(12)
      const written = parts.flatMap((part) => [
        Buffer.from(line.subarray(0, writeChunkSize(line, 0, part.length))),
        Buffer.from(part),
        Buffer.from('\r\n'),
      ])
      const read = decode(Buffer.concat([...written, lastChunk]))
      assert.equal(read.body, Buffer.concat(parts).toString('latin1'))
      assert.ok(read.done)
    }),
  )
})

test('a size is written in as many digits as it takes, and at most ten bytes with its line end', () => {
  const written = (size: number): string => {
    const out = Buffer.alloc(12)
    return out.toString('latin1', 0, writeChunkSize(out, 0, size))
  }
  assert.equal(written(1), '1\r\n')
  assert.equal(written(16), '10\r\n')
  assert.equal(written(0xabcdef), 'abcdef\r\n')
  assert.equal(written(0xffff_ffff), 'ffffffff\r\n')
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 0xffff_ffff }), (size) =>
      assert.equal(written(size), `${size.toString(16)}\r\n`),
    ),
  )
})

const refusals: [string, string, number][] = [
  ['no size', '\r\nhello\r\n', Refusal.badChunk],
  ['a sign', '-5\r\nhello\r\n', Refusal.badChunk],
  ['a prefix of hexadecimal', '0x5\r\nhello\r\n', Refusal.badChunk],
  ['a space behind the size', '5 \r\nhello\r\n', Refusal.badChunk],
  ['more digits than are exact', '00000000005\r\nhello\r\n', Refusal.badChunk],
  ['a lone LF behind the size', '5\nhello\r\n', Refusal.badChunk],
  ['a lone CR behind the size', '5\rhello\r\n', Refusal.bareLineEnd],
  ['a chunk longer than its size', '3\r\nhello\r\n', Refusal.badChunk],
  ['a lone LF behind a chunk', '5\r\nhello\n0\r\n\r\n', Refusal.badChunk],
  ['an extension without a name', '5;=b\r\nhello\r\n', Refusal.badChunk],
  ['a line end within quotes', '5;a="b\r\nhello\r\n', Refusal.badChunk],
  ['white space in an extension', '5; a\r\nhello\r\n', Refusal.badChunk],
  ['extensions without end', `5;${'a'.repeat(5_000)}\r\nhello\r\n`, Refusal.badChunk],
  ['trailers without end', `0\r\nA: ${'b'.repeat(9_000)}`, Refusal.headTooLarge],
  ['too many trailers', `0\r\n${'A: b\r\n'.repeat(65)}\r\n`, Refusal.tooManyFields],
  ['a folded trailer', '0\r\nA: b\r\n c\r\n\r\n', Refusal.folded],
  ['a length among trailers', '0\r\nContent-Length: 5\r\n\r\n', Refusal.badChunk],
  ['a coding among trailers', '0\r\nTransfer-Encoding: chunked\r\n\r\n', Refusal.badChunk],
]
for (const [what, text, refusal] of refusals) {
  test(`refused: ${what}`, () => {
    assert.equal(decode(text).refusal, refusal)
    assert.equal(decode(...text).refusal, refusal)
  })
}

test('no bytes make the decoder throw or stand still', () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom('5', '0', '\r\n', '\r', '\n', ';', 'a', '=', '"', '\\', 'hello', 'A: b', ' ', '\0')),
      (words) => {
        const text = words.join('')
        assert.ok(decode(text).body.length <= text.length)
      },
    ),
    { numRuns: 1_000 },
  )
})
