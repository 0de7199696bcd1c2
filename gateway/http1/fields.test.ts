import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { dropNominated, Option, readConnection } from './connection-options.ts'
import { blockOf, codeAt, FieldBlock, releaseBlock, takeBlock } from './field-block.ts'
import { aboutClientCode, codeOf, dropToHost, Field, fieldRules, knownNames } from './known-fields.ts'
import { equalsLower, needMore, parseLength, Refusal, refusalTexts, scanFields } from './scan-fields.ts'

const name = fc.stringMatching(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,20}$/)
const value = fc.stringMatching(/^([\x21-\x7e\x80-\xff]([\t\x20-\x7e\x80-\xff]{0,20}[\x21-\x7e\x80-\xff])?)?$/)
const pairs = fc.array(fc.tuple(name, value), { maxLength: 30 }).map((list) => list.flat())
const random = (items: readonly unknown[]): string => JSON.stringify(items)

function scan(text: string, fieldsMax = 200): { next: number; block: FieldBlock } {
  const bytes = Buffer.from(text, 'latin1')
  const block = takeBlock()
  block.reset(bytes)
  return { next: scanFields(bytes, 0, bytes.length, block, fieldsMax), block }
}

test('what a block holds is scanned back the same from its lines', () => {
  fc.assert(
    fc.property(pairs, (list) => {
      const block = blockOf(list)
      const out = Buffer.alloc(block.end + 2)
      const end = block.writeKept(out, 0)
      assert.equal(end, block.end)
      out.write('\r\n', end)
      const scanned = scan(out.toString('latin1'))
      assert.equal(scanned.next, out.length)
      assert.deepEqual(scanned.block.pairs(), list)
      assert.deepEqual(
        Array.from(scanned.block.code.subarray(0, scanned.block.count)),
        Array.from(block.code.subarray(0, block.count)),
      )
      releaseBlock(block)
      releaseBlock(scanned.block)
    }),
  )
})

test('only what is not dropped is written, in its order, and copies say the same', () => {
  fc.assert(
    fc.property(pairs, fc.array(fc.boolean(), { maxLength: 30 }), (list, dropped) => {
      const block = blockOf(list)
      for (let i = 0; i < block.count; i++) block.dropped[i] = Number(dropped[i] ?? false)
      const kept = list.filter((_, i) => !dropped[i >> 1])
      const out = Buffer.alloc(block.end)
      const text = out.toString('latin1', 0, block.writeKept(out, 0))
      assert.equal(text, kept.map((part, i) => (i % 2 === 0 ? `${part}: ` : `${part}\r\n`)).join(''), random(list))
      const copy = block.copy()
      block.bytes.fill(0xdb)
      assert.deepEqual(copy.pairs(), kept)
      assert.equal(copy.writeKept(out, 0), text.length)
      releaseBlock(block)
      releaseBlock(copy)
    }),
  )
})

test('fields cut off anywhere ask for more, and never read past their end', () => {
  const text = 'Host: app.test\r\nX:y\r\nContent-Length:  5 \r\n\r\n'
  for (let end = 0; end < text.length; end++) assert.equal(scan(text.slice(0, end)).next, needMore, `at ${end}`)
  assert.equal(scan(`${text}Host`).next, text.length)
})

const refusals: [string, string, number][] = [
  ['a folded line', 'A: b\r\n c\r\n\r\n', Refusal.folded],
  ['a tab before a name', '\tA: b\r\n\r\n', Refusal.folded],
  ['a space before the colon', 'A : b\r\n\r\n', Refusal.badName],
  ['no colon', 'A\r\n\r\n', Refusal.badName],
  ['no name', ': b\r\n\r\n', Refusal.badName],
  ['a byte above 127 in a name', '\xe9: b\r\n\r\n', Refusal.badName],
  ['a lone LF behind a value', 'A: b\nC: d\r\n\r\n', Refusal.bareLineEnd],
  ['a lone LF as empty line', 'A: b\r\n\n', Refusal.bareLineEnd],
  ['a lone CR in a value', 'A: b\rC: d\r\n\r\n', Refusal.bareLineEnd],
  ['NUL in a value', 'A: b\0\r\n\r\n', Refusal.badValue],
  ['DEL in a value', 'A: b\x7f\r\n\r\n', Refusal.badValue],
  ['a vertical tab in a value', 'A: \x0bb\r\n\r\n', Refusal.badValue],
]
for (const [what, text, refusal] of refusals) {
  test(`refused: ${what}`, () => {
    const { next } = scan(text)
    assert.ok(next < 0 && [refusal, Refusal.badValue, Refusal.badName].includes(next), `${next}`)
    assert.equal(next, refusal)
  })
}

test('every refusal says something', () => {
  for (const code of Object.values(Refusal)) assert.ok(refusalTexts[code], String(code))
})

test('a length is 1 to 15 digits and nothing else', () => {
  const parse = (text: string): number => parseLength(Buffer.from(text, 'latin1'), 0, text.length)
  assert.equal(parse('0'), 0)
  assert.equal(parse('007'), 7)
  assert.equal(parse('999999999999999'), 999_999_999_999_999)
  for (const bad of ['', '-1', '+1', ' 1', '1 ', '1,1', '0x1', '1e1', '1.0', '1_0', '9999999999999999', '\u0661'])
    assert.equal(parse(bad), -1, bad)
})

test('every known name has a code of its own, in whatever case it is written, and no other name has one', () => {
  const code = (text: string): number => codeAt(Buffer.from(text, 'latin1'), 0, text.length)
  const seen = new Set<number>()
  for (const known of knownNames.slice(1)) {
    assert.equal(code(known), codeOf(known as 'host'))
    assert.equal(code(known.toUpperCase()), code(known))
    seen.add(code(known))
  }
  assert.equal(seen.size, knownNames.length - 1)
  fc.assert(
    fc.property(name, (text) => {
      const lower = text.toLowerCase()
      const prefixed = /^(x-forwarded|cf-|x-envoy-|x-amzn-|x-vercel-|x-goog-|x-ssl-)/.test(lower)
      const expected = Math.max(0, knownNames.indexOf(lower as 'host')) || (prefixed ? aboutClientCode : 0)
      assert.equal(code(text), expected, text)
    }),
    { numRuns: 500 },
  )
  // Characters that a careless comparison without case would take for letters.
  assert.equal(code('HOS\x14'), 0)
  assert.equal(code('[ost'), 0)
})

test('what tells of the client is never sent to hosts, however a proxy calls it', () => {
  for (const text of ['X-Forwarded-New-Thing', 'CF-Ray', 'x-envoy-original-path', 'X-Amzn-Trace-Id'])
    assert.ok((fieldRules[codeAt(Buffer.from(text), 0, text.length)] as number) & dropToHost, text)
})

test('comparing without case takes letters alone for letters', () => {
  const same = (text: string, lower: string): boolean =>
    equalsLower(Buffer.from(text, 'latin1'), 0, text.length, Buffer.from(lower))
  assert.ok(same('ChUnKeD', 'chunked'))
  assert.ok(!same('chunke', 'chunked'))
  assert.ok(!same('@', '`'))
  assert.ok(!same('\x0d', '-'))
})

test('options of a connection are read from any list of names, and nothing else is a list', () => {
  const read = (text: string): number => readConnection(Buffer.from(text, 'latin1'), 0, text.length)
  assert.equal(read(''), 0)
  assert.equal(read('close'), Option.close)
  assert.equal(read(' , Keep-Alive ,\tUPGRADE,, x-a'), Option.keepAlive | Option.upgrade | Option.other)
  assert.equal(read('TE, HTTP2-Settings'), 0)
  assert.equal(read('closed'), Option.other)
  for (const bad of ['"close"', 'a;b', 'close=1', '\xe9', 'a/b']) assert.equal(read(bad), Option.malformed, bad)
})

test('fields that Connection names are dropped, but not what keeps the request safe', () => {
  const block = blockOf([
    'X-A',
    '1',
    'Connection',
    'x-a , Host,content-length',
    'Host',
    'a',
    'Content-Length',
    '1',
    'Connection',
    'X-B',
    'x-b',
    '2',
    'X-C',
    '3',
    'X-A',
    '4',
  ])
  dropNominated(block)
  assert.deepEqual(block.pairs(), [
    'Connection',
    'x-a , Host,content-length',
    'Host',
    'a',
    'Content-Length',
    '1',
    'Connection',
    'X-B',
    'X-C',
    '3',
  ])
  releaseBlock(block)
})

test('a block that is full takes no more, and a released one is empty', () => {
  const block = new FieldBlock()
  block.reset(Buffer.from('A: b\r\n'))
  let added = 0
  while (block.add(0, 1, 3, 4, 0)) added++
  assert.equal(added, 256)
  releaseBlock(block)
  const again = takeBlock()
  assert.equal(again, block)
  assert.equal(again.count, 0)
  assert.equal(again.bytes.length, 0)
  releaseBlock(again)
})

test('a field is found by its code from any place on', () => {
  const block = blockOf(['A', '1', 'Cookie', 'x', 'B', '2', 'Cookie', 'y'])
  assert.deepEqual(
    [block.find(Field.cookie), block.find(Field.cookie, 2), block.find(Field.cookie, 4), block.find(Field.host)],
    [1, 3, -1, -1],
  )
  assert.equal(block.valueOf(Field.cookie), 'x')
  assert.ok(block.isNamed(0, 'a') && !block.isNamed(0, 'b'))
  releaseBlock(block)
})
