// What the choice of hosts may cost hosts and us. The decisions themselves have their tests in gateway/balance.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FakeClock } from '../../core/clock.ts'
import { memoryLog } from '../../core/log.ts'
import { createMetrics } from '../../core/metrics.ts'
import { seededRandom } from '../../core/random.ts'
import { Balancer } from '../balance/balancer.ts'
import { type BalanceConfig, balanceConfigSchema } from '../balance/config.ts'
import { HostHealth } from '../balance/host-health.ts'
import { uptimeWeight } from '../balance/uptime-weight.ts'
import { gatewayMetrics } from '../metrics.ts'
import type { HostCandidate, HostSource } from '../ports.ts'
import { ask } from '../testing/client.ts'
import { startFakeHost, startRawHost } from '../testing/fake-host.ts'
import { startTestGateway } from '../testing/test-gateway.ts'

const cold = (id: string): HostCandidate => ({ id, origin: `http://${id}`, uptime: 1, running: false })

function startBalancer(hosts: HostSource, options: Partial<BalanceConfig> = {}) {
  const clock = new FakeClock()
  const config = balanceConfigSchema.parse({ checkMs: 86_400_000, ...options })
  const metrics = gatewayMetrics(createMetrics())
  const random = seededRandom(1)
  const health = new HostHealth(config, { clock, metrics, random, probe: async () => true })
  const balancer = new Balancer(config, { hosts, health, clock, random, metrics, log: memoryLog() })
  return { clock, balancer, health }
}

test('a request goes to attemptsMax hosts and no more', async () => {
  for (const attemptsMax of [4, 2]) {
    let asked = 0
    const dying = () =>
      startRawHost((socket, request) => {
        if (!request.includes('/healthz')) asked++
        socket.destroy()
      })
    await using stack = new AsyncDisposableStack()
    const gateway = stack.use(await startTestGateway({ listen: { plainSites: true }, balance: { attemptsMax } }))
    for (let i = 0; i < 6; i++) gateway.hosts.add(`${i}`, stack.use(await dying()).origin)
    assert.equal((await ask({ port: gateway.httpPort, host: 'app.test', plain: true })).status, 502)
    assert.equal(asked, attemptsMax)
  }
})

test('a host that answered counts as running the program for warmMs', async () => {
  const { clock, balancer, health } = startBalancer({ hosts: async () => [cold('a'), cold('b')] })
  const take = async (tried: string[] = []) => balancer.take(await balancer.find('h'), { tried })
  const first = await take()
  first?.end('unknown')
  const other = await take([first?.id ?? ''])
  assert.notEqual(other?.id, first?.id)
  other?.end('answered', 10)
  const chosenAfter = async (ms: number): Promise<string | undefined> => {
    await clock.advance(ms)
    const lease = await take()
    lease?.end('unknown')
    return lease?.id
  }
  assert.equal(await chosenAfter(59_000), other?.id)
  assert.equal(await chosenAfter(2_000), first?.id)
  health[Symbol.dispose]()
})

test('a host that says it is full for long is asked again after a minute', async () => {
  const { clock, balancer, health } = startBalancer({ hosts: async () => [cold('a')] })
  const take = async () => balancer.take(await balancer.find('h'), { tried: [] })
  ;(await take())?.endFull(86_400_000)
  await clock.advance(59_000)
  assert.equal(await take(), undefined)
  await clock.advance(2_000)
  assert.ok(await take())
  health[Symbol.dispose]()
})

test('a source of hosts that hangs holds nobody longer than ten seconds; what it said before is used for ten minutes', async () => {
  let hangs = false
  const hosts = { hosts: () => (hangs ? new Promise<never>(() => {}) : Promise.resolve([cold('a')])) }
  const { clock, balancer, health } = startBalancer(hosts)
  await balancer.find('h')
  hangs = true
  const answer = async (hash: string, waitMs: number): Promise<unknown> => {
    let result: unknown
    void Promise.resolve(balancer.find(hash)).then(
      (program) => {
        result = program.size
      },
      (error) => {
        result = error.code
      },
    )
    await clock.advance(waitMs)
    return result
  }
  assert.equal(await answer('new', 9_999), undefined)
  await clock.advance(1)
  assert.equal(await answer('new', 10_000), 'GATEWAY_HOST_LIST_TIMEOUT')
  assert.equal(await answer('h', 10_000), 1)
  await clock.advance(600_000)
  assert.equal(await answer('h', 10_000), 'GATEWAY_HOST_LIST_TIMEOUT')
  health[Symbol.dispose]()
})

test('uptimes that differ by less than the margin count as equal', () => {
  assert.equal(uptimeWeight(0.97, 0.99, 0.021), 1)
  assert.ok(uptimeWeight(0.96, 0.99, 0.02) < 0.9)
})

test('no more than 10,000 hosts are remembered, the least used go first', () => {
  const { health } = startBalancer({ hosts: async () => [] })
  for (let i = 0; i < 10_002; i++) health.of(cold(`${i}`))
  const ids = new Set(health.all().map(({ id }) => id))
  assert.equal(ids.size, 10_000)
  assert.deepEqual(
    ['0', '1', '2', '10001'].map((id) => ids.has(id)),
    [false, false, true, true],
  )
  health[Symbol.dispose]()
})

test('an answer of more than 8 KiB is never the word of a host that it is full', async () => {
  for (const [bytes, answeredBy] of [
    [8_192, 'fine'],
    [8_193, 'first'],
  ] as const) {
    const start = '{"code":"CRN_FULL","pad":"'
    const body = `${start}${'x'.repeat(bytes - start.length - 2)}"}`
    await using full = await startFakeHost((_, response) => {
      response.writeHead(503, { 'Content-Type': 'application/problem+json', 'Content-Length': body.length })
      response.end(body)
    })
    await using fine = await startFakeHost((_, response) => response.end('fine'))
    await using gateway = await startTestGateway({ listen: { plainSites: true } })
    gateway.hosts.add('full', full.origin).add('fine', fine.origin, { running: false })
    const answer = await ask({ port: gateway.httpPort, host: 'app.test', plain: true })
    assert.equal(answer.body === 'fine' ? 'fine' : 'first', answeredBy)
  }
})
