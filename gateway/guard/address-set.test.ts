import assert from 'node:assert/strict'
import { BlockList, isIP, isIPv6, SocketAddress } from 'node:net'
import { test } from 'node:test'
import fc from 'fast-check'
import { AddressSet, addressKey, parseRange } from './address-set.ts'
import { formatAddress, parseAddress } from './ip-address.ts'

const groups = new Uint16Array(8)
const nearAddress = fc.oneof(
  fc.ipV4(),
  fc.ipV6(),
  fc.ipV4().map((v4) => `::ffff:${v4}`),
  fc.stringMatching(/^[0-9a-f:.]{0,24}$/),
  fc
    .array(fc.constantFrom('::', ':', ':', '0', '1', 'fFff', '1.2.3.4', '.', '255', '01', 'g'), { maxLength: 18 })
    .map((parts) => parts.join('')),
  fc
    .array(fc.constantFrom('0', '1', 'ab', 'ffff'), { minLength: 6, maxLength: 9 })
    .map((parts) => parts.join(':').replace(/(0:)+0|:0:/, '::')),
)

test('an address is read exactly where node:net reads one, and written back the same', () => {
  fc.assert(
    fc.property(nearAddress, (text) => {
      const kind = parseAddress(text, groups)
      assert.equal(kind !== 0, isIP(text) !== 0, text)
      if (kind === 0) return
      const written = formatAddress(groups)
      const again = new Uint16Array(8)
      assert.equal(parseAddress(written, again), kind)
      assert.deepEqual(again, groups)
      // Node writes the old IPv4-compatible form (::1.2.3.4) in its own way.
      if (isIPv6(written) && !/^::[0-9a-f]*:?[0-9a-f]*$/.test(written))
        assert.equal(written, new SocketAddress({ address: text, family: 'ipv6' }).address)
    }),
    { numRuns: 2_000 },
  )
})

test('a set holds what node:net BlockList holds for the same ranges', () => {
  const range = fc.oneof(
    fc.tuple(fc.nat(3), fc.integer({ min: 0, max: 32 })).map(([n, bits]) => masked(`${n * 64}.${n}.0.${n}`, bits)),
    fc.tuple(fc.nat(3), fc.integer({ min: 0, max: 128 })).map(([n, bits]) => masked(`2001:db8:${n}:${n}::${n}`, bits)),
  )
  const address = fc.oneof(
    fc.tuple(fc.nat(3), fc.nat(3)).map(([n, m]) => `${n * 64}.${n}.0.${m}`),
    fc.tuple(fc.nat(3), fc.nat(3)).map(([n, m]) => `::ffff:${n * 64}.${n}.0.${m}`),
    fc.tuple(fc.nat(3), fc.nat(3)).map(([n, m]) => `2001:db8:${n}:${m}::${n}`),
    fc.ipV4(),
    fc.ipV6(),
  )
  fc.assert(
    fc.property(fc.array(range, { maxLength: 6 }), fc.array(address, { minLength: 1 }), (ranges, addresses) => {
      const set = AddressSet.parse(ranges.map(({ text }) => text))
      const list = new BlockList()
      for (const { address: base, bits, family } of ranges) list.addSubnet(base, bits, family)
      for (const text of addresses) {
        if (parseAddress(text, groups) === 4) {
          // Node lets an IPv6 range hold mapped IPv4; here those are IPv4 only, so only IPv4 ranges count for them.
          const only4 = new BlockList()
          for (const { address: base, bits, family } of ranges)
            if (family === 'ipv4') only4.addSubnet(base, bits, family)
          assert.equal(set.has(text), only4.check(formatAddress(groups), 'ipv4'), text)
        } else assert.equal(set.has(text), list.check(text, 'ipv6'), text)
        assert.equal(set.has(text), set.has(text))
      }
    }),
    { numRuns: 1_000 },
  )
})

test('a range whose address has bits beyond its prefix is refused, and so is anything else that may be read two ways', () => {
  for (const fine of [
    '10.0.0.0/8',
    '10.1.2.3',
    '10.1.2.3/32',
    '::1',
    '2001:db8::/32',
    '0.0.0.0/0',
    '::/0',
    '::ffff:10.0.0.0/104',
  ])
    assert.ok(parseRange(fine), fine)
  for (const bad of [
    '10.0.0.1/8',
    '010.0.0.0/8',
    '10.0.0.0/08',
    '10.0.0.0/33',
    '::/129',
    '::ffff:0:0/90',
    'fe80::1%eth0',
    '',
    '/8',
    'a/8',
  ])
    assert.equal(parseRange(bad), undefined, bad)
  assert.throws(() => AddressSet.parse(['10.0.0.0/8', 'nonsense']), /"nonsense"/)
})

test('an IPv4-mapped range is the IPv4 range', () => {
  const set = AddressSet.parse(['::ffff:10.0.0.0/104'])
  assert.ok(set.has('10.200.0.1'))
  assert.ok(set.has('::ffff:10.0.0.1'))
  assert.equal(set.has('11.0.0.1'), false)
})

test('what is remembered stays right beyond its bound, and rubbish is in no set', () => {
  const set = AddressSet.parse(['10.0.0.0/16'])
  for (let i = 0; i < 5_000; i++) assert.equal(set.has(`10.${i % 2}.${i % 256}.${i % 199}`), i % 2 === 0)
  for (const text of ['', 'x', '10.0.0', '10.0.0.0.0', ':', ':::']) assert.equal(set.has(text), false, text)
  assert.equal(new AddressSet([]).isEmpty, true)
})

test('clients are counted by whole IPv4 address and by IPv6 /64', () => {
  assert.equal(addressKey('192.0.2.7'), '192.0.2.7')
  assert.equal(addressKey('::ffff:192.0.2.7'), '192.0.2.7')
  assert.equal(addressKey('::FFFF:c000:0207'), '192.0.2.7')
  assert.equal(addressKey('2001:db8::1'), addressKey('2001:db8:0:0:ffff:ffff:ffff:ffff'))
  assert.notEqual(addressKey('2001:db8::1'), addressKey('2001:db8:0:1::1'))
  assert.equal(addressKey('fe80::1%eth0'), addressKey('fe80::2%eth1'))
  assert.equal(addressKey('no address'), 'no address')
})

/** A range as configuration writes it and as BlockList takes it. */
function masked(
  address: string,
  bits: number,
): { text: string; address: string; bits: number; family: 'ipv4' | 'ipv6' } {
  const family = address.includes(':') ? 'ipv6' : 'ipv4'
  parseAddress(address, groups)
  const from = family === 'ipv4' ? bits + 96 : bits
  for (let bit = from; bit < 128; bit++) {
    const index = bit >> 4
    groups[index] = (groups[index] as number) & ~(0x8000 >> (bit & 15))
  }
  // The whole of IPv4 keeps its mapped prefix, so it is written as IPv4 again.
  const base = formatAddress(groups)
  return { text: `${base}/${bits}`, address: base, bits, family }
}
