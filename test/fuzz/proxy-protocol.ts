import assert from 'node:assert/strict'
import type { Random } from '../../core/random.ts'
import {
  type Endpoint,
  type ProxyHeader,
  parseProxyHeader,
  proxyV2BytesMax,
  proxyWrittenBytesMax,
  writeProxyHeader,
} from '../../gateway/listen/proxy-protocol.ts'
import { mutate } from './mutate.ts'
import { Picker } from './pick.ts'
import type { FuzzTarget } from './target.ts'

/** PROXY headers, valid and damaged: nothing throws, every prefix is consistent, and what is read is written back the same. */
export const target: FuzzTarget = {
  name: 'proxy-protocol',
  secondsMax: 5,
  make: makeInput,
  check: checkProxyHeader,
}

function checkProxyHeader(input: Buffer): string {
  const shown = input.toString('hex')
  const whole = parseProxyHeader(input, 0, input.length)
  // The first answer other than "more" is final: more bytes never change it.
  for (let end = 0; end <= input.length; end++) {
    const part = parseProxyHeader(input, 0, end)
    if (part.kind !== 'more') {
      assert.deepEqual(part, whole, `answers differ at ${end} of ${shown}`)
      break
    }
    assert.ok(end < input.length || whole.kind === 'more', shown)
  }
  // What lies around the input has no influence.
  const around = Buffer.concat([Buffer.from('PROXY '), input, Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')])
  const moved = parseProxyHeader(around, 6, 6 + input.length)
  assert.deepEqual(moved.kind === 'header' ? { ...moved, next: moved.next - 6 } : moved, whole, shown)
  if (whole.kind === 'more') assert.ok(input.length < proxyV2BytesMax, `waits beyond the limit: ${shown}`)
  if (whole.kind !== 'header') return whole.kind
  checkAgain(whole, input.length, shown)
  return `header ${whole.version} ${whole.command} ${whole.addresses ? 'addresses' : 'none'}`
}

function checkAgain(header: ProxyHeader & { kind: 'header' }, length: number, shown: string): void {
  assert.ok(header.next > 0 && header.next <= length, shown)
  if (header.command === 'LOCAL') assert.equal(header.addresses, undefined, shown)
  if (!header.addresses) return
  const out = Buffer.alloc(proxyWrittenBytesMax)
  for (const version of [1, 2] as const) {
    const next = writeProxyHeader(version, out, 0, header.addresses)
    assert.deepEqual(parseProxyHeader(out, 0, next), { ...header, version, next }, shown)
  }
}

const words = [
  'PROXY ',
  'TCP4',
  'TCP6',
  'UNKNOWN',
  ' ',
  '\r',
  '\n',
  '\r\n',
  '0',
  '00',
  '255',
  '256',
  '65535',
  '65536',
  '.',
  ':',
]
const pieces = [...words, '1.2.3.4', '::', '::1', '::ffff:1.2.3.4', '%', '\0', '\r\n\r\n\0\r\nQUIT\n'].map((text) =>
  Buffer.from(text, 'latin1'),
)

function makeInput(random: Random, seeds: readonly Buffer[]): Buffer {
  const picker = new Picker(random)
  if (seeds.length > 0 && picker.oneIn(4)) return mutate(picker, picker.of(seeds), pieces, seeds)
  const pick = (below: number): number => picker.below(below)
  if (pick(4) === 0)
    return Buffer.concat(Array.from({ length: 1 + pick(12) }, () => pieces[pick(pieces.length)] as Buffer))
  const out = Buffer.alloc(proxyWrittenBytesMax + 64)
  const addresses = pick(8) === 0 ? undefined : { source: makeEndpoint(pick), destination: makeEndpoint(pick) }
  let length = writeProxyHeader(pick(2) === 0 ? 1 : 2, out, 0, addresses)
  // TLVs, with a length that sometimes lies.
  if (out[0] === 0x0d && pick(2) === 0) {
    const extra = pick(40)
    Buffer.from(random.bytes(extra)).copy(out, length)
    if (extra >= 3) {
      out[length] = pick(6)
      out.writeUInt16BE(pick(4) === 0 ? pick(64) : extra - 3, length + 1)
    }
    length += extra
    out.writeUInt16BE(length - 16, 14)
  }
  for (let damage = pick(4); damage > 0; damage--) out[pick(length)] = pick(256)
  return Buffer.from(out.subarray(0, pick(4) === 0 ? pick(length + 1) : length + pick(8)))
}

function makeEndpoint(pick: (below: number) => number): Endpoint {
  const port = pick(4) === 0 ? 65_535 : pick(65_536)
  if (pick(2) === 0) return { address: Array.from({ length: 4 }, () => pick(256)).join('.'), port }
  const groups = Array.from({ length: 8 }, () => (pick(2) === 0 ? 0 : pick(65_536)).toString(16))
  return { address: groups.join(':'), port }
}
