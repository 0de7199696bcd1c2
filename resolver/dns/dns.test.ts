import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { test } from 'node:test'
import { FakeClock, systemClock } from '../../core/clock.ts'
import { silentLog } from '../../core/log.ts'
import { systemRandom } from '../../core/random.ts'
import type { DnsAnswer, DnsSource } from '../ports.ts'
import { dnsServerConfig } from '../server/config.ts'
import { startDnsServer } from '../server/dns-server.ts'
import { cacheDns } from './cached-dns.ts'
import { dnsCacheConfig, stubConfig } from './config.ts'
import { conformanceZones, dnsSourceConformance } from './dns-source.conformance.ts'
import { createStubClient } from './stub-client.ts'
import { createZoneSource } from './zone-source.ts'

const ports = { clock: systemClock, random: systemRandom }
const never = new AbortController().signal

async function startServed(): Promise<AsyncDisposable & { source: DnsSource; upstream: string }> {
  const server = await startDnsServer(dnsServerConfig.parse({ port: 0 }), {
    ...ports,
    zones: conformanceZones(),
    log: silentLog,
  })
  const upstream = `127.0.0.1:${server.port}`
  const source = createStubClient(stubConfig.parse({ upstreams: [upstream] }), ports)
  return { source, upstream, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() }
}

dnsSourceConformance('stub client over UDP and TCP', startServed)
dnsSourceConformance('cache before a stub client', async () => {
  const served = await startServed()
  const config = dnsCacheConfig.parse({ ttlMsMin: 0, ttlMsMax: 3_600_000 })
  return Object.assign(served, { source: cacheDns(served.source, config, ports) })
})
dnsSourceConformance('zones in memory', async () => ({
  source: createZoneSource(conformanceZones()),
  [Symbol.asyncDispose]: async () => {},
}))

test('a silent server is left for the next one', async () => {
  await using served = await startServed()
  await using silent = await startUdp(() => undefined)
  const config = stubConfig.parse({ upstreams: [silent.upstream, served.upstream], timeoutMs: 60 })
  const answer = await createStubClient(config, ports).query('a.example.test', 'A', never)
  assert.equal(answer.values.length, 2)
})

test('when no server answers the error says so and blames the upstream', async () => {
  await using silent = await startUdp(() => undefined)
  const config = stubConfig.parse({ upstreams: [silent.upstream], timeoutMs: 30, attempts: 2 })
  await assert.rejects(createStubClient(config, ports).query('a.test', 'A', never), {
    code: 'RESOLVER_DNS_TIMEOUT',
    fault: 'upstream',
    status: 503,
  })
  assert.equal(silent.received(), 2)
})

test('forged packets with another id, question or letter case are ignored', async () => {
  await using forger = await startUdp((query) => {
    const forged = Buffer.from(query)
    forged[2] = 0x84
    if (forger.received() === 1) forged[0] = (forged[0] as number) ^ 0xff
    else if (forger.received() === 2) forged[13] = (forged[13] as number) ^ 0x20
    else forged[3] = 2
    return forged
  })
  const config = stubConfig.parse({ upstreams: [forger.upstream], timeoutMs: 60, attempts: 3 })
  const answer = await createStubClient(config, ports).query('abc.test', 'A', never)
  assert.equal(answer.rcode, 'SERVFAIL')
  assert.equal(forger.received(), 3)
})

test('garbage from a server is an upstream fault, never a crash', async () => {
  await using garbage = await startUdp((query) =>
    Buffer.concat([query.subarray(0, 2), Buffer.from([0x80, 0, 0, 1, 0, 9, 0, 0, 0, 0]), query.subarray(12)]),
  )
  const config = stubConfig.parse({ upstreams: [garbage.upstream], timeoutMs: 60, attempts: 1 })
  await assert.rejects(createStubClient(config, ports).query('abc.test', 'A', never), {
    code: 'RESOLVER_DNS_MALFORMED',
  })
})

test('each question leaves from another port with another id', async () => {
  const seen = new Set<string>()
  await using server = await startUdp((query, port) => {
    seen.add(`${port} ${query.readUInt16BE(0)}`)
    const reply = Buffer.from(query)
    reply[2] = 0x81
    reply[3] = 3
    return reply
  })
  const client = createStubClient(stubConfig.parse({ upstreams: [server.upstream] }), ports)
  for (let n = 0; n < 5; n++) assert.equal((await client.query('abc.test', 'A', never)).rcode, 'NXDOMAIN')
  assert.equal(seen.size, 5)
})

function fixed(answer: Partial<DnsAnswer>): DnsSource & { asked: number } {
  const source = {
    asked: 0,
    query: async () => {
      source.asked++
      return { rcode: 'NOERROR' as const, values: ['x'], chain: [], ttlSeconds: 60, authenticated: false, ...answer }
    },
  }
  return source
}

test('TTLs are believed within their bounds: records, absences and failures', async () => {
  const cases: { answer: Partial<DnsAnswer>; seconds: number }[] = [
    { answer: { ttlSeconds: 1 }, seconds: 30 },
    { answer: { ttlSeconds: 100 }, seconds: 100 },
    { answer: { ttlSeconds: 90_000 }, seconds: 3_600 },
    { answer: { values: [], ttlSeconds: 1 }, seconds: 5 },
    { answer: { rcode: 'NXDOMAIN', values: [], ttlSeconds: 9_000 }, seconds: 300 },
    { answer: { rcode: 'SERVFAIL', values: [], ttlSeconds: 9_000 }, seconds: 1 },
  ]
  for (const { answer, seconds } of cases) {
    const clock = new FakeClock()
    const source = fixed(answer)
    const cached = cacheDns(source, dnsCacheConfig.parse({}), { clock })
    assert.equal((await cached.query('a.test', 'A', never)).ttlSeconds, seconds)
    await clock.advance(seconds * 1_000 - 1)
    await cached.query('A.test', 'A', never)
    assert.equal(source.asked, 1, JSON.stringify(answer))
    await clock.advance(1)
    await cached.query('a.test', 'A', never)
    assert.equal(source.asked, 2, JSON.stringify(answer))
  }
})

test('repeated failures are asked again at growing distance, up to 30 s', async () => {
  const clock = new FakeClock()
  const source = fixed({ rcode: 'SERVFAIL', values: [] })
  const cached = cacheDns(source, dnsCacheConfig.parse({}), { clock })
  const waits: number[] = []
  for (let n = 0; n < 7; n++) {
    const { ttlSeconds } = await cached.query('a.test', 'A', never)
    waits.push(ttlSeconds)
    await clock.advance(ttlSeconds * 1_000)
  }
  assert.deepEqual(waits, [1, 2, 4, 8, 16, 30, 30])
})

test('many askers share one lookup, and one who gives up does not stop it', async () => {
  const gate = Promise.withResolvers<void>()
  let asked = 0
  const source: DnsSource = {
    query: async () => {
      asked++
      await gate.promise
      return { rcode: 'NOERROR', values: ['x'], chain: [], ttlSeconds: 60, authenticated: false }
    },
  }
  const cached = cacheDns(source, dnsCacheConfig.parse({}), { clock: new FakeClock() })
  const stop = new AbortController()
  const impatient = cached.query('a.test', 'A', stop.signal)
  const patient = Array.from({ length: 50 }, () => cached.query('a.test', 'A', never))
  stop.abort(new Error('gave up'))
  await assert.rejects(impatient, /gave up/)
  gate.resolve()
  assert.equal((await Promise.all(patient)).length, 50)
  assert.equal(asked, 1)
})

async function startUdp(
  reply: (query: Buffer, port: number) => Buffer | undefined,
): Promise<AsyncDisposable & { upstream: string; received: () => number }> {
  const socket = createSocket('udp4')
  let received = 0
  socket.on('message', (query, peer) => {
    received++
    const answer = reply(query, peer.port)
    if (answer) socket.send(answer, peer.port, peer.address)
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  return {
    upstream: `127.0.0.1:${socket.address().port}`,
    received: () => received,
    [Symbol.asyncDispose]: () => new Promise((resolve) => socket.close(() => resolve())),
  }
}
