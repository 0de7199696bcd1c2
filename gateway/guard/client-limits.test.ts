import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ClientLimits, type ClientLimitsConfig } from './client-limits.ts'
import { SiteRates } from './site-rates.ts'
import { costMs, depthMs, takeToken } from './token-bucket.ts'

const config: ClientLimitsConfig = {
  connectionsPerAddressMax: 2,
  handshakesPerSecond: 0,
  handshakesBurst: 1,
  requestsPerSecond: 10,
  requestsBurst: 5,
  tableMax: 4,
}

test('an address may have so many connections and no more; a closed one makes room', () => {
  const limits = new ClientLimits(config)
  const first = limits.open('192.0.2.1', 0)
  assert.notEqual(first, -1)
  assert.notEqual(limits.open('192.0.2.1', 0), -1)
  assert.equal(limits.open('192.0.2.1', 0), -1)
  assert.equal(limits.open('::ffff:192.0.2.1', 0), -1)
  assert.notEqual(limits.open('192.0.2.2', 0), -1)
  limits.close(first)
  assert.notEqual(limits.open('192.0.2.1', 0), -1)
})

test('a whole IPv6 /64 counts as one client', () => {
  const limits = new ClientLimits(config)
  limits.open('2001:db8::1', 0)
  limits.open('2001:db8::2', 0)
  assert.equal(limits.open('2001:db8::3', 0), -1)
  assert.notEqual(limits.open('2001:db8:0:1::1', 0), -1)
})

test('requests pass in a burst, then at their rate, whatever connection they come by', () => {
  const limits = new ClientLimits(config)
  const [one, two] = [limits.open('192.0.2.1', 1_000), limits.open('192.0.2.1', 1_000)]
  for (let i = 0; i < 5; i++) assert.ok(limits.request(i % 2 ? one : two, 1_000))
  assert.equal(limits.request(one, 1_000), false)
  assert.equal(limits.waitMs(one, 1_000), 100)
  assert.equal(limits.request(two, 1_099), false)
  assert.ok(limits.request(two, 1_100))
  assert.equal(limits.request(one, 1_100), false)
})

test('an address that opens connections too fast is refused, and is let in again later', () => {
  const limits = new ClientLimits({ ...config, handshakesPerSecond: 1, handshakesBurst: 3 })
  for (let i = 0; i < 3; i++) limits.close(limits.open('192.0.2.1', 0))
  assert.equal(limits.open('192.0.2.1', 0), -1)
  assert.notEqual(limits.open('192.0.2.2', 0), -1)
  assert.notEqual(limits.open('192.0.2.1', 1_000), -1)
})

test('leaving and coming back gives no tokens back', () => {
  const limits = new ClientLimits(config)
  for (let round = 0; round < 5; round++) {
    const client = limits.open('192.0.2.1', 0)
    assert.ok(limits.request(client, 0))
    limits.close(client)
  }
  const client = limits.open('192.0.2.1', 0)
  assert.equal(limits.request(client, 0), false)
})

test('addresses that are gone and full again are forgotten, oldest first', () => {
  const limits = new ClientLimits(config)
  for (let i = 0; i < 4; i++) {
    const client = limits.open(`192.0.2.${i}`, 0)
    limits.request(client, 0)
    limits.close(client)
  }
  assert.equal(limits.size, 4)
  limits.open('198.51.100.1', 100)
  assert.equal(limits.size, 3)
  limits.open('198.51.100.2', 100)
  assert.equal(limits.size, 2)
})

test('when the table is full of active clients, new addresses share one allowance and the old keep theirs', () => {
  const limits = new ClientLimits(config)
  const old = [1, 2, 3, 4].map((n) => limits.open(`192.0.2.${n}`, 0))
  const [a, b] = [limits.open('198.51.100.1', 0), limits.open('198.51.100.2', 0)]
  assert.equal(a, b)
  assert.equal(limits.open('198.51.100.3', 0), -1)
  for (let i = 0; i < 5; i++) assert.ok(limits.request(a, 0))
  assert.equal(limits.request(b, 0), false)
  for (const client of old) assert.ok(limits.request(client, 0))
  assert.equal(limits.size, 4)
  limits.close(old[0] as number)
  assert.notEqual(limits.open('198.51.100.3', 0), a)
  limits.close(a)
  limits.close(b)
})

test('other limits count at once for those who are there, and closing stays right', () => {
  const limits = new ClientLimits(config)
  const open = [limits.open('192.0.2.1', 0), limits.open('192.0.2.1', 0)] as const
  limits.configure({ ...config, connectionsPerAddressMax: 1, requestsPerSecond: 0 })
  for (let i = 0; i < 100; i++) assert.ok(limits.request(open[0], 0))
  limits.close(open[0])
  assert.equal(limits.open('192.0.2.1', 0), -1)
  limits.close(open[1])
  assert.notEqual(limits.open('192.0.2.1', 0), -1)
})

test('the table agrees with a plain model under any order of events', () => {
  const event = fc.record({ kind: fc.constantFrom('open', 'close', 'request'), who: fc.nat(5), waitMs: fc.nat(120) })
  fc.assert(
    fc.property(fc.array(event, { maxLength: 200 }), (events) => {
      const limits = new ClientLimits({ ...config, tableMax: 6 })
      const open: number[][] = Array.from({ length: 6 }, () => [])
      const tokens = new Array(6).fill(config.requestsBurst)
      let nowMs = 0
      for (const { kind, who, waitMs } of events) {
        nowMs += waitMs
        for (let i = 0; i < 6; i++)
          tokens[i] = Math.min(config.requestsBurst, tokens[i] + (waitMs * config.requestsPerSecond) / 1_000)
        const mine = open[who] as number[]
        if (kind === 'open') {
          const client = limits.open(`192.0.2.${who}`, nowMs)
          assert.equal(client !== -1, mine.length < config.connectionsPerAddressMax)
          if (client !== -1) mine.push(client)
        } else if (kind === 'close') {
          const client = mine.pop()
          if (client !== undefined) limits.close(client)
        } else if (mine.length > 0) {
          const may = tokens[who] >= 1 - 1e-6
          assert.equal(limits.request(mine[0] as number, nowMs), may)
          if (may) tokens[who] -= 1
        }
      }
      assert.ok(limits.size <= 6)
    }),
    { numRuns: 500 },
  )
})

test('a hundred thousand addresses leave no more behind than the table holds', () => {
  const limits = new ClientLimits({ ...config, tableMax: 100 })
  for (let i = 0; i < 100_000; i++) {
    const client = limits.open(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, i / 10)
    if (client !== -1) {
      limits.request(client, i / 10)
      limits.close(client)
    }
    assert.ok(limits.size <= 100)
  }
})

test('a rate of zero is no limit', () => {
  assert.notEqual(takeToken(0, 5, costMs(0), depthMs(0, 1)), -1)
  assert.equal(new SiteRates(1).of('a.test', { requestsPerSecond: 0, bytesPerSecond: 0 }, 0), undefined)
})

test('a site gets its requests per second, and other sites theirs', () => {
  const rates = new SiteRates(10)
  const limits = { requestsPerSecond: 5, bytesPerSecond: 0 }
  const site = rates.of('a.test', limits, 0)
  assert.ok(site)
  let passed = 0
  for (let nowMs = 0; nowMs < 10_000; nowMs += 10) if (site.request(nowMs)) passed++
  assert.equal(passed, 60 - 1)
  assert.equal(rates.of('a.test', limits, 10_000), site)
  assert.ok(rates.of('b.test', limits, 10_000)?.request(10_000))
})

test('bytes above the rate of a site make a pause, never a loss, and come out at the rate', () => {
  const site = new SiteRates(10).of('a.test', { requestsPerSecond: 0, bytesPerSecond: 1_000_000 }, 0)
  assert.ok(site)
  assert.equal(site.send(200_000, 0), 0)
  let nowMs = 0
  let sent = 200_000
  for (let i = 0; i < 200; i++) {
    nowMs += site.send(65_536, nowMs)
    sent += 65_536
  }
  const rate = sent / (nowMs / 1_000)
  assert.ok(rate > 990_000 && rate < 1_030_000, `${rate}`)
})

test('the table of sites is bounded: those in use stay, those that are full again go, others share', () => {
  const rates = new SiteRates(2)
  const limits = { requestsPerSecond: 1, bytesPerSecond: 0 }
  const [a, b] = [rates.of('a.test', limits, 0), rates.of('b.test', limits, 0)]
  a?.request(0)
  b?.request(0)
  const [c, d] = [rates.of('c.test', limits, 0), rates.of('d.test', limits, 0)]
  assert.equal(c, d)
  assert.equal(rates.size, 2)
  assert.notEqual(rates.of('c.test', limits, 1_000), c)
  assert.equal(rates.size, 2)
})
