import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { blockOf, releaseBlock } from '../http1/field-block.ts'
import { ErrorCode } from './error-code.ts'
import { HpackDecoder } from './hpack-decoder.ts'
import { HpackEncoder, PseudoIndex } from './hpack-encoder.ts'
import { huffmanDecode, huffmanEncode, huffmanLength } from './huffman.ts'
import { type HeadLimits, ReceivedHead, releaseFields } from './received-head.ts'

const limits: HeadLimits = {
  headBytesMax: 16_384,
  headFieldsMax: 100,
  uriBytesMax: 8_192,
  headerBlockBytesMax: 65_536,
  headerListBytesMax: 262_144,
  headerTableBytes: 4_096,
}

class Decoding {
  readonly decoder: HpackDecoder
  readonly head: ReceivedHead

  constructor(tableBytes = 4_096, over: Partial<HeadLimits> = {}) {
    this.decoder = new HpackDecoder(tableBytes)
    this.head = new ReceivedHead({ ...limits, ...over })
  }

  run(block: Buffer): number {
    this.head.start()
    return this.decoder.decode(block, 0, block.length, this.head)
  }

  /** Decodes a block that must be right. */
  pairs(hex: string): string[] {
    assert.equal(this.run(bytes(hex)), ErrorCode.none)
    return this.taken()
  }

  taken(): string[] {
    const { head } = this
    const pseudo: string[] = []
    if (head.status) pseudo.push(':status', String(head.status))
    for (const name of ['method', 'scheme', 'authority', 'protocol'] as const)
      if (head[name] !== '') pseudo.push(`:${name}`, head[name])
    const fields = head.takeFields()
    if (head.pathEnd > 0) pseudo.push(':path', fields.bytes.toString('latin1', head.pathStart, head.pathEnd))
    const pairs = [...pseudo, ...fields.pairs()]
    // Each line is what HTTP/1.1 would say.
    for (let i = 0; i < fields.count; i++) {
      const line = fields.bytes.toString('latin1', fields.lineStart(i), fields.lineEnd(i))
      assert.equal(line, `${fields.name(i)}: ${fields.value(i)}\r\n`)
    }
    releaseFields(fields)
    return pairs
  }
}

function bytes(hex: string): Buffer {
  return Buffer.from(hex.replaceAll(' ', ''), 'hex')
}

/** A literal without index and without Huffman coding. */
function literal(name: string, value: string, first = 0x00): Buffer {
  const [n, v] = [Buffer.from(name, 'latin1'), Buffer.from(value, 'latin1')]
  return Buffer.concat([Buffer.of(first), integer(n.length), n, integer(v.length), v])
}

function integer(value: number, prefix = 0x7f, first = 0): Buffer {
  if (value < prefix) return Buffer.of(first | value)
  const out = [first | prefix]
  let rest = value - prefix
  for (; rest >= 128; rest >>>= 7) out.push(0x80 | (rest & 0x7f))
  return Buffer.from([...out, rest])
}

const www = [':method', 'GET', ':scheme', 'http', ':authority', 'www.example.com', ':path', '/']

test('the examples of RFC 7541, C.2: each representation', () => {
  const one = new Decoding()
  assert.deepEqual(one.pairs('400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572'), [
    'custom-key',
    'custom-header',
  ])
  assert.equal(one.decoder.table.size, 55)
  const two = new Decoding()
  assert.deepEqual(two.pairs('040c 2f73 616d 706c 652f 7061 7468'), [':path', '/sample/path'])
  assert.deepEqual(two.pairs('1008 7061 7373 776f 7264 0673 6563 7265 74'), ['password', 'secret'])
  assert.deepEqual(two.pairs('82'), [':method', 'GET'])
  assert.equal(two.decoder.table.size, 0)
})

for (const [title, blocks] of [
  [
    'C.3',
    [
      '8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
      '8286 84be 5808 6e6f 2d63 6163 6865',
      '8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65',
    ],
  ],
  [
    'C.4',
    [
      '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff',
      '8286 84be 5886 a8eb 1064 9cbf',
      '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf',
    ],
  ],
] as const) {
  test(`the examples of RFC 7541, ${title}: requests`, () => {
    const decoding = new Decoding()
    assert.deepEqual(decoding.pairs(blocks[0]), www)
    assert.equal(decoding.decoder.table.size, 57)
    assert.deepEqual(decoding.pairs(blocks[1]), [...www, 'cache-control', 'no-cache'])
    assert.equal(decoding.decoder.table.size, 110)
    const last = [':method', 'GET', ':scheme', 'https', ':authority', 'www.example.com', ':path', '/index.html']
    assert.deepEqual(decoding.pairs(blocks[2]), [...last, 'custom-key', 'custom-value'])
    assert.equal(decoding.decoder.table.size, 164)
  })
}

for (const [title, blocks] of [
  [
    'C.5',
    [
      '4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
      '4803 3330 37c1 c0bf',
      '88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31',
    ],
  ],
  [
    'C.6',
    [
      '4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3',
      '4883 640e ffc1 c0bf',
      '88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07',
    ],
  ],
] as const) {
  test(`the examples of RFC 7541, ${title}: answers, with entries pushed out`, () => {
    const decoding = new Decoding(256)
    const date = (second: number): string[] => ['date', `Mon, 21 Oct 2013 20:13:${second} GMT`]
    const shared = ['cache-control', 'private']
    const location = ['location', 'https://www.example.com']
    assert.deepEqual(decoding.pairs(blocks[0]), [':status', '302', ...shared, ...date(21), ...location])
    assert.equal(decoding.decoder.table.size, 222)
    assert.deepEqual(decoding.pairs(blocks[1]), [':status', '307', ...shared, ...date(21), ...location])
    assert.equal(decoding.decoder.table.size, 222)
    const cookie = ['set-cookie', 'foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1']
    assert.deepEqual(decoding.pairs(blocks[2]), [
      ':status',
      '200',
      ...shared,
      ...date(22),
      ...location,
      'content-encoding',
      'gzip',
      ...cookie,
    ])
    assert.equal(decoding.decoder.table.size, 215)
  })
}

test('the Huffman code takes every byte there and back', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (text) => {
      const coded = Buffer.alloc(huffmanLength(text, 0, text.length))
      assert.equal(huffmanEncode(text, 0, text.length, coded, 0), coded.length)
      const out = Buffer.alloc(coded.length * 2 + 8)
      assert.deepEqual(out.subarray(0, huffmanDecode(coded, 0, coded.length, out, 0)), Buffer.from(text))
    }),
  )
})

test('Huffman padding must be the beginning of the end-of-string symbol, and shorter than a byte', () => {
  const out = Buffer.alloc(64)
  const decode = (...coded: number[]): number => huffmanDecode(Buffer.from(coded), 0, coded.length, out, 0)
  assert.equal(decode(0b00000_111), 1)
  assert.equal(decode(0b00000_110), -1, 'padding that is not ones')
  assert.equal(decode(0b00000_111, 0xff), -1, 'eleven bits of padding')
  assert.equal(decode(0xff), -1, 'eight bits of padding')
  assert.equal(decode(0xff, 0xff, 0xff, 0xff), -1, 'the end-of-string symbol itself')
  assert.equal(decode(0xff, 0xff, 0xff, 0xfc, 0b00000_111), -1, 'the end-of-string symbol before text')
  assert.equal(decode(), 0)
})

const limitsOfIntegers: [string, string][] = [
  ['index 0', '80'],
  ['an index beyond the table', 'be'],
  ['an index far beyond any table', 'ff80808080'],
  ['an integer that never ends', 'ffffffffffffffffff'],
  ['an integer padded with zeros', 'ff8080808000'],
  ['an integer cut off', 'ff80'],
  ['a name index beyond the table', '7f0100'],
  ['a string longer than the block', '000161 05 61'],
  ['a string of four gigabytes', '0001617fffffffff0f'],
  ['a value missing', '000161'],
  ['a table larger than allowed', '3fe21f'],
  ['a change of the table after a field', '8220'],
]
for (const [what, hex] of limitsOfIntegers) {
  test(`a block is refused for ${what}`, () => {
    const decoding = new Decoding()
    assert.equal(decoding.run(bytes(hex)), ErrorCode.compression)
    decoding.head.drop()
  })
}

test('the table may be made smaller and larger at the start of a block', () => {
  const decoding = new Decoding()
  decoding.pairs('400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572')
  assert.deepEqual(decoding.pairs('20 3fe11f 82'), [':method', 'GET'])
  assert.equal(decoding.decoder.table.count, 0)
})

test('an entry larger than the table empties it', () => {
  const decoding = new Decoding(64)
  decoding.pairs('400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572')
  assert.equal(decoding.run(literal('x-long', 'v'.repeat(80), 0x40)), ErrorCode.none)
  assert.deepEqual(decoding.taken(), ['x-long', 'v'.repeat(80)])
  assert.equal(decoding.decoder.table.count, 0)
})

test('a name may be taken from an entry that its own insertion pushes out', () => {
  const decoding = new Decoding(64)
  decoding.run(literal('x-name', 'first', 0x40))
  decoding.head.drop()
  assert.equal(decoding.run(Buffer.concat([Buffer.of(0x7e), integer(6), Buffer.from('second')])), ErrorCode.none)
  assert.deepEqual(decoding.taken(), ['x-name', 'second'])
})

test('a small block that unfolds without end is given up', () => {
  const decoding = new Decoding()
  const entry = literal('x-bomb', 'b'.repeat(4_000), 0x40)
  const small = Buffer.concat([entry, Buffer.alloc(20, 0xbe)])
  assert.equal(decoding.run(small), ErrorCode.none)
  assert.equal(decoding.head.tooLarge, true)
  decoding.head.drop()
  assert.equal(decoding.run(Buffer.alloc(60, 0xbe)), ErrorCode.none)
  decoding.head.drop()
  assert.equal(decoding.run(Buffer.alloc(70, 0xbe)), ErrorCode.enhanceYourCalm)
  decoding.head.drop()
})

test('too many fields and too long a path are noted, and the decoder goes on', () => {
  const decoding = new Decoding()
  const many = Buffer.concat(Array.from({ length: 101 }, (_, i) => literal(`x-${i}`, 'v')))
  assert.equal(decoding.run(Buffer.concat([many, literal('x-kept', 'v', 0x40)])), ErrorCode.none)
  assert.equal(decoding.head.tooMany, true)
  decoding.head.drop()
  assert.deepEqual(decoding.pairs('be'), ['x-kept', 'v'])
  assert.equal(
    decoding.run(Buffer.concat([Buffer.of(0x04), integer(8_193), Buffer.alloc(8_193, 0x2f)])),
    ErrorCode.none,
  )
  assert.equal(decoding.head.pathTooLong, true)
  decoding.head.drop()
})

for (const [what, block] of [
  ['an upper-case letter in a name', literal('X-a', '1')],
  ['an empty name', literal('', '1')],
  ['a space in a name', literal('a b', '1')],
  ['CR LF in a value', literal('a', '1\r\nhost: evil')],
  ['NUL in a value', literal('a', '\0')],
  ['a space before a value', literal('a', ' 1')],
  ['a tab after a value', literal('a', '1\t')],
  ['connection', literal('connection', 'close')],
  ['keep-alive', literal('keep-alive', '1')],
  ['proxy-connection', literal('proxy-connection', 'close')],
  ['transfer-encoding', literal('transfer-encoding', 'chunked')],
  ['upgrade', literal('upgrade', 'h2c')],
  ['te other than trailers', literal('te', 'gzip')],
  ['an unknown pseudo-header field', literal(':x', '1')],
  ['a repeated pseudo-header field', Buffer.of(0x82, 0x83)],
  ['a pseudo-header field after another field', Buffer.of(0x90, 0x82)],
  ['a method that is no token', literal(':method', 'G T')],
  ['an empty path', literal(':path', '')],
  ['a status of two digits', literal(':status', '20')],
] as [string, Buffer][]) {
  test(`a message with ${what} is malformed, new or from the table`, () => {
    const decoding = new Decoding()
    assert.equal(decoding.run(block), ErrorCode.none)
    assert.equal(decoding.head.malformed, true)
    decoding.head.drop()
    // The same as an entry, put there and used.
    if (block[0] !== 0) return
    const entry = Buffer.from(block)
    entry[0] = 0x40
    assert.equal(decoding.run(entry), ErrorCode.none)
    decoding.head.drop()
    assert.equal(decoding.run(Buffer.of(0xbe)), ErrorCode.none)
    assert.equal(decoding.head.malformed, true)
    decoding.head.drop()
  })
}

test('te: trailers and bytes above 127 may pass', () => {
  const decoding = new Decoding()
  assert.equal(decoding.run(Buffer.concat([literal('te', 'trailers'), literal('x-name', 'caf\xe9')])), ErrorCode.none)
  assert.deepEqual(decoding.taken(), ['te', 'trailers', 'x-name', 'caf\xe9'])
})

for (const path of ['a', '//a b', '/a#b', '/\x7f', '/\xe9', '**', 'http://a/'])
  test(`the path ${JSON.stringify(path)} is no path`, () => {
    const decoding = new Decoding()
    assert.equal(decoding.run(literal(':path', path)), ErrorCode.none)
    assert.deepEqual([decoding.head.badPath, decoding.head.malformed], [true, false])
    decoding.head.drop()
  })

test('cookie crumbs become one Cookie field, wherever they stand', () => {
  const crumb = fc.record({ name: fc.constant('cookie'), value: fc.stringMatching(/^[a-z]{1,40}=[a-z0-9]{0,60}$/) })
  const other = fc.record({
    name: fc.constantFrom('x-a', 'accept', 'user-agent'),
    value: fc.stringMatching(/^[a-z]{0,20}$/),
  })
  const field = fc.record({ kind: fc.constantFrom(0x00, 0x40), field: fc.oneof(crumb, other) })
  fc.assert(
    fc.property(fc.array(field, { maxLength: 30 }), (fields) => {
      const decoding = new Decoding()
      const block = Buffer.concat(fields.map(({ kind, field: { name, value } }) => literal(name, value, kind)))
      assert.equal(decoding.run(block), ErrorCode.none)
      const pairs = decoding.taken()
      const cookies = fields.filter(({ field: { name } }) => name === 'cookie').map(({ field }) => field.value)
      const rest = fields
        .filter(({ field: { name } }) => name !== 'cookie')
        .flatMap(({ field: { name, value } }) => [name, value])
      const at = pairs.indexOf('cookie')
      assert.equal(at < 0 ? undefined : pairs[at + 1], cookies.length === 0 ? undefined : cookies.join('; '))
      if (at >= 0) pairs.splice(at, 2)
      assert.deepEqual(pairs, rest)
    }),
  )
})

test('what is encoded decodes to the same, block after block, as tables fill and change their size', () => {
  const name = fc.oneof(
    fc.stringMatching(/^x-[a-z0-9-]{1,20}$/),
    fc.constantFrom(
      'content-type',
      'Server',
      'set-cookie',
      'VARY',
      'etag',
      'location',
      'Last-Modified',
      'age',
      'x-frame-options',
    ),
  )
  const value = fc.oneof(
    fc.constantFrom('text/html', 'gzip', 'max-age=60', 'nosniff'),
    fc.stringMatching(/^([!-~]([ -~]{0,80}[!-~])?)?$/),
  )
  const block = fc.record({
    table: fc.option(fc.constantFrom(0, 100, 1_000, 4_096), { nil: undefined, freq: 4 }),
    status: fc.integer({ min: 100, max: 599 }),
    fields: fc.array(fc.tuple(name, value), { maxLength: 12 }),
  })
  fc.assert(
    fc.property(fc.array(block, { maxLength: 12 }), (blocks) => {
      const encoder = new HpackEncoder(4_096)
      const decoding = new Decoding(4_096)
      const out = Buffer.alloc(16_384)
      for (const { table, status, fields } of blocks) {
        if (table !== undefined) encoder.allowTable(table)
        const sent = blockOf(fields.flat())
        encoder.start(out, 0)
        encoder.status(status)
        encoder.fields(sent, 0)
        releaseBlock(sent)
        assert.equal(decoding.run(out.subarray(0, encoder.at)), ErrorCode.none)
        const expected = fields.flatMap(([n, v]) => [n.toLowerCase(), v])
        assert.deepEqual(decoding.taken(), [':status', String(status), ...expected])
      }
    }),
    { numRuns: 300 },
  )
})

test('an answer like the one before it takes a few bytes; secrets never enter the table', () => {
  const encoder = new HpackEncoder(4_096)
  const out = Buffer.alloc(4_096)
  const fields = blockOf(['Content-Type', 'text/html; charset=utf-8', 'Server', 'hosted', 'X-Frame-Options', 'DENY'])
  const sizes = [0, 0, 0].map(() => {
    encoder.start(out, 0)
    encoder.status(200)
    encoder.fields(fields, 0)
    return encoder.at
  })
  assert.equal(sizes[2], 4)
  const secrets = blockOf(['Set-Cookie', 'a=1', 'Authorization', 'Bearer x'])
  for (let i = 0; i < 3; i++) {
    encoder.start(out, 0)
    encoder.fields(secrets, 0)
    assert.equal((out[0] as number) & 0xf0, 0x10, 'never indexed')
  }
})

test('a table made smaller and larger again is told as both, so that the peer empties its own', () => {
  const encoder = new HpackEncoder(4_096)
  const out = Buffer.alloc(64)
  encoder.allowTable(0)
  encoder.allowTable(100_000)
  encoder.start(out, 0)
  encoder.status(200)
  assert.equal(out.toString('hex', 0, encoder.at), '203fe11f88')
  encoder.start(out, 0)
  encoder.status(204)
  assert.equal(out.toString('hex', 0, encoder.at), '89')
})

test('dropped fields and those of one connection are not encoded', () => {
  const encoder = new HpackEncoder(4_096)
  const decoding = new Decoding()
  const out = Buffer.alloc(4_096)
  const fields = blockOf(['Connection', 'close', 'Transfer-Encoding', 'chunked', 'A', '1', 'B', '2'])
  fields.dropped[3] = 1
  encoder.start(out, 0)
  encoder.fields(fields, 2)
  assert.equal(decoding.run(out.subarray(0, encoder.at)), ErrorCode.none)
  assert.deepEqual(decoding.taken(), ['a', '1'])
})

test('requests are encoded by index where the static table has them, and authorities get an entry', () => {
  const encoder = new HpackEncoder(4_096)
  const decoding = new Decoding()
  const out = Buffer.alloc(4_096)
  const text = Buffer.from('GEThttpsapp.example.com/a?b=cPUT')
  for (let i = 0; i < 3; i++) {
    encoder.start(out, 0)
    encoder.pseudo(PseudoIndex.method, text, i === 2 ? 29 : 0, i === 2 ? 32 : 3)
    encoder.pseudo(PseudoIndex.scheme, text, 3, 8)
    encoder.pseudo(PseudoIndex.authority, text, 8, 23)
    encoder.pseudo(PseudoIndex.path, text, 23, 29)
    assert.equal(decoding.run(out.subarray(0, encoder.at)), ErrorCode.none)
    const method = i === 2 ? 'PUT' : 'GET'
    assert.deepEqual(decoding.taken(), [
      ':method',
      method,
      ':scheme',
      'https',
      ':authority',
      'app.example.com',
      ':path',
      '/a?b=c',
    ])
  }
  assert.equal(encoder.at, 5 + 1 + 1 + 8)
})

test('no bytes make the decoder throw, nor leave a bad line behind', () => {
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 20 }).map((part) => Buffer.from(part)),
    fc
      .tuple(
        fc.constantFrom('a', ':path', 'cookie', 'x-b'),
        fc.string({ maxLength: 20 }),
        fc.constantFrom(0, 0x40, 0x10),
      )
      .map(([n, v, f]) => literal(n, v, f)),
    fc.integer({ min: 0x80, max: 0xc8 }).map((byte) => Buffer.of(byte)),
  )
  fc.assert(
    fc.property(fc.array(fc.array(piece, { maxLength: 12 }), { maxLength: 6 }), (blocks) => {
      const decoding = new Decoding(256, {
        headBytesMax: 300,
        headFieldsMax: 8,
        uriBytesMax: 10,
        headerListBytesMax: 2_000,
      })
      for (const parts of blocks) {
        if (decoding.run(Buffer.concat(parts)) !== ErrorCode.none) return decoding.head.drop()
        for (const text of decoding.taken()) assert.doesNotMatch(text, /[\r\n\0]/)
      }
      return undefined
    }),
    { numRuns: 1_000 },
  )
})

test('a block cut off anywhere is either shorter or refused', () => {
  const whole = bytes('8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf')
  for (let end = 0; end < whole.length; end++) {
    const decoding = new Decoding()
    const error = decoding.run(whole.subarray(0, end))
    if (error === ErrorCode.none) assert.ok(decoding.taken().length < 10)
    else assert.equal(error, ErrorCode.compression)
  }
})
