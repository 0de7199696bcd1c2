import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { DomainReport } from './ports.ts'
import { ask, connectTls, sendRawPlain } from './testing/client.ts'
import { startFakeHost } from './testing/fake-host.ts'
import { programHash, startTestGateway, zone } from './testing/test-gateway.ts'
import { until } from './testing/until.ts'

test('a request for a known name is answered by the program on a compute host', async () => {
  await using host = await startFakeHost((request, response) =>
    response.end(`${request.method} ${request.url} ${request.headers.host}`),
  )
  await using gateway = await startTestGateway()
  gateway.hosts.add('one', host.origin)
  const answer = await ask({ port: gateway.httpsPort, host: 'app.test', path: '/hello?x=1' })
  assert.equal(answer.status, 200)
  assert.equal(answer.body, `GET /vm/${programHash}/hello?x=1 app.test`)
})

test('plain HTTP redirects to HTTPS and keeps method, path and query', async () => {
  await using gateway = await startTestGateway()
  const answer = await ask({ port: gateway.httpPort, host: 'app.test', path: '/a?b=c', method: 'POST', plain: true })
  assert.equal(answer.status, 308)
  assert.equal(answer.headers.location, `https://app.test:${gateway.httpsPort}/a?b=c`)
})

test('a redirect names no port when the public one is 443', async () => {
  await using gateway = await startTestGateway({ publicHttpsPort: 443 } as never)
  const answer = await ask({ port: gateway.httpPort, host: 'app.test', plain: true })
  assert.equal(answer.headers.location, 'https://app.test/')
})

test('an ACME challenge is answered over plain HTTP, also for a name that leads nowhere yet', async () => {
  await using gateway = await startTestGateway()
  gateway.certificates.challenges.set('new.test tok-en_1', 'tok-en_1.thumbprint')
  const path = '/.well-known/acme-challenge/tok-en_1'
  const answer = await ask({ port: gateway.httpPort, host: 'new.test', path, plain: true })
  assert.deepEqual([answer.status, answer.body], [200, 'tok-en_1.thumbprint'])
  const other = await ask({ port: gateway.httpPort, host: 'other.test', path, plain: true })
  assert.equal(other.status, 404)
})

test('a redirect target is followed by the client', async () => {
  await using gateway = await startTestGateway()
  gateway.names.set('other.test', { kind: 'redirect', location: 'https://elsewhere.example/', status: 302 })
  const answer = await ask({ port: gateway.httpsPort, host: 'other.test' })
  assert.deepEqual([answer.status, answer.headers.location], [302, 'https://elsewhere.example/'])
})

test('the zone itself shows what this is, and nothing else', async () => {
  await using gateway = await startTestGateway()
  const answer = await ask({ port: gateway.httpsPort, host: zone })
  assert.equal(answer.status, 200)
  assert.match(answer.body, /Lastmile gateway/)
  assert.equal((await ask({ port: gateway.httpsPort, host: zone, path: '/x' })).status, 404)
})

test('the zone tells an owner how the records of a domain stand, for people and for programs', async () => {
  const report: DomainReport = {
    host: 'shop.test',
    ok: false,
    summary: 'the owner record is missing',
    records: [{ record: '_control.shop.test', type: 'TXT', found: [], expected: '<b>0x…</b>' }],
    advice: 'Write it at your DNS provider.',
  }
  await using gateway = await startTestGateway({}, { domainReport: async () => report })
  const path = '/.well-known/lastmile/domain/Shop.test'
  const json = await ask({ port: gateway.httpsPort, host: zone, path })
  assert.deepEqual(JSON.parse(json.body), report)
  const page = await ask({ port: gateway.httpsPort, host: zone, path, headers: { Accept: 'text/html' } })
  assert.match(page.body, /_control\.shop\.test/)
  assert.doesNotMatch(page.body, /<b>0x/)
  assert.equal(
    (await ask({ port: gateway.httpsPort, host: zone, path: '/.well-known/lastmile/domain/a/b' })).status,
    400,
  )
})

test('the admin server shows metrics, health and status, and nothing of requesters', async () => {
  await using host = await startFakeHost((_, response) => response.end('ok'))
  await using gateway = await startTestGateway()
  gateway.hosts.add('node-1', host.origin)
  await ask({
    port: gateway.httpsPort,
    host: 'app.test',
    path: '/secret-path?secret-query',
    headers: { 'User-Agent': 'secret-agent' },
  })
  await ask({ port: gateway.httpPort, host: 'nobody.test', path: '/secret-path', plain: true })
  const get = async (path: string): Promise<string> =>
    (await fetch(`http://127.0.0.1:${gateway.adminPort}${path}`)).text()
  const metrics = await get('/metrics')
  assert.match(metrics, /gateway_requests_total\{class="2xx",fault="none"\} 1/)
  assert.match(metrics, /gateway_requests_total\{class="4xx",fault="caller"\} 1/)
  assert.doesNotMatch(metrics, /app\.test|nobody|127\.0\.0\.1|abab/)
  assert.equal(JSON.parse(await get('/healthz')).status, 'ok')
  const status = await get('/api/v0/status')
  const { sites, hosts } = JSON.parse(status)
  assert.equal(sites[0].host, 'app.test')
  assert.equal(sites[0].target.itemHash, programHash)
  assert.ok(sites[0].certificate.id)
  assert.deepEqual([hosts[0].id, hosts[0].up], ['node-1', true])
  assert.doesNotMatch(status + metrics + JSON.stringify(gateway.log.lines), /secret|nobody/)
})

test('a stop lets requests in flight finish, and takes no new ones', async () => {
  await using host = await startFakeHost((_, response) => void setTimeout(() => response.end('finished'), 200))
  const gateway = await startTestGateway({ timeouts: { drainMs: 2_000 } })
  gateway.hosts.add('one', host.origin)
  const answer = ask({ port: gateway.httpsPort, host: 'app.test' })
  await until(() => host.seen.length === 1)
  const stopped = gateway[Symbol.asyncDispose]()
  await assert.rejects(connectTls(gateway.httpsPort, 'app.test'), { code: 'ECONNREFUSED' })
  assert.equal((await answer).body, 'finished')
  await stopped
})

test('a stop ends what does not finish in time', async () => {
  await using host = await startFakeHost((_, response) => void response.write('begun'))
  const gateway = await startTestGateway({ timeouts: { drainMs: 100 } })
  gateway.hosts.add('one', host.origin)
  const answer = assert.rejects(ask({ port: gateway.httpsPort, host: 'app.test' }))
  await until(() => host.seen.length === 1)
  const startedMs = performance.now()
  await gateway[Symbol.asyncDispose]()
  assert.ok(performance.now() - startedMs < 4_000)
  await answer
})

test('OPTIONS * is answered', async () => {
  await using host = await startFakeHost((_, response) => response.end('ok'))
  await using gateway = await startTestGateway()
  gateway.hosts.add('one', host.origin)
  assert.match(
    await sendRawPlain(gateway.httpPort, 'OPTIONS * HTTP/1.1\r\nHost: app.test\r\n\r\n', 100),
    /^HTTP\/1.1 308 /,
  )
})
