import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { crc32c } from './crc32c.ts'
import {
  type Endpoint,
  type ProxyHeader,
  parseProxyHeader,
  proxyV2BytesMax,
  proxyWrittenBytesMax,
  writeProxyHeader,
} from './proxy-protocol.ts'

const port = fc.integer({ min: 0, max: 65_535 })
const endpoint = fc.record({ address: fc.oneof(fc.ipV4(), fc.ipV6()), port })

test('what is written is read back, in both versions', () => {
  fc.assert(
    fc.property(fc.constantFrom(1, 2), endpoint, endpoint, fc.nat(40), (version, source, destination, at) => {
      const out = Buffer.alloc(at + proxyWrittenBytesMax)
      const next = writeProxyHeader(version as 1 | 2, out, at, { source, destination })
      const header = parseProxyHeader(out, at, next)
      assert.deepEqual(header, {
        kind: 'header',
        version,
        command: 'PROXY',
        addresses: { source: canonical(source), destination: canonical(destination) },
        next,
      })
    }),
    { numRuns: 1_000 },
  )
})

test('a header cut anywhere asks for more, and never reads past its end', () => {
  fc.assert(
    fc.property(fc.constantFrom(1, 2), endpoint, endpoint, (version, source, destination) => {
      const out = Buffer.alloc(proxyWrittenBytesMax + 4, 'GET ')
      const next = writeProxyHeader(version as 1 | 2, out, 0, { source, destination })
      for (let end = 0; end < next; end++)
        assert.deepEqual(parseProxyHeader(out, 0, end), { kind: 'more' }, `at ${end}`)
      const whole = parseProxyHeader(out, 0, next)
      assert.deepEqual(parseProxyHeader(out, 0, out.length), whole)
      assert.equal(whole.kind === 'header' && whole.next, next)
    }),
  )
})

test('without a client, version 1 says UNKNOWN and version 2 LOCAL', () => {
  const out = Buffer.alloc(proxyWrittenBytesMax)
  assert.equal(out.toString('latin1', 0, writeProxyHeader(1, out, 0, undefined)), 'PROXY UNKNOWN\r\n')
  const next = writeProxyHeader(2, out, 0, undefined)
  assert.equal(next, 16)
  assert.deepEqual(parseProxyHeader(out, 0, next), {
    kind: 'header',
    version: 2,
    command: 'LOCAL',
    addresses: undefined,
    next,
  })
})

test('the examples of the protocol for version 1 are read', () => {
  const known = read('PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\nGET / HTTP/1.1\r\n')
  assert.deepEqual(known, {
    kind: 'header',
    version: 1,
    command: 'PROXY',
    addresses: {
      source: { address: '192.168.0.1', port: 56_324 },
      destination: { address: '192.168.0.11', port: 443 },
    },
    next: 47,
  })
  const longest = `PROXY UNKNOWN ${'ffff:'.repeat(7)}ffff ${'ffff:'.repeat(7)}ffff 65535 65535\r\n`
  assert.equal(longest.length, 107)
  for (const line of ['PROXY UNKNOWN\r\n', 'PROXY UNKNOWN what ever it is\r\n', longest]) {
    const header = read(line)
    assert.ok(header.kind === 'header' && header.addresses === undefined && header.next === line.length, line)
  }
})

test('a header of version 1 that is not exact is an error', () => {
  const bad = [
    'PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n',
    'PROXY TCP4 1.2.3.4 5.6.7.8 1 2\rx',
    'PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n',
    'PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n',
    'PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n',
    'PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n',
    'PROXY TCP4\t1.2.3.4 5.6.7.8 1 2\r\n',
    'PROXY TCP4 01.2.3.4 5.6.7.8 1 2\r\n',
    'PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n',
    'PROXY TCP4 256.2.3.4 5.6.7.8 1 2\r\n',
    'PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n',
    'PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n',
    'PROXY TCP4 1.2.3.4 5.6.7.8 -1 2\r\n',
    'PROXY TCP4 1.2.3.4 5.6.7.8 1 0x2\r\n',
    'PROXY TCP4 1.2.3.4 5.6.7.8  2\r\n',
    'PROXY TCP4 ::1 ::1 1 2\r\n',
    'PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n',
    'PROXY TCP6 ::1%eth0 ::1 1 2\r\n',
    'PROXY TCP6 ::1 ::1::1 1 2\r\n',
    'PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n',
    'PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n',
    'PROXY UNKNOWNX\r\n',
    'PROXY \r\n',
    'PROXY UNKNOWN \0\r\n',
    'PROXY UNKNOWN \xe9\r\n',
    `PROXY UNKNOWN ${'x'.repeat(92)}\r\n`,
    `PROXY UNKNOWN ${'x'.repeat(200)}`,
    `PROXY UNKNOWN ${'x'.repeat(92)}\r`,
  ]
  for (const line of bad) assert.equal(read(line).kind, 'error', JSON.stringify(line))
})

test('what other protocols begin with is told apart at the first byte that differs', () => {
  for (const text of [
    'GET / HTTP/1.1\r\n',
    'PRI * HTTP/2.0\r\n',
    'PUT ',
    'PROPFIND ',
    '\r\nGET',
    '\x16\x03\x01',
    'proxy ',
  ])
    assert.equal(read(text).kind, 'absent', text)
  for (const text of ['', 'P', 'PR', 'PRO', 'PROXY', 'PROXY ', '\r\n', '\r\n\r\n', '\r\n\r\n\0'])
    assert.equal(read(text).kind, 'more', JSON.stringify(text))
})

test('version 2 with TLVs is read; a wrong checksum, a cut TLV and a length that lies are errors', () => {
  const addresses = Buffer.from([192, 0, 2, 1, 192, 0, 2, 2, 0x12, 0x34, 0x01, 0xbb])
  const alpn = [0x01, 0, 2, 0x68, 0x32]
  assert.equal(read2(0x21, 0x11, [...addresses, ...alpn]).kind, 'header')
  assert.equal(read2(0x21, 0x11, [...addresses, 0x04, 0, 0]).kind, 'header')
  assert.equal(read2(0x21, 0x11, [...addresses, 0x04, 0]).kind, 'error')
  assert.equal(read2(0x21, 0x11, [...addresses, 0x04, 0, 1]).kind, 'error')
  assert.equal(read2(0x21, 0x11, [...addresses, 0x04, 0xff, 0xff, 0]).kind, 'error')
  assert.equal(read2(0x21, 0x11, [...addresses, 0x05, 0, 129, ...Buffer.alloc(129)]).kind, 'error')
  assert.equal(read2(0x21, 0x11, addresses.subarray(0, 11)).kind, 'error')

  const signed = v2(0x21, 0x11, [...addresses, ...alpn, 0x03, 0, 4, 0, 0, 0, 0])
  signed.writeUInt32BE(crc32c(signed, 0, signed.length), signed.length - 4)
  assert.equal(parseProxyHeader(signed, 0, signed.length).kind, 'header')
  // The type byte of the checksum itself is left out: with it changed there is no checksum.
  for (let at = 16; at < signed.length; at++) {
    if (at === signed.length - 7) continue
    const broken = Buffer.from(signed)
    broken[at] = (broken[at] as number) ^ 1
    assert.notEqual(parseProxyHeader(broken, 0, broken.length).kind, 'header', `bit changed at ${at}`)
  }
  assert.equal(read2(0x21, 0x11, [...addresses, 0x03, 0, 3, 0, 0, 0]).kind, 'error')
})

test('version 2: families without addresses leave those of the socket, unknown ones are errors', () => {
  const withoutAddresses = [
    read2(0x20, 0x00, []),
    read2(0x20, 0xff, [1, 2, 3]),
    read2(0x21, 0x00, []),
    read2(0x21, 0x00, [1, 2, 3]),
    read2(0x21, 0x10, [1, 2, 3]),
    read2(0x21, 0x31, Buffer.alloc(216)),
  ]
  for (const header of withoutAddresses) assert.ok(header.kind === 'header' && header.addresses === undefined)
  assert.ok(withoutAddresses[0]?.kind === 'header' && withoutAddresses[0].command === 'LOCAL')
  const wrong = [
    read2(0x11, 0x11, Buffer.alloc(12)),
    read2(0x22, 0x11, Buffer.alloc(12)),
    read2(0x21, 0x41, Buffer.alloc(12)),
    read2(0x21, 0x13, Buffer.alloc(12)),
    read2(0x21, 0x12, Buffer.alloc(12)),
    read2(0x21, 0x21, Buffer.alloc(35)),
    read2(0x21, 0x31, Buffer.alloc(215)),
  ]
  for (const header of wrong) assert.equal(header.kind, 'error')
})

test('version 2 beyond the limit is refused before it is waited for', () => {
  const header = v2(0x21, 0x11, [])
  header.writeUInt16BE(proxyV2BytesMax - 15, 14)
  assert.equal(parseProxyHeader(header, 0, 16).kind, 'error')
  header.writeUInt16BE(proxyV2BytesMax - 16, 14)
  assert.equal(parseProxyHeader(header, 0, 16).kind, 'more')
})

test('no bytes make the parser throw or read beyond what it was given', () => {
  const hostile = fc.oneof(
    fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
    fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.concat([Buffer.from('PROXY '), bytes])),
    fc
      .tuple(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 0, max: 255 }), fc.uint8Array({ maxLength: 300 }))
      .map(([command, family, body]) => v2(command, family, [...body])),
  )
  fc.assert(
    fc.property(hostile, fc.nat(20), (bytes, extra) => {
      const header = parseProxyHeader(bytes, 0, bytes.length)
      if (header.kind === 'header') assert.ok(header.next <= bytes.length)
      const padded = Buffer.concat([Buffer.alloc(extra, 1), bytes, Buffer.alloc(extra, 2)])
      const moved = parseProxyHeader(padded, extra, extra + bytes.length)
      assert.deepEqual(moved.kind === 'header' ? { ...moved, next: moved.next - extra } : moved, header)
    }),
    { numRuns: 2_000 },
  )
})

test('the checksum is CRC-32C', () => {
  assert.equal(crc32c(Buffer.from('123456789'), 0, 9), 0xe3069283)
  assert.equal(crc32c(Buffer.alloc(32), 0, 32), 0x8a9136aa)
  assert.equal(crc32c(Buffer.from('123456789'), 3, 3), 0)
})

function read(text: string): ProxyHeader {
  const bytes = Buffer.from(text, 'latin1')
  return parseProxyHeader(bytes, 0, bytes.length)
}

function v2(command: number, family: number, body: ArrayLike<number>): Buffer {
  const bytes = Buffer.from([
    ...Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1'),
    command,
    family,
    0,
    0,
    ...Array.from(body),
  ])
  bytes.writeUInt16BE(body.length, 14)
  return bytes
}

function read2(command: number, family: number, body: ArrayLike<number>): ProxyHeader {
  const bytes = v2(command, family, body)
  return parseProxyHeader(bytes, 0, bytes.length)
}

/** As the parser gives addresses: the recommended form, mapped ones as IPv4. */
function canonical({ address, port: number }: Endpoint): Endpoint {
  const out = Buffer.alloc(proxyWrittenBytesMax)
  const end = { address, port: number }
  const header = parseProxyHeader(out, 0, writeProxyHeader(2, out, 0, { source: end, destination: end }))
  assert.ok(header.kind === 'header' && header.addresses)
  return header.addresses.source
}
