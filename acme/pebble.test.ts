import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { systemClock } from '../core/clock.ts'
import { memoryLog } from '../core/log.ts'
import { createMetrics } from '../core/metrics.ts'
import { systemRandom } from '../core/random.ts'
import { createDns01 } from './challenge/dns-01.ts'
import { createHttp01 } from './challenge/http-01.ts'
import { createTlsAlpn01 } from './challenge/tls-alpn-01.ts'
import { acmeConfigSchema } from './config.ts'
import { type CertificateManager, startCertificateManager } from './manager.ts'
import { type Pebble, startPebble } from './pebble.ts'
import type { CertificateStore, ChallengeResponder } from './ports.ts'
import { createMemoryStore } from './store/memory-store.ts'
import { startTestEdge, startTestZone, type TestEdge, type TestZone } from './testing/edge.ts'

const stack = new AsyncDisposableStack()
let edge: TestEdge
let zone: TestZone
let pebble: Pebble

before(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'lastmile-acme-'))
  stack.defer(() => rm(folder, { recursive: true, force: true }))
  edge = stack.use(await startTestEdge())
  zone = stack.use(await startTestZone())
  pebble = stack.use(
    await startPebble({
      httpPort: edge.httpPort,
      tlsPort: edge.tlsPort,
      dnsServer: zone.dnsServer,
      stateDir: join(folder, 'pebble'),
    }),
  )
})
after(() => stack.disposeAsync())

interface Setup {
  responders: readonly ChallengeResponder[]
  store?: CertificateStore
  config?: Record<string, unknown>
}

async function startManager({ responders, store, config }: Setup): Promise<CertificateManager> {
  edge.responders = responders
  const { directoryUrl, caFile } = pebble
  return startCertificateManager(
    acmeConfigSchema.parse({
      directoryUrl,
      caFile,
      termsOfServiceAgreed: true,
      pollMs: 20,
      lockHoldMs: 2_000,
      ...config,
    }),
    {
      store: store ?? createMemoryStore(),
      responders,
      policy: { check: async () => {} },
      clock: systemClock,
      random: systemRandom,
      log: memoryLog(),
      metrics: createMetrics(),
    },
  )
}

async function verifyIssuedBy(root: string, pem: string, names: readonly string[]): Promise<void> {
  const [leaf, intermediate] = pem
    .match(/-----BEGIN[^]+?-----END CERTIFICATE-----/g)!
    .map((part) => new X509Certificate(part))
  assert.ok(leaf!.verify(intermediate!.publicKey), 'the leaf is signed by the intermediate')
  assert.ok(intermediate!.verify(new X509Certificate(root).publicKey), 'the intermediate is signed by the root')
  for (const name of names)
    assert.ok(leaf!.subjectAltName!.split(', ').includes(`DNS:${name}`), `${name} in ${leaf!.subjectAltName}`)
}

const noAbort = new AbortController().signal

test('a first visitor to a name gets its certificate by HTTP-01', async () => {
  await using manager = await startManager({ responders: [createHttp01()] })
  assert.equal(manager.find('app.example.test'), undefined)
  const certificate = await manager.obtain('App.Example.Test', noAbort)
  await verifyIssuedBy(await pebble.root(), certificate.certificatePem, ['app.example.test'])
  assert.equal(manager.find('app.example.test'), certificate)
})

test('a first visitor to a name gets its certificate by TLS-ALPN-01', async () => {
  await using manager = await startManager({ responders: [createTlsAlpn01()] })
  const certificate = await manager.obtain('alpn.example.test', noAbort)
  await verifyIssuedBy(await pebble.root(), certificate.certificatePem, ['alpn.example.test'])
})

test('a managed zone gets one certificate over its wildcards by DNS-01', async () => {
  await using manager = await startManager({
    responders: [createHttp01(), createDns01(zone, { zones: ['zone.test'] })],
  })
  const certificate = await manager.ensure(['zone.test', '*.zone.test', '*.eth.zone.test'])
  await verifyIssuedBy(await pebble.root(), certificate.certificatePem, ['zone.test', '*.zone.test', '*.eth.zone.test'])
  for (const name of ['zone.test', 'label.zone.test', 'app.eth.zone.test'])
    assert.equal(manager.find(name), certificate, name)
  assert.equal(manager.find('a.b.zone.test'), undefined)
})
