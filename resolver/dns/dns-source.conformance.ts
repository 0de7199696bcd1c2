import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { DnsSource } from '../ports.ts'
import { createZone, type Zone } from '../server/zone.ts'
import type { ZoneRecord } from '../server/zone-record.ts'

/** Records that every adapter of `DnsSource` is asked about. */
export const conformanceRecords: readonly ZoneRecord[] = [
  { name: 'a.example.test', type: 'A', value: '192.0.2.1', ttl: 30 },
  { name: 'a.example.test', type: 'A', value: '192.0.2.2', ttl: 30 },
  { name: 'a.example.test', type: 'AAAA', value: '2001:db8::1' },
  { name: 'alias.example.test', type: 'CNAME', value: 'Middle.example.test', ttl: 20 },
  { name: 'middle.example.test', type: 'CNAME', value: 'a.example.test', ttl: 25 },
  { name: 'away.example.test', type: 'CNAME', value: 'a.other.test' },
  { name: 'a.other.test', type: 'A', value: '192.0.2.9' },
  { name: 'dangling.example.test', type: 'CNAME', value: 'gone.example.test' },
  { name: 'loop-a.example.test', type: 'CNAME', value: 'loop-b.example.test' },
  { name: 'loop-b.example.test', type: 'CNAME', value: 'loop-a.example.test' },
  { name: 'txt.example.test', type: 'TXT', value: 'first' },
  { name: 'txt.example.test', type: 'TXT', value: 'x'.repeat(300) },
  { name: '_control.txt.example.test', type: 'CNAME', value: 'txt.example.test' },
  ...Array.from({ length: 40 }, (_, n) => ({
    name: 'big.example.test',
    type: 'TXT' as const,
    value: `${n} ${'y'.repeat(100)}`,
  })),
  ...Array.from({ length: 12 }, (_, n) => ({
    name: `hop${n}.example.test`,
    type: 'CNAME' as const,
    value: `hop${n + 1}.example.test`,
  })),
  { name: 'hop12.example.test', type: 'A', value: '192.0.2.12' },
  { name: '*.wild.example.test', type: 'A', value: '192.0.2.7' },
  { name: 'deep.below.nothing.example.test', type: 'A', value: '192.0.2.8' },
  { name: 'example.test', type: 'CAA', value: '0 issue "ca.test"' },
]

/** The two zones that hold `conformanceRecords`. */
export function conformanceZones(): Zone[] {
  return ['example.test', 'other.test'].map((origin) =>
    createZone({ origin, records: conformanceRecords.filter((record) => record.name.endsWith(origin)) }),
  )
}

/** What every `DnsSource` must do. `start` gives a source that sees `conformanceZones()`. */
export function dnsSourceConformance(
  adapter: string,
  start: () => Promise<AsyncDisposable & { source: DnsSource }>,
): void {
  const signal = AbortSignal.timeout(20_000)
  const each = (title: string, run: (source: DnsSource) => Promise<void>): void => {
    test(`${adapter}: ${title}`, async () => {
      await using running = await start()
      await run(running.source)
    })
  }
  each('gives all records of a name with their smallest TTL', async (source) => {
    const answer = await source.query('a.example.test', 'A', signal)
    assert.deepEqual([...answer.values].sort(), ['192.0.2.1', '192.0.2.2'])
    assert.deepEqual([answer.rcode, answer.chain, answer.ttlSeconds], ['NOERROR', [], 30])
    assert.deepEqual((await source.query('A.EXAMPLE.test', 'AAAA', signal)).values, ['2001:db8::1'])
  })
  each('follows aliases, in one zone and across, and shows the chain in lower case', async (source) => {
    const answer = await source.query('alias.example.test', 'A', signal)
    assert.deepEqual(answer.chain, ['middle.example.test', 'a.example.test'])
    assert.equal(answer.values.length, 2)
    assert.equal(answer.ttlSeconds, 20)
    assert.deepEqual((await source.query('away.example.test', 'A', signal)).values, ['192.0.2.9'])
    assert.deepEqual((await source.query('_control.txt.example.test', 'TXT', signal)).values.length, 2)
  })
  each('gives the alias itself when that is asked for', async (source) => {
    const answer = await source.query('alias.example.test', 'CNAME', signal)
    assert.deepEqual([answer.values, answer.chain], [['middle.example.test'], []])
  })
  each('joins the strings of one TXT record and keeps records apart', async (source) => {
    const answer = await source.query('txt.example.test', 'TXT', signal)
    assert.deepEqual([...answer.values].sort(), ['first', 'x'.repeat(300)])
  })
  each('gets answers that exceed a datagram whole', async (source) => {
    assert.equal((await source.query('big.example.test', 'TXT', signal)).values.length, 40)
  })
  each('tells a missing name from a missing type, with the negative TTL', async (source) => {
    const missing = await source.query('nobody.example.test', 'A', signal)
    assert.deepEqual([missing.rcode, missing.values, missing.ttlSeconds], ['NXDOMAIN', [], 5])
    const nodata = await source.query('txt.example.test', 'A', signal)
    assert.deepEqual([nodata.rcode, nodata.values, nodata.ttlSeconds], ['NOERROR', [], 5])
    assert.equal((await source.query('below.nothing.example.test', 'A', signal)).rcode, 'NOERROR')
    const dangling = await source.query('dangling.example.test', 'A', signal)
    assert.deepEqual([dangling.rcode, dangling.chain], ['NXDOMAIN', ['gone.example.test']])
  })
  each('answers below a wildcard, but not where a name exists', async (source) => {
    assert.deepEqual((await source.query('any.thing.wild.example.test', 'A', signal)).values, ['192.0.2.7'])
  })
  each('refuses circles and chains of more than eight', async (source) => {
    await assert.rejects(source.query('loop-a.example.test', 'A', signal), { code: 'RESOLVER_DNS_LOOP' })
    await assert.rejects(source.query('hop0.example.test', 'A', signal), { code: 'RESOLVER_DNS_LOOP' })
    assert.deepEqual((await source.query('hop4.example.test', 'A', signal)).values, ['192.0.2.12'])
  })
  each('refuses names that cannot exist', async (source) => {
    await assert.rejects(source.query('a..b', 'A', signal), { code: 'RESOLVER_DNS_NAME_INVALID' })
    await assert.rejects(source.query(`${'a'.repeat(64)}.test`, 'A', signal), { code: 'RESOLVER_DNS_NAME_INVALID' })
  })
  each('stops when the asker gives up', async (source) => {
    const stop = AbortSignal.abort(new Error('gave up'))
    await assert.rejects(source.query('a.example.test', 'A', stop), /gave up/)
  })
}
