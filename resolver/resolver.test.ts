import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '../core/clock.ts'
import { describeConfig } from '../core/config.ts'
import { memoryLog, silentLog } from '../core/log.ts'
import { createMetrics } from '../core/metrics.ts'
import { systemRandom } from '../core/random.ts'
import { resolverConfig } from './config.ts'
import { startResolver } from './resolver.ts'
import { dnsServerConfig } from './server/config.ts'
import { startDnsServer } from './server/dns-server.ts'
import { createZone } from './server/zone.ts'

const owner = `0x${'ab'.repeat(20)}`
const hash = '1'.repeat(64)
const never = new AbortController().signal
const ports = { clock: systemClock, random: systemRandom, log: silentLog }

test('a domain is resolved over real DNS, and metrics hold neither its name nor its hash', async () => {
  const zone = createZone({
    origin: 'example.test',
    records: [
      { name: 'app.example.test', type: 'CNAME', value: 'gw.test' },
      { name: '_control.app.example.test', type: 'TXT', value: owner },
      { name: '_aleph-id.app.example.test', type: 'TXT', value: hash },
    ],
  })
  const gateway = createZone({ origin: 'gw.test', records: [{ name: 'gw.test', type: 'A', value: '127.0.0.1' }] })
  await using server = await startDnsServer(dnsServerConfig.parse({ port: 0 }), { ...ports, zones: [zone, gateway] })
  const metrics = createMetrics()
  const log = memoryLog()
  const config = resolverConfig.parse({
    dns: { upstreams: [`127.0.0.1:${server.port}`] },
    ens: { rpcUrl: 'http://127.0.0.1:9', rpcTimeoutMs: 500 },
  })
  const messages = {
    message: async () => ({ owner, sender: owner, type: 'PROGRAM' }),
    domainEntry: async () => undefined,
  }
  await using resolver = await startResolver(config, { ...ports, log, metrics, messages })
  const { target } = await resolver.resolve('app.example.test', never)
  assert.deepEqual(target, { kind: 'program', itemHash: hash })
  await resolver.checkIssuance('app.example.test', never)
  await assert.rejects(resolver.resolve('app.eth', never), { code: 'RESOLVER_ENS_RPC', status: 503 })
  const text = await metrics.text()
  assert.match(text, /resolver_targets_total\{via="dns",result="ok"\} 1/)
  assert.doesNotMatch(text, /example|1111|127\.0\.0/)
  assert.deepEqual(
    log.lines.map((line) => line.message),
    ['ENS is not available'],
  )
})

test('every configuration key is described and has a default', () => {
  for (const schema of [resolverConfig, dnsServerConfig]) {
    for (const leaf of describeConfig(schema)) {
      assert.ok(leaf.description.length > 10, leaf.key)
      assert.notEqual(leaf.default, '(required)', leaf.key)
    }
  }
})
