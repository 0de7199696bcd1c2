import assert from 'node:assert/strict'
import { test } from 'node:test'
import oracle from 'dns-packet'
import fc from 'fast-check'
import { addressToBytes, bytesToAddress } from './address.ts'
import { decodeMessage } from './decode-message.ts'
import { encodeMessage } from './encode-message.ts'
import { type DnsMessage, type DnsRecord, type RecordData, recordTypes } from './message.ts'
import { nameFromText, nameKey, nameToText, type WireName } from './name.ts'

const labelText = fc
  .array(fc.integer({ min: 0x61, max: 0x7a }), { minLength: 1, maxLength: 20 })
  .map((codes) => String.fromCharCode(...codes))
const dottedName = fc.array(labelText, { minLength: 1, maxLength: 6 }).map((labels) => labels.join('.'))
const wireName = dottedName.map((text) => nameFromText(text) as WireName)
/** Names whose labels hold any bytes, dots and zeros included. */
const binaryName = fc
  .array(fc.uint8Array({ minLength: 1, maxLength: 63 }), { maxLength: 3 })
  .map((labels): WireName => Buffer.concat([...labels.flatMap((l) => [Buffer.from([l.length]), l]), Buffer.from([0])]))
const bytes = (max: number) => fc.uint8Array({ maxLength: max }).map((b) => Buffer.from(b))
const u16 = fc.integer({ min: 0, max: 0xffff })
const u32 = fc.integer({ min: 0, max: 0xffff_ffff })

const recordData: fc.Arbitrary<{ type: number; data: RecordData }> = fc.oneof(
  fc.ipV4().map((address) => ({ type: 1, data: { kind: 'A' as const, address } })),
  fc.uint8Array({ minLength: 16, maxLength: 16 }).map((b) => ({
    type: 28,
    data: { kind: 'AAAA' as const, address: bytesToAddress(b) },
  })),
  wireName.map((target) => ({ type: 2, data: { kind: 'NS' as const, target } })),
  binaryName.map((target) => ({ type: 5, data: { kind: 'CNAME' as const, target } })),
  fc.array(bytes(255), { minLength: 1, maxLength: 4 }).map((strings) => ({
    type: 16,
    data: { kind: 'TXT' as const, strings },
  })),
  fc.tuple(wireName, wireName, u32).map(([primary, mailbox, serial]) => ({
    type: 6,
    data: {
      kind: 'SOA' as const,
      primary,
      mailbox,
      serial,
      times: { refresh: 1, retry: 2, expire: 3, minimum: serial },
    },
  })),
  fc.tuple(fc.constantFrom('issue', 'issuewild', 'iodef'), bytes(40)).map(([tag, value]) => ({
    type: 257,
    data: { kind: 'CAA' as const, flags: 128, tag, value },
  })),
  fc.tuple(u16, wireName, fc.uniqueArray(u16, { maxLength: 4 }), bytes(20)).map(([priority, target, keys, value]) => ({
    type: 65,
    data: {
      kind: 'HTTPS' as const,
      priority,
      target,
      params: keys.sort((a, b) => a - b).map((key) => ({ key, value })),
    },
  })),
  bytes(50).map((raw) => ({ type: 1000, data: { kind: 'raw' as const, bytes: raw } })),
)
const record: fc.Arbitrary<DnsRecord> = fc
  .tuple(fc.oneof(wireName, binaryName), fc.integer({ min: 0, max: 0x7fff_ffff }), recordData)
  .map(([name, ttl, { type, data }]) => ({ name, type, class: 1, ttl, data }))
const message: fc.Arbitrary<DnsMessage> = fc.record(
  {
    id: u16,
    response: fc.boolean(),
    opcode: fc.integer({ min: 0, max: 15 }),
    authoritative: fc.boolean(),
    truncated: fc.boolean(),
    recursionDesired: fc.boolean(),
    recursionAvailable: fc.boolean(),
    authenticData: fc.boolean(),
    checkingDisabled: fc.boolean(),
    rcode: fc.integer({ min: 0, max: 15 }),
    questions: fc.array(
      fc.record({ name: fc.oneof(wireName, binaryName), type: u16, class: u16 }, { noNullPrototype: true }),
      { maxLength: 2 },
    ),
    answers: fc.array(record, { maxLength: 5 }),
    authorities: fc.array(record, { maxLength: 3 }),
    additionals: fc.array(record, { maxLength: 3 }),
    edns: fc.option(
      fc.record(
        {
          version: fc.integer({ min: 0, max: 255 }),
          udpPayloadBytes: u16,
          dnssecOk: fc.boolean(),
          options: fc.array(fc.record({ code: u16, data: bytes(20) }, { noNullPrototype: true }), { maxLength: 3 }),
        },
        { noNullPrototype: true },
      ),
      { nil: undefined },
    ),
  },
  { noNullPrototype: true },
)

test('decoding undoes encoding for every message', () => {
  fc.assert(fc.property(message, (value) => assert.deepEqual(decodeMessage(encodeMessage(value)), value)))
})

test('an extended rcode is split over the header and the OPT record', () => {
  const value: DnsMessage = { ...query('a.test', 1), rcode: 16, edns: edns() }
  const back = decodeMessage(encodeMessage(value))
  assert.ok(!('malformed' in back))
  assert.equal(back.rcode, 16)
})

test('no bytes make decoding throw, random or mutated', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 600 }), (raw) => void decodeMessage(Buffer.from(raw))))
  const mutation = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 6 })
  fc.assert(
    fc.property(message, mutation, fc.nat(), (value, changes, cut) => {
      const packet = encodeMessage(value)
      for (const [at, byte] of changes) packet[at % packet.length] = byte
      void decodeMessage(packet.subarray(0, packet.length - (cut % 3)))
    }),
    { numRuns: 300 },
  )
})

test('an independent codec reads what we write', () => {
  fc.assert(
    fc.property(dottedName, fc.ipV4(), u16, (name, address, id) => {
      const ours: DnsMessage = {
        ...query(name, 1),
        id,
        response: true,
        answers: Array.from({ length: 3 }, () => ({
          name: nameFromText(name) as WireName,
          type: 1,
          class: 1,
          ttl: 60,
          data: { kind: 'A' as const, address },
        })),
      }
      const theirs = oracle.decode(encodeMessage(ours))
      assert.equal(theirs.id, id)
      assert.equal(theirs.questions?.[0]?.name, name)
      assert.deepEqual(
        theirs.answers?.map((a) => (a.type === 'A' ? `${a.name} ${a.data}` : '')),
        Array.from({ length: 3 }, () => `${name} ${address}`),
      )
    }),
  )
})

test('we read what an independent codec writes', () => {
  fc.assert(
    fc.property(dottedName, dottedName, (name, target) => {
      const packet = oracle.encode({
        type: 'response',
        id: 7,
        questions: [{ name, type: 'CNAME', class: 'IN' }],
        answers: [
          { name, type: 'CNAME', class: 'IN', ttl: 9, data: target },
          { name: target, type: 'TXT', class: 'IN', ttl: 9, data: ['a', 'b'] },
          { name: target, type: 'CAA', ttl: 9, data: { flags: 0, tag: 'issue', value: 'ca.test' } },
        ],
      })
      const ours = decodeMessage(packet)
      assert.ok(!('malformed' in ours))
      const [cname, txt, caa] = ours.answers.map((answer) => answer.data)
      assert.equal(cname?.kind === 'CNAME' && nameToText(cname.target), target)
      assert.deepEqual(txt?.kind === 'TXT' && txt.strings.map(String), ['a', 'b'])
      assert.equal(caa?.kind === 'CAA' && `${caa.tag} ${caa.value}`, 'issue ca.test')
    }),
    { numRuns: 50 },
  )
})

test('text and wire form of a name undo each other, whatever bytes its labels hold', () => {
  fc.assert(fc.property(binaryName, (name) => assert.deepEqual(nameFromText(nameToText(name)), name)))
})

test('names that cannot exist are refused as text', () => {
  for (const text of ['', 'a..b', '.a', `${'a'.repeat(64)}.test`, `${'a.'.repeat(127)}aa`, 'bücher.test', 'a\\']) {
    assert.equal(nameFromText(text), undefined, text)
  }
  assert.equal(nameToText(nameFromText('a.b.') as WireName), 'a.b')
})

test('a dot inside a label is not a label boundary', () => {
  const one = nameFromText('a\\.b.test') as WireName
  const two = nameFromText('a.b.test') as WireName
  assert.notEqual(nameKey(one), nameKey(two))
  assert.equal(nameToText(one), 'a\\.b.test')
})

test('compression pointers that loop or point forwards are malformed, not endless', () => {
  const header = [0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]
  const cases: number[][] = [
    [0xc0, 12, 0, 1, 0, 1],
    [0xc0, 14, 0xc0, 12, 0, 1, 0, 1],
    [1, 97, 0xc0, 12, 0, 1, 0, 1],
    [0x46, 97, 0, 0, 1, 0, 1],
    [0xc0, 0, 0, 1, 0, 1],
  ]
  for (const tail of cases)
    assert.deepEqual(decodeMessage(Buffer.from([...header, ...tail])), { malformed: 'name', id: 1 })
})

test('a message of thousands of pointers to one long name costs under 20 ms', () => {
  const name = Buffer.concat([Buffer.from('0161'.repeat(126), 'hex'), Buffer.from([0])])
  const count = 500
  const head = Buffer.from([0, 1, 0x80, 0, 0, 1, count >> 8, count & 255, 0, 0, 0, 0])
  const question = Buffer.concat([name, Buffer.from([0, 1, 0, 1])])
  const answer = Buffer.from([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 0, 0, 2, 0xc0, 12])
  const packet = Buffer.concat([head, question, ...Array.from({ length: count }, () => answer)])
  const started = performance.now()
  const result = decodeMessage(packet)
  assert.ok(performance.now() - started < 20)
  assert.deepEqual(result, { malformed: 'limit', id: 1 })
})

test('64 KiB of empty strings or parameters end at a limit', () => {
  const record = (type: number, data: Buffer): Buffer => {
    const head = Buffer.from([0, 1, 0x80, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, type >> 8, type & 255, 0, 1, 0, 0, 0, 0, 0, 0])
    head.writeUInt16BE(data.length, 21)
    return Buffer.concat([head, data])
  }
  const params = Buffer.alloc(4 * 16_000)
  for (let key = 0; key < 16_000; key++) params.writeUInt16BE(key, key * 4)
  const options = record(41, Buffer.alloc(64_000))
  options.copyWithin(8, 6, 8)
  options.writeUInt16BE(0, 6)
  options.writeUInt16BE(1, 10)
  options.writeUInt16BE(0, 8)
  assert.deepEqual(decodeMessage(record(16, Buffer.alloc(65_000))), { malformed: 'limit', id: 1 })
  assert.deepEqual(decodeMessage(record(65, Buffer.concat([Buffer.alloc(3), params]))), { malformed: 'limit', id: 1 })
  assert.deepEqual(decodeMessage(options), { malformed: 'edns', id: 1 })
})

test('an answer that does not fit is replaced by TC, with the OPT record kept', () => {
  const strings = Array.from({ length: 6 }, () => Buffer.alloc(250, 0x61))
  const name = nameFromText('big.test') as WireName
  const big: DnsMessage = {
    ...query('big.test', recordTypes.TXT),
    response: true,
    edns: edns(),
    answers: [{ name, type: 16, class: 1, ttl: 1, data: { kind: 'TXT', strings } }],
  }
  const packet = encodeMessage(big, 1232)
  const back = decodeMessage(packet)
  assert.ok(!('malformed' in back) && packet.length <= 1232)
  assert.deepEqual([back.truncated, back.answers.length, back.edns?.version], [true, 0, 0])
})

test('five A records take the bytes of one name only', () => {
  const name = nameFromText('a-rather-long-label.example.test') as WireName
  const answers = Array.from({ length: 5 }, () => ({
    name,
    type: 1,
    class: 1,
    ttl: 1,
    data: { kind: 'A' as const, address: '192.0.2.1' },
  }))
  const packet = encodeMessage({ ...query('a-rather-long-label.example.test', 1), answers })
  assert.equal(packet.length, 12 + name.length + 4 + 5 * 16)
})

test('IPv6 text follows RFC 5952 and survives a round trip', () => {
  for (const [text, canonical] of [
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['::', '::'],
    ['::1', '::1'],
    ['::ffff:192.0.2.1', '::ffff:c000:201'],
    ['2001:DB8::', '2001:db8::'],
    ['1:0:2:3:4:5:6:7', '1:0:2:3:4:5:6:7'],
  ]) {
    assert.equal(bytesToAddress(addressToBytes(text as string) as Buffer), canonical)
  }
  assert.equal(addressToBytes('fe80::1%eth0'), undefined)
})

function query(name: string, type: number): DnsMessage {
  return {
    id: 1,
    response: false,
    opcode: 0,
    authoritative: false,
    truncated: false,
    recursionDesired: true,
    recursionAvailable: false,
    authenticData: false,
    checkingDisabled: false,
    rcode: 0,
    questions: [{ name: nameFromText(name) as WireName, type, class: 1 }],
    answers: [],
    authorities: [],
    additionals: [],
    edns: undefined,
  }
}

function edns() {
  return { version: 0, udpPayloadBytes: 1232, dnssecOk: false, options: [] }
}
