import assert from 'node:assert/strict'
import { once } from 'node:events'
import net, { type AddressInfo } from 'node:net'
import { test } from 'node:test'
import { FakeClock } from '../../core/clock.ts'
import { seededRandom } from '../../core/random.ts'
import { gatewayConfigSchema } from '../config.ts'
import { ticketLifeMs } from '../listen/tls/ticket-rotation.ts'
import { overwriteConfig } from '../live-config.ts'
import { FakeCertificates } from '../testing/fakes.ts'
import { closeWhenTaken } from './close-when-taken.ts'
import { workerCount } from './config.ts'
import { gatewayStatus } from './gateway-status.ts'
import { changedKeys, planReload } from './reload-plan.ts'
import { restartPauseMs } from './restart-pause.ts'
import { TicketKeyRotation } from './ticket-key-rotation.ts'
import type { WorkerStatus } from './worker-status.ts'

test('a worker that dies after a long life is replaced at once; one that keeps dying, ever later', () => {
  const record = { inRow: 0 }
  assert.equal(restartPauseMs(record, 3_600_000), 0)
  const pauses = Array.from({ length: 12 }, () => restartPauseMs(record, 500))
  assert.deepEqual(pauses, [100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000, 30_000])
  assert.equal(restartPauseMs(record, 3_600_000), 0)
})

test('"auto" is at least one worker, a number is that number, and none is allowed', () => {
  const { workers } = gatewayConfigSchema.parse({})
  assert.ok(workerCount(workers) >= 1)
  assert.deepEqual([0, 1, 7].map(workerCount), [0, 1, 7])
  assert.equal(gatewayConfigSchema.safeParse({ workers: -1 }).success, false)
})

test('a new configuration is told apart by the dotted keys that differ', () => {
  const before = { a: 1, list: [1, 2], group: { same: true, other: 'x', gone: 1 } }
  const after = { a: 1, list: [1, 3], group: { same: true, other: 'y', fresh: 1 } }
  assert.deepEqual(changedKeys(before, after), ['list', 'group.other', 'group.gone', 'group.fresh'])
  assert.deepEqual(changedKeys(before, structuredClone(before)), [])
})

test('limits, times and the choice of hosts can be reloaded; sockets, processes and the zone cannot', () => {
  const before = gatewayConfigSchema.parse({})
  const after = gatewayConfigSchema.parse({
    zone: 'other.test',
    workers: 3,
    listen: { httpPort: 1 },
    admin: { port: 2 },
    limits: { uriBytesMax: 100 },
    timeouts: { headMs: 1 },
    balance: { attemptsMax: 1 },
    static: { depthMax: 2 },
    routes: { unknownMs: 7 },
  })
  assert.deepEqual(planReload(before, after, true), {
    refused: ['zone', 'workers', 'listen.httpPort', 'admin.port'],
    recycle: false,
  })
  assert.deepEqual(planReload(before, { ...after, ...pick(before) }, true), { refused: [], recycle: false })
})

test('other sizes of caches take new processes, and are refused where there are none', () => {
  const before = gatewayConfigSchema.parse({})
  const after = gatewayConfigSchema.parse({ routes: { sitesMax: 7 }, static: { cacheBytesMax: 8 } })
  assert.deepEqual(planReload(before, after, true), { refused: [], recycle: true })
  const refused = ['routes.sitesMax', 'static.cacheBytesMax']
  assert.deepEqual(planReload(before, after, false), { refused, recycle: false })
})

test('a part that keeps a group of the configuration sees the new values in it', () => {
  const live = { a: 1, list: [1], group: { inner: { x: 1 }, gone: 1 } }
  const {
    group,
    group: { inner },
  } = live
  const next = { a: 2, list: [2, 3], group: { inner: { x: 2 }, fresh: 1 } }
  overwriteConfig(live, next)
  assert.deepEqual(live, next)
  assert.ok(live.group === group && live.group.inner === inner)
  assert.deepEqual(next, { a: 2, list: [2, 3], group: { inner: { x: 2 }, fresh: 1 } })
})

function pick({ zone, workers, listen, admin }: ReturnType<typeof gatewayConfigSchema.parse>) {
  return { zone, workers, listen, admin }
}

test('the status adds workers up, shows each site and host once, and names the silent', () => {
  const told = (change: Partial<WorkerStatus>): WorkerStatus => ({
    pid: 1,
    uptimeSeconds: 5,
    rssBytes: 100,
    eventLoopLagMs: 0,
    connections: 3,
    requestsInFlight: 2,
    draining: false,
    sitesKnown: 1,
    sites: [],
    hosts: [],
    ...change,
  })
  const site = { host: 'app.test', via: 'dns', target: { kind: 'static', cid: 'x' }, expiresInSeconds: 10 } as const
  const host = { id: 'one', origin: 'http://h', up: true, inFlight: 1, firstByteMs: 10, failuresInRow: 0 }
  const reports = [
    { index: 0, pid: 11, state: 'serving', status: told({ sites: [site], hosts: [host], sitesKnown: 5_000 }) },
    {
      index: 1,
      pid: 12,
      state: 'serving',
      status: told({
        sites: [{ ...site, expiresInSeconds: 60 }],
        hosts: [{ ...host, up: false, inFlight: 4, firstByteMs: 20, failuresInRow: 3 }],
      }),
    },
    { index: 2, pid: 13, state: 'silent' },
  ] as const
  const certificates = new FakeCertificates()
  const status = gatewayStatus(reports, { uptimeSeconds: 9, draining: false, certificates, nowMs: 0 }) as never
  assert.deepEqual(
    pickFrom(status, ['requestsInFlight', 'connections', 'silentWorkers', 'sitesKnown', 'sites', 'hosts']),
    {
      requestsInFlight: 4,
      connections: 6,
      silentWorkers: [13],
      sitesKnown: 5_000,
      sites: [{ ...site, expiresInSeconds: 60, certificate: undefined }],
      hosts: [
        { id: 'one', origin: 'http://h', up: true, workersWithout: 1, inFlight: 5, firstByteMs: 15, failuresInRow: 3 },
      ],
    },
  )
})

function pickFrom(from: Record<string, unknown>, keys: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(keys.map((key) => [key, from[key]]))
}

test('ticket keys are replaced in time and everybody is told; the ones before stay good for one more life', async () => {
  const clock = new FakeClock()
  using rotation = new TicketKeyRotation(clock, seededRandom(7))
  const first = rotation.current()
  assert.equal(first.current.length, 48)
  const told: unknown[] = []
  rotation.onChange((keys) => told.push(keys))
  await clock.advance(ticketLifeMs + 1)
  assert.deepEqual(told, [rotation.current()])
  assert.deepEqual(rotation.current().previous, first.current)
  assert.notDeepEqual(rotation.current().current, first.current)
})

test('connections that the kernel has queued for a listener are taken before it closes', async () => {
  let served = 0
  const server = net.createServer((socket) => {
    served++
    socket.end('served')
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const clients = Array.from({ length: 50 }, () => net.connect(port, '127.0.0.1').on('error', () => {}))
  const done = Promise.all(clients.map((client) => once(client.resume(), 'close')))
  // All handshakes are complete when the last one is, and none has been accepted: one turn of the loop takes one connection.
  await once(clients.at(-1) as net.Socket, 'connect')
  assert.ok(served < 50)
  await closeWhenTaken([server])
  await done
  assert.equal(served, 50)
})
