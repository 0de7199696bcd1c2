import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { CID } from 'multiformats/cid'
import { sha256 } from 'multiformats/hashes/sha2'
import { systemClock } from '../../core/clock.ts'
import { systemRandom } from '../../core/random.ts'
import { gatewayConfigSchema } from '../config.ts'
import { startGateway } from '../gateway.ts'
import { ask, connectTls } from '../testing/client.ts'
import { type FakeHost, startFakeHost } from '../testing/fake-host.ts'
import { FakeError } from '../testing/fakes.ts'
import { selfSigned } from '../testing/self-signed.ts'
import { programHash, startTestGateway, type TestGateway, testCertificate, zone } from '../testing/test-gateway.ts'
import { until } from '../testing/until.ts'

/** Enough that all of them come to one of two workers once in 2^24 runs. */
const connectionsMany = 25
/** What no bytes at all have for their content identifier. */
const emptyFile = 'bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku'
/** A block that is a whole file. */
const rawCodec = 0x55
const lastChunk = '0\r\n\r\n'

function startFleet(config: Record<string, unknown> = {}, ports: object = {}): Promise<TestGateway> {
  return startTestGateway({ workers: 2, timeouts: { drainMs: 2_000 }, ...config } as never, ports)
}

interface Status {
  connections: number
  requestsInFlight: number
  silentWorkers: number[]
  workers: {
    index: number
    pid: number
    state: string
    connections: number
    rssBytes: number
    eventLoopLagMs: number
  }[]
  sites: { host: string; certificate?: { id: string } }[]
  hosts: { id: string; up: boolean; inFlight: number }[]
}

async function statusOf({ adminPort }: TestGateway): Promise<Status> {
  return (await (await fetch(`http://127.0.0.1:${adminPort}/api/v0/status`)).json()) as Status
}

async function metricsOf({ adminPort }: TestGateway): Promise<string> {
  return (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text()
}

/** How often requests were counted, by the metric of all workers together. */
async function answered(gateway: TestGateway): Promise<number> {
  return Number(/gateway_requests_total\{class="2xx",fault="none"\} (\d+)/.exec(await metricsOf(gateway))?.[1] ?? 0)
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** A kept-alive connection on which one request after the other can be sent. */
class Kept {
  readonly socket: TLSSocket
  closed = false
  #text = ''

  constructor(socket: TLSSocket) {
    this.socket = socket
    socket.on('data', (part) => {
      this.#text += part
    })
    socket.on('error', () => {})
    socket.once('close', () => {
      this.closed = true
    })
  }

  static async open({ httpsPort }: TestGateway): Promise<Kept> {
    return new Kept(await connectTls(httpsPort, 'app.test'))
  }

  /** Sends a GET and waits for an answer that ends with `end`. */
  async get(path: string, end: string): Promise<string> {
    this.#text = ''
    this.socket.write(`GET ${path} HTTP/1.1\r\nHost: app.test\r\n\r\n`)
    await until(() => this.closed || this.#text.endsWith(end))
    return this.#text
  }
}

function openMany(gateway: TestGateway): Promise<Kept[]> {
  return Promise.all(Array.from({ length: connectionsMany }, () => Kept.open(gateway)))
}

/** A host that answers at once, except below `/slow`: there it waits until `release`. */
async function startSlowHost(): Promise<FakeHost & { release(): void; waiting(): number }> {
  const open: (() => void)[] = []
  const host = await startFakeHost((request, response) => {
    if (!request.url?.endsWith('/slow')) return void response.end('whole')
    response.write('first ')
    open.push(() => response.end('last'))
  })
  const release = (): void => {
    for (const end of open.splice(0)) end()
  }
  return Object.assign(host, { release, waiting: () => open.length })
}

test('all workers serve on the same ports, and the admin server shows them as one gateway', async () => {
  await using host = await startSlowHost()
  await using gateway = await startFleet()
  gateway.hosts.add('one', host.origin)
  const connections = await openMany(gateway)
  for (const connection of connections) assert.match(await connection.get('/', 'whole'), /^HTTP\/1.1 200 /)
  const status = await statusOf(gateway)
  assert.deepEqual(
    status.workers.map(({ index, state }) => [index, state]),
    [
      [0, 'serving'],
      [1, 'serving'],
    ],
  )
  for (const worker of status.workers) {
    assert.ok(worker.pid !== process.pid && worker.connections > 0 && worker.rssBytes > 0 && worker.eventLoopLagMs >= 0)
  }
  assert.equal(status.connections, connectionsMany)
  assert.deepEqual(
    status.sites.map(({ host, certificate }) => [host, certificate?.id]),
    [['app.test', testCertificate().id]],
  )
  assert.deepEqual(
    status.hosts.map(({ id, up, inFlight }) => [id, up, inFlight]),
    [['one', true, 0]],
  )
  assert.equal(await answered(gateway), connectionsMany)
  assert.match(await metricsOf(gateway), /gateway_workers_serving 2/)
  for (const { socket } of connections) socket.destroy()
})

test('every port of the gateway works from a worker: names, static blocks, challenges, refusals, reports', async () => {
  const report = { host: 'shop.test', ok: true, summary: 'all is well', records: [] }
  await using gateway = await startFleet({}, { domainReport: async () => report })
  const records = [{ record: '_control.gone.test', type: 'TXT', expected: 'an owner' }]
  gateway.names.table.set('gone.test', new FakeError('NAME_UNPROVEN', 421, records))
  const unproven = await ask({ port: gateway.httpsPort, host: 'gone.test' })
  assert.equal(unproven.status, 421)
  assert.match(unproven.body, /NAME_UNPROVEN.*Write the record shown below.*_control\.gone\.test/s)
  gateway.names.set('static.test', {
    kind: 'static',
    cid: emptyFile,
  })
  gateway.blocks.map.set(emptyFile, new Uint8Array(0))
  assert.equal((await ask({ port: gateway.httpsPort, host: 'static.test' })).status, 200)
  gateway.certificates.challenges.set('new.test token', 'token.thumbprint')
  const path = '/.well-known/acme-challenge/token'
  assert.equal((await ask({ port: gateway.httpPort, host: 'new.test', path, plain: true })).body, 'token.thumbprint')
  gateway.certificates.alpn.set('new.test', selfSigned(['new.test']))
  const challenged = await connectTls(gateway.httpsPort, 'new.test', { ALPNProtocols: ['acme-tls/1'] })
  assert.equal(challenged.alpnProtocol, 'acme-tls/1')
  challenged.destroy()
  gateway.names.set('refused.test', { kind: 'program', itemHash: programHash })
  gateway.certificates.refused.set('refused.test', new FakeError('CA_SAYS_NO', 422))
  assert.match((await ask({ port: gateway.httpPort, host: 'refused.test', plain: true })).body, /CA_SAYS_NO/)
  const page = await ask({ port: gateway.httpsPort, host: zone, path: '/.well-known/lastmile/domain/shop.test' })
  assert.deepEqual(JSON.parse(page.body), report)
})

test('a certificate is ordered once for all workers, and a changed one is shown by all at the next handshake', async () => {
  await using gateway = await startFleet()
  gateway.names.set('new.test', { kind: 'program', itemHash: programHash })
  gateway.certificates.onDemand.set('new.test', testCertificate())
  const shown = async (): Promise<Set<string>> => {
    const sockets = await Promise.all(
      Array.from({ length: connectionsMany }, () => connectTls(gateway.httpsPort, 'new.test')),
    )
    const prints = new Set(sockets.map((socket) => socket.getPeerCertificate().fingerprint256))
    for (const socket of sockets) socket.destroy()
    return prints
  }
  const first = await connectTls(gateway.httpsPort, 'new.test')
  const before = first.getPeerCertificate().fingerprint256
  first.destroy()
  assert.deepEqual(await shown(), new Set([before]))
  assert.equal(gateway.certificates.obtained, 1)
  gateway.certificates.replace('new.test', selfSigned(['new.test']))
  // The news travels as a message: a worker may finish handshakes that it was in the middle of.
  await until(async () => !(await shown()).has(before))
  assert.equal((await shown()).size, 1)
})

test('a reload under load changes what all workers do and loses nothing', async () => {
  await using host = await startSlowHost()
  await using gateway = await startFleet()
  gateway.hosts.add('one', host.origin)
  const [kept, long] = [await Kept.open(gateway), await Kept.open(gateway)]
  const slow = long.get('/slow', lastChunk)
  await until(() => host.waiting() === 1)
  let running = true
  const load = Promise.all(
    Array.from({ length: 4 }, async () => {
      const connection = await Kept.open(gateway)
      let count = 0
      for (; running; count++) assert.match(await connection.get('/', 'whole'), /^HTTP\/1.1 200 /)
      connection.socket.destroy()
      return count
    }),
  )
  for (const uriBytesMax of [4_000, 3_000, 30]) await gateway.reload(configOf(gateway, { limits: { uriBytesMax } }))
  const long31 = `/${'x'.repeat(30)}`
  for (const connection of await openMany(gateway)) {
    assert.match(await connection.get(long31, '}\n'), /^HTTP\/1.1 414 /)
    connection.socket.destroy()
  }
  running = false
  assert.ok((await load).every((count) => count > 0))
  assert.match(await kept.get('/', 'whole'), /^HTTP\/1.1 200 /)
  host.release()
  assert.match(await slow, /first [\s\S]*last/)
  for (const { socket } of [kept, long]) socket.destroy()
})

test('parts that keep a group of the configuration serve by the new one too, and cache sizes by new processes', async () => {
  await using gateway = await startFleet()
  const answerFor = async (text: string): Promise<number> => {
    const bytes = new TextEncoder().encode(text)
    const cid = CID.createV1(rawCodec, await sha256.digest(bytes)).toString()
    gateway.blocks.map.set(cid, bytes)
    gateway.names.set(`${text}.test`, { kind: 'static', cid })
    gateway.certificates.ready.set(`${text}.test`, testCertificate())
    return (await ask({ port: gateway.httpsPort, host: `${text}.test` })).status
  }
  assert.equal(await answerFor('twelve-bytes'), 200)
  const { static: before } = gateway.config
  await gateway.reload(configOf(gateway, { static: { ...before, blockBytesMax: 5 } }))
  assert.equal(await answerFor('eleven-byte'), 502)
  const pids = (await statusOf(gateway)).workers.map(({ pid }) => pid)
  await gateway.reload(configOf(gateway, { static: { ...before, cacheBytesMax: 1_000 } }))
  await until(() => !pids.some(isAlive))
  assert.equal(await answerFor('ten-bytes-'.slice(0, 9)), 200)
})

test('a session resumes in whichever process the next connection comes to, also in a new one', async () => {
  await using host = await startSlowHost()
  await using gateway = await startFleet()
  gateway.hosts.add('one', host.origin)
  const session = await sessionOf(gateway)
  const resumed = async (): Promise<boolean[]> => {
    const sockets = await Promise.all(
      Array.from({ length: connectionsMany }, () => connectTls(gateway.httpsPort, 'app.test', { session })),
    )
    const reused = sockets.map((socket) => socket.isSessionReused())
    for (const socket of sockets) socket.destroy()
    return reused
  }
  assert.deepEqual(await resumed(), new Array(connectionsMany).fill(true))
  await gateway.recycle()
  assert.deepEqual(await resumed(), new Array(connectionsMany).fill(true))
})

/** A session ticket, as a client gets it with its first connection. */
async function sessionOf({ httpsPort }: TestGateway): Promise<Buffer> {
  const socket = await connectTls(httpsPort, 'app.test')
  let session: Buffer | undefined
  socket.on('session', (ticket) => {
    session = ticket
  })
  socket.resume()
  socket.write('GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n')
  await once(socket, 'close')
  assert.ok(session)
  return session
}

test('a reload that would change what cannot change is refused by name, and nothing changes', async () => {
  await using gateway = await startFleet()
  const wrong = configOf(gateway, { workers: 3, listen: { host: '127.0.0.2' }, limits: { uriBytesMax: 10 } })
  await assert.rejects(gateway.reload(wrong), { code: 'GATEWAY_RELOAD_REFUSED', details: ['workers', 'listen.host'] })
  assert.equal(
    (await ask({ port: gateway.httpPort, host: 'app.test', path: '/longer-than-ten', plain: true })).status,
    308,
  )
})

test('a worker that is killed takes down its own connections only, is replaced, and totals do not go back', async () => {
  await using host = await startSlowHost()
  await using gateway = await startFleet()
  gateway.hosts.add('one', host.origin)
  const connections = await openMany(gateway)
  for (const connection of connections) await connection.get('/', 'whole')
  const { workers } = await statusOf(gateway)
  assert.equal(await answered(gateway), connectionsMany)
  const [victim, survivor] = workers
  assert.ok(victim && survivor)
  process.kill(victim.pid, 'SIGKILL')
  await until(() => connections.filter(({ closed }) => closed).length === victim.connections)
  const left = connections.filter(({ closed }) => !closed)
  for (const connection of left) assert.match(await connection.get('/', 'whole'), /^HTTP\/1.1 200 /)
  await until(async () => (await metricsOf(gateway)).includes('gateway_workers_serving 2'))
  const after = (await statusOf(gateway)).workers.map(({ pid }) => pid)
  assert.ok(after.includes(survivor.pid) && !after.includes(victim.pid) && after.length === 2)
  assert.match(await metricsOf(gateway), /gateway_worker_restarts_total 1/)
  assert.equal(await answered(gateway), connectionsMany + left.length)
  for (const connection of await openMany(gateway)) {
    assert.match(await connection.get('/', 'whole'), /^HTTP\/1.1 200 /)
    connection.socket.destroy()
  }
  for (const { socket } of left) socket.destroy()
})

test('recycling replaces every process while requests go on, and an answer under way ends whole', async () => {
  await using host = await startSlowHost()
  // All clients of the test have one address; how many connections that may open is another test's matter.
  await using gateway = await startFleet({ trust: { addresses: ['127.0.0.1'] } })
  gateway.hosts.add('one', host.origin)
  const before = (await statusOf(gateway)).workers.map(({ pid }) => pid)
  const long = await Kept.open(gateway)
  const slow = long.get('/slow', lastChunk)
  await until(() => host.waiting() === 1)
  let running = true
  let asked = 1
  let lost = 0
  const load = Promise.all(
    Array.from({ length: 4 }, async () => {
      while (running) {
        // Only before any byte of an answer: a client that comes in the instant of a close connects again.
        const answer = await ask({ port: gateway.httpsPort, host: 'app.test' }).catch(() => undefined)
        if (!answer) lost++
        else if (answer.body === 'whole') asked++
        else assert.fail(answer.body)
      }
    }),
  )
  const recycled = gateway.recycle()
  await until(async () => (await statusOf(gateway)).workers.filter(({ state }) => state === 'draining').length === 1)
  host.release()
  await recycled
  running = false
  await load
  assert.ok(lost <= 2 && asked > 20, `${lost} of ${asked} lost`)
  assert.match(await slow, /first [\s\S]*last/)
  const after = (await statusOf(gateway)).workers.map(({ pid }) => pid)
  assert.equal(after.length, 2)
  assert.deepEqual(
    after.filter((pid) => before.includes(pid) || !isAlive(pid)),
    [],
  )
  assert.deepEqual(before.filter(isAlive), [])
  assert.match(await metricsOf(gateway), /gateway_worker_restarts_total 0/)
  assert.equal(await answered(gateway), asked)
})

test('a worker that hangs is named, and does not hold up the admin server', async () => {
  await using gateway = await startFleet()
  const hung = (await statusOf(gateway)).workers[0]?.pid as number
  process.kill(hung, 'SIGSTOP')
  try {
    const startedMs = performance.now()
    const status = await statusOf(gateway)
    await metricsOf(gateway)
    assert.ok(performance.now() - startedMs < 10_000)
    assert.deepEqual(status.silentWorkers, [hung])
    assert.equal((await fetch(`http://127.0.0.1:${gateway.adminPort}/healthz`)).status, 200)
  } finally {
    process.kill(hung, 'SIGCONT')
  }
  await until(async () => (await statusOf(gateway)).silentWorkers.length === 0)
})

test('a stop lets requests in flight finish and leaves no process behind', async () => {
  await using host = await startSlowHost()
  await using gateway = await startFleet()
  gateway.hosts.add('one', host.origin)
  const pids = (await statusOf(gateway)).workers.map(({ pid }) => pid)
  const connection = await Kept.open(gateway)
  const slow = connection.get('/slow', lastChunk)
  await until(() => host.waiting() === 1)
  const stopped = gateway[Symbol.asyncDispose]()
  await until(async () => (await connectTls(gateway.httpsPort, 'app.test').catch((error) => error)) instanceof Error)
  assert.equal((await fetch(`http://127.0.0.1:${gateway.adminPort}/healthz`)).status, 503)
  host.release()
  assert.match(await slow, /last/)
  await stopped
  assert.deepEqual(pids.filter(isAlive), [])
})

test('a client that had only just connected when a stop began is still answered, once', async () => {
  await using host = await startSlowHost()
  await using gateway = await startTestGateway({ timeouts: { drainMs: 5_000 } })
  gateway.hosts.add('one', host.origin)
  const connection = await Kept.open(gateway)
  const stopped = gateway[Symbol.asyncDispose]()
  assert.match(await connection.get('/', 'whole'), /^HTTP\/1.1 200 /)
  await until(() => connection.closed)
  await stopped
})

test('a stop ends what does not finish in time', async () => {
  await using host = await startSlowHost()
  await using gateway = await startFleet({ timeouts: { drainMs: 100 } })
  gateway.hosts.add('one', host.origin)
  const pids = (await statusOf(gateway)).workers.map(({ pid }) => pid)
  const connection = await Kept.open(gateway)
  void connection.get('/slow', lastChunk)
  await until(() => host.waiting() === 1)
  await gateway[Symbol.asyncDispose]()
  await until(() => connection.closed)
  assert.deepEqual(pids.filter(isAlive), [])
})

test('workers whose primary was killed finish and end by themselves within seconds', async () => {
  const program = new URL('../testing/fleet-primary.ts', import.meta.url).pathname
  const primary = fork(program, [], { stdio: ['ignore', 2, 2, 'ipc'] })
  const [started] = (await once(primary, 'message')) as [{ pids: number[]; httpPort: number }]
  assert.equal(started.pids.filter(isAlive).length, 2)
  primary.kill('SIGKILL')
  await until(() => !started.pids.some(isAlive))
})

test('signals to the whole group of processes stop no worker: that is for the primary to say', async () => {
  await using gateway = await startFleet()
  const { workers } = await statusOf(gateway)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    for (const { pid } of workers) process.kill(pid, signal)
  assert.deepEqual(
    (await statusOf(gateway)).workers.map(({ pid, state }) => [pid, state]),
    workers.map(({ pid }) => [pid, 'serving']),
  )
})

test('a gateway that serves in its own process cannot replace workers, and says so', async () => {
  await using gateway = await startTestGateway()
  await assert.rejects(gateway.recycle(), { code: 'GATEWAY_NO_WORKERS' })
})

test('a port that somebody else has is not shared with them', async () => {
  const other = createServer()
  await new Promise<void>((resolve) => void other.listen(0, '127.0.0.1', resolve))
  const { port } = other.address() as AddressInfo
  await using first = await startFleet()
  for (const taken of [port, first.httpPort]) {
    const config = configOf(first, { listen: { host: '127.0.0.1', httpPort: taken, httpsPort: 0 } })
    const { names, certificates, hosts, blocks, metrics, log } = first
    const ports = { names, certificates, hosts, blocks, metrics, log, clock: systemClock, random: systemRandom }
    await assert.rejects(startGateway(config, ports), { code: 'EADDRINUSE' })
  }
  other.close()
})

/** The configuration that a test gateway runs by, with changes. */
function configOf({ config }: TestGateway, change: Record<string, unknown>) {
  return gatewayConfigSchema.parse({
    ...config,
    ...change,
    listen: { ...config.listen, ...(change.listen as object) },
    limits: { ...config.limits, ...(change.limits as object) },
  })
}
