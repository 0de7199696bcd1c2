import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { Agent } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import acmeClient from 'acme-client'
import { systemClock } from '../core/clock.ts'
import type { AppError } from '../core/errors.ts'
import { type Log, memoryLog } from '../core/log.ts'
import { createMetrics } from '../core/metrics.ts'
import { systemRandom } from '../core/random.ts'
import { createDns01 } from './challenge/dns-01.ts'
import { createHttp01 } from './challenge/http-01.ts'
import { createTlsAlpn01 } from './challenge/tls-alpn-01.ts'
import { acmeConfigSchema } from './config.ts'
import { type CertificateManager, startCertificateManager } from './manager.ts'
import { type Pebble, startPebble } from './pebble.ts'
import type { CertificateStore, ChallengeResponder } from './ports.ts'
import { openDirectoryStore } from './store/directory-store.ts'
import { createMemoryStore } from './store/memory-store.ts'
import { startTestEdge, startTestZone, type TestEdge, type TestZone } from './testing/edge.ts'

const stack = new AsyncDisposableStack()
let folder: string
let edge: TestEdge
let zone: TestZone
let pebble: Pebble

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lastmile-acme-'))
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
  log?: Log
}

async function startManager({ responders, store, config, log }: Setup): Promise<CertificateManager> {
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
      log: log ?? memoryLog(),
      metrics: createMetrics(),
    },
  )
}

async function verifyIssuedBy(root: string, pem: string, names: readonly string[]): Promise<void> {
  const [leaf, intermediate] = pem
    .match(/-----BEGIN[\s\S]+?-----END CERTIFICATE-----/g)!
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

test('ten names at once get ten certificates while a fifth of all nonces is refused', async () => {
  await using manager = await startManager({ responders: [createHttp01()] })
  const names = Array.from({ length: 10 }, (_, index) => `n${index}.many.test`)
  const before = pebble.requests('/order-plz')
  const certificates = await Promise.all(names.map((name) => manager.obtain(name, noAbort)))
  assert.equal(new Set(certificates.map((certificate) => certificate.id)).size, 10)
  assert.ok(pebble.requests('/order-plz') - before >= 10)
})

test('a name that does not resolve is refused with what its owner must check, and not ordered again at once', async () => {
  await zone.breakName('broken.test')
  await using manager = await startManager({ responders: [createHttp01()] })
  await assert.rejects(manager.obtain('broken.test', noAbort), (error: AppError) => {
    assert.equal(error.fault, 'caller', error.message)
    assert.match(error.message, /broken\.test/)
    return true
  })
  const before = pebble.requests('/order-plz')
  await assert.rejects(manager.obtain('broken.test', noAbort))
  assert.equal(pebble.requests('/order-plz'), before)
})

test('a wrong answer at the challenge path is refused as not authorized', async () => {
  const wrong = createHttp01()
  const { present } = wrong
  wrong.present = (name, token) => present(name, token, `${token}.not-our-key`)
  await using manager = await startManager({ responders: [wrong] })
  await assert.rejects(manager.obtain('wrong.example.test', noAbort), { code: 'ACME_UNAUTHORIZED', fault: 'caller' })
})

for (const when of ['challenge', 'stored'] as const) {
  test(`after kill -9 ${when === 'stored' ? 'with the certificate stored' : 'in the middle of its challenge'} there is no second order`, async () => {
    const name = `${when}.crash.test`
    const storeDir = join(folder, `store-${when}`)
    const { directoryUrl, caFile } = pebble
    const task = { directoryUrl, caFile, storeDir, managementUrl: zone.managementUrl, name, when }
    assert.equal(await runUntilKilled(task), 'SIGKILL')
    const left = (await recordsOf(storeDir)).filter((record) => 'startedAtMs' in record)
    assert.equal(left.length, when === 'challenge' ? 1 : 0)
    await using store = await openDirectoryStore(storeDir)
    const log = memoryLog()
    await using manager = await startManager({
      responders: [createDns01(zone, { zones: [name] })],
      store,
      log,
      config: { lockHoldMs: 1_000 },
    })
    if (when === 'stored') assert.ok(manager.find(name), 'served at once')
    await manager.ensure([name])
    const issued = log.lines.filter((line) => line.message === 'certificate issued').map((line) => line.fields.kind)
    assert.deepEqual(issued, when === 'challenge' ? ['resumed'] : [])
  })
}

function runUntilKilled(task: Record<string, string>): Promise<NodeJS.Signals | null> {
  const program = join(import.meta.dirname, 'testing/crash-manager.ts')
  const child = spawn(process.execPath, [program, JSON.stringify(task)], { stdio: ['ignore', 'inherit', 'inherit'] })
  return new Promise((resolve) => child.once('exit', (_code, signal) => resolve(signal)))
}

async function recordsOf(storeDir: string): Promise<Record<string, unknown>[]> {
  await using store = await openDirectoryStore(storeDir)
  const records = await Promise.all((await store.list('')).map((key) => store.read(key)))
  return records.map((record) => JSON.parse(Buffer.from(record!.value).toString()))
}

test('an independent client gets a certificate from the same CA, by the answers of our responder', async () => {
  const responder = createHttp01()
  edge.responders = [responder]
  const trusted = new Agent({ ca: await readFile(pebble.caFile) })
  acmeClient.axios.defaults.httpsAgent = trusted
  const client = new acmeClient.Client({
    directoryUrl: pebble.directoryUrl,
    accountKey: await acmeClient.crypto.createPrivateEcdsaKey(),
  })
  const [, csr] = await acmeClient.crypto.createCsr({ altNames: ['cross.example.test'] })
  const chain = await client.auto({
    csr,
    termsOfServiceAgreed: true,
    challengePriority: ['http-01'],
    // Its own check would ask the system's resolver for a name that exists in the test zone only.
    skipChallengeVerification: true,
    challengeCreateFn: (authorization, challenge, keyAuthorization) =>
      responder.present(authorization.identifier.value, challenge.token, keyAuthorization),
    challengeRemoveFn: (authorization, challenge, keyAuthorization) =>
      responder.clean(authorization.identifier.value, challenge.token, keyAuthorization),
  })
  await verifyIssuedBy(await pebble.root(), chain, ['cross.example.test'])
  trusted.destroy()
})
