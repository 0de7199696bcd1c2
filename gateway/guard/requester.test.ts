// What a request tells of its way: loops, its id, and the fields for hosts of sites that opted in.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Random, seededRandom } from '../../core/random.ts'
import { blockOf } from '../http1/field-block.ts'
import { forwardedLines, type Requester } from './forwarded.ts'
import { hasPassed, loopLine, ownLoopLine } from './loop.ts'
import { RequestIds, requestIdChars } from './request-id.ts'

const passed = (...pairs: string[]): boolean => hasPassed(blockOf(pairs), 'gw.test')

test('a request that names this gateway in CDN-Loop or Via has passed it', () => {
  assert.ok(passed('CDN-Loop', 'gw.test'))
  assert.ok(passed('cdn-loop', 'other; x=1, GW.Test ;v=2'))
  assert.ok(passed('CDN-Loop', 'a', 'Accept', '*/*', 'CDN-Loop', '\tgw.test\t'))
  assert.ok(passed('Via', '1.1 GW.test'))
  assert.ok(passed('Via', '1.0 fred, HTTP/2  gw.test (comment)'))
})

test('other names, and ours inside another, are no loop', () => {
  assert.equal(passed('Accept', 'gw.test'), false)
  assert.equal(passed('CDN-Loop', 'agw.test, gw.test2, gw.tes, x;gw.test'), false)
  assert.equal(passed('CDN-Loop', ''), false)
  assert.equal(passed('Via', 'gw.test, 1.1 other, 1.1 other (gw.test)'), false)
})

test('a chain longer than anybody plans is a loop', () => {
  assert.equal(passed('CDN-Loop', Array(10).fill('a').join(',')), false)
  assert.ok(passed('CDN-Loop', Array(11).fill('a').join(',')))
  assert.ok(passed('Via', Array(6).fill('1.1 a').join(','), 'Via', Array(6).fill('1.1 a').join(',')))
})

test('no value of CDN-Loop makes the search fail', () => {
  const part = fc.constantFrom('gw.test', ',', ';', ' ', '\t', '"', 'x', 'GW.TEST')
  fc.assert(
    fc.property(fc.array(part, { maxLength: 20 }), (parts) => {
      const value = parts.join('')
      const expected =
        value.split(',').length > 10 ||
        value.split(',').some((member) => /^[ \t]*([^ \t;]*)/.exec(member)?.[1]?.toLowerCase() === 'gw.test')
      assert.equal(passed('CDN-Loop', value), expected, value)
    }),
    { numRuns: 1_000 },
  )
})

test('the host sees the networks a request has passed, and ours at the end', () => {
  const own = ownLoopLine('gw.test')
  assert.equal(loopLine(blockOf(['Accept', '*/*']), own), own)
  const line = loopLine(blockOf(['CDN-Loop', 'a', 'X', 'y', 'cdn-loop', 'b;v=1', 'CDN-Loop', '']), own)
  assert.equal(line.toString(), 'CDN-Loop: a, b;v=1, gw.test\r\n')
})

test('a request id is 16 hex characters, each new, from few calls for randomness', () => {
  let calls = 0
  const seeded = seededRandom(3)
  const bytes = (count: number): Uint8Array => {
    calls++
    return seeded.bytes(count)
  }
  const random: Random = { ...seeded, bytes }
  const ids = new RequestIds(random)
  const out = Buffer.alloc(32, '.')
  const seen = new Set<string>()
  for (let i = 0; i < 1_024; i++) {
    assert.equal(ids.write(out, 5), 5 + requestIdChars)
    const id = out.toString('latin1', 5, 21)
    assert.match(id, /^[0-9a-f]{16}$/)
    seen.add(id)
  }
  assert.equal(seen.size, 1_024)
  assert.equal(calls, 2)
  assert.equal(out[4], 0x2e)
  assert.equal(out[21], 0x2e)
})

const client: Requester = { address: '192.0.2.7', secure: true, host: 'app.test', fields: blockOf([]), trusted: false }

function lines(given: Partial<Requester>): Record<string, string> {
  const text = forwardedLines({ ...client, ...given }).toString('latin1')
  assert.ok(text.endsWith('\r\n'))
  return Object.fromEntries(
    text
      .trimEnd()
      .split('\r\n')
      .map((line) => line.split(': ', 2)),
  )
}

test('a host of a site that opted in learns address, scheme and name', () => {
  assert.deepEqual(lines({}), {
    'X-Forwarded-For': '192.0.2.7',
    'X-Forwarded-Proto': 'https',
    'X-Forwarded-Host': 'app.test',
    Forwarded: 'for=192.0.2.7;host=app.test;proto=https',
    'X-Real-IP': '192.0.2.7',
  })
  assert.equal(lines({ secure: false })['X-Forwarded-Proto'], 'http')
})

test('IPv6 is quoted and in brackets in Forwarded, plain elsewhere; mapped IPv4 is IPv4; what is no address is unknown', () => {
  const six = lines({ address: '2001:DB8:0:0::1' })
  assert.equal(six['X-Forwarded-For'], '2001:db8::1')
  assert.equal(six.Forwarded, 'for="[2001:db8::1]";host=app.test;proto=https')
  assert.equal(lines({ address: '::ffff:192.0.2.7' })['X-Real-IP'], '192.0.2.7')
  assert.equal(lines({ address: '' }).Forwarded, 'for=unknown;host=app.test;proto=https')
})

const claims = blockOf([
  'X-Forwarded-For',
  '198.51.100.1',
  'X-Forwarded-For',
  '198.51.100.2',
  'X-Forwarded-Proto',
  'HTTP',
  'X-Forwarded-Host',
  'www.app.test:8443',
  'Forwarded',
  'for="[2001:db8::9]"',
  'X-Real-IP',
  '198.51.100.1',
])

test('what a client claims of itself is replaced', () => {
  assert.deepEqual(lines({ fields: claims }), lines({}))
})

test('what a trusted hop tells is kept, and the hop itself added to the chain', () => {
  assert.deepEqual(lines({ fields: claims, trusted: true }), {
    'X-Forwarded-For': '198.51.100.1, 198.51.100.2, 192.0.2.7',
    'X-Forwarded-Proto': 'http',
    'X-Forwarded-Host': 'www.app.test:8443',
    Forwarded: 'for="[2001:db8::9]", for=192.0.2.7;host=app.test;proto=https',
    'X-Real-IP': '198.51.100.1',
  })
})

test('a trusted hop that tells nonsense is not repeated', () => {
  const nonsense = blockOf([
    'X-Forwarded-For',
    'a'.repeat(2_000),
    'X-Forwarded-Proto',
    'gopher',
    'X-Forwarded-Host',
    'a b<script>',
    'X-Real-IP',
    'localhost',
  ])
  assert.deepEqual(lines({ fields: nonsense, trusted: true }), lines({}))
})
