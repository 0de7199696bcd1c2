import assert from 'node:assert/strict'
import type { RequestListener } from 'node:http'
import { test } from 'node:test'
import { ask } from '../testing/client.ts'
import { startFakeHost, startRawHost } from '../testing/fake-host.ts'
import { programHash, startTestGateway } from '../testing/test-gateway.ts'
import { until } from '../testing/until.ts'

const say =
  (text: string): RequestListener =>
  (request, response) => {
    request.resume()
    request.on('end', () => response.end(text))
  }
const full: RequestListener = (_, response) => {
  const body = JSON.stringify({ code: 'CRN_FULL', title: 'CRN_FULL', status: 503 })
  response
    .writeHead(503, { 'Content-Type': 'application/problem+json', 'Retry-After': '7', 'Content-Length': body.length })
    .end(body)
}

test('a host killed under load costs no idempotent request, and is back in use after it recovers', async () => {
  const slowly =
    (text: string): RequestListener =>
    (_, response) =>
      void setTimeout(() => response.end(text), 5)
  await using first = await startFakeHost(slowly('first'))
  await using second = await startFakeHost(slowly('second'))
  await using gateway = await startTestGateway({ balance: { ejectMs: 50, ejectMaxMs: 200 } })
  gateway.hosts.add('first', first.origin, { uptime: 1 }).add('second', second.origin, { uptime: 0.9 })
  const methods = ['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS']
  let next = 0
  let failed = 0
  const bodies: string[] = []
  const worker = async (): Promise<void> => {
    while (next < 200) {
      const turn = next++
      if (turn === 80) await first.kill()
      const method = methods[turn % methods.length] as string
      const body = method === 'PUT' ? { body: 'small', headers: { 'Content-Length': '5' } } : {}
      const answer = await ask({ port: gateway.httpsPort, host: 'app.test', method, ...body }).catch(() => undefined)
      if (answer?.status !== 200) failed++
      else if (method === 'GET') bodies.push(answer.body)
    }
  }
  await Promise.all(Array.from({ length: 16 }, worker))
  assert.equal(failed, 0)
  assert.ok(bodies.includes('first') && bodies.includes('second'))
  assert.match(await gateway.metrics.text(), /gateway_host_ejections_total 1/)

  await first.revive()
  await until(async () => (await ask({ port: gateway.httpsPort, host: 'app.test' })).body === 'first')
})

test('a host that is full is passed over, and left alone afterwards', async () => {
  await using busy = await startFakeHost(full)
  await using free = await startFakeHost(say('free'))
  await using gateway = await startTestGateway()
  gateway.hosts.add('busy', busy.origin, { uptime: 1 }).add('free', free.origin, { uptime: 0.5 })
  for (let i = 0; i < 3; i++)
    assert.equal((await ask({ port: gateway.httpsPort, host: 'app.test', method: 'POST' })).body, 'free')
  assert.equal(busy.seen.length, 1)
})

test('when every host is full the client learns when to come back', async () => {
  await using busy = await startFakeHost(full)
  await using gateway = await startTestGateway()
  gateway.hosts.add('busy', busy.origin)
  const answer = await ask({ port: gateway.httpsPort, host: 'app.test' })
  assert.equal(answer.status, 503)
  assert.equal(answer.headers['retry-after'], '7')
  assert.equal(JSON.parse(answer.body).code, 'GATEWAY_HOSTS_FULL')
})

test("a program's own 503 is the program's answer", async () => {
  const body = JSON.stringify({ code: 'MY_OWN' })
  await using host = await startFakeHost((_, response) => {
    response.writeHead(503, { 'Content-Type': 'application/problem+json', 'Content-Length': body.length }).end(body)
  })
  await using gateway = await startTestGateway()
  gateway.hosts.add('one', host.origin)
  const answer = await ask({ port: gateway.httpsPort, host: 'app.test' })
  assert.deepEqual([answer.status, answer.body], [503, body])
})

test('a request that may have had an effect is not sent twice', async () => {
  let seen = 0
  await using broken = await startRawHost((socket) => {
    seen++
    socket.destroy()
  })
  await using other = await startFakeHost(say('other'))
  await using gateway = await startTestGateway()
  gateway.hosts.add('broken', broken.origin, { uptime: 1 }).add('other', other.origin, { uptime: 0.5 })
  const answer = await ask({ port: gateway.httpsPort, host: 'app.test', method: 'POST', body: 'order' })
  assert.equal(answer.status, 502)
  assert.deepEqual([seen, other.seen.length], [1, 0])
})

test('a POST whose host refuses the connection goes to another host with its body', async () => {
  await using gone = await startFakeHost(say('gone'))
  await gone.kill()
  await using other = await startFakeHost((request, response) => void request.pipe(response))
  await using gateway = await startTestGateway()
  gateway.hosts.add('gone', gone.origin, { uptime: 1 }).add('other', other.origin, { uptime: 0.5 })
  const answer = await ask({ port: gateway.httpsPort, host: 'app.test', method: 'POST', body: 'order' })
  assert.deepEqual([answer.status, answer.body], [200, 'order'])
})

test('a host that answers garbage is passed over', async () => {
  await using garbage = await startRawHost((socket) => void socket.end('220 mail ready\r\n'))
  await using other = await startFakeHost(say('other'))
  await using gateway = await startTestGateway()
  gateway.hosts.add('garbage', garbage.origin, { uptime: 1 }).add('other', other.origin, { uptime: 0.5 })
  assert.equal((await ask({ port: gateway.httpsPort, host: 'app.test' })).body, 'other')
})

test('a host that never answers ends in 504 after the limit, and is not asked again', async () => {
  await using silent = await startFakeHost(() => {})
  await using gateway = await startTestGateway({ timeouts: { firstByteMs: 100 } })
  gateway.hosts.add('silent', silent.origin)
  const answer = await ask({ port: gateway.httpsPort, host: 'app.test' })
  assert.equal(answer.status, 504)
  assert.equal(JSON.parse(answer.body).code, 'GATEWAY_HOST_TIMEOUT')
  assert.equal(silent.seen.length, 1)
})

test('no host at all is 503, and says so', async () => {
  await using gateway = await startTestGateway()
  const answer = await ask({ port: gateway.httpsPort, host: 'app.test' })
  assert.deepEqual([answer.status, JSON.parse(answer.body).code], [503, 'GATEWAY_NO_HOST'])
  assert.equal(answer.headers['retry-after'], '2')
})

test('a kept connection that the host has closed meanwhile is no failure', async () => {
  await using host = await startFakeHost(say('ok'))
  host.server.keepAliveTimeout = 60_000
  await using gateway = await startTestGateway()
  gateway.hosts.add('one', host.origin)
  for (let i = 0; i < 5; i++) {
    assert.equal((await ask({ port: gateway.httpsPort, host: 'app.test' })).status, 200)
    host.server.closeIdleConnections()
  }
  assert.doesNotMatch(await gateway.metrics.text(), /ejections_total [1-9]/)
})

test('the host sees nothing of the client', async () => {
  await using host = await startFakeHost(say('ok'))
  await using gateway = await startTestGateway()
  gateway.hosts.add('one', host.origin)
  const headers = {
    'X-Forwarded-For': '6.6.6.6',
    Forwarded: 'for=6.6.6.6',
    'CF-Connecting-IP': '6.6.6.6',
    'X-Request-Id': 'me',
    Accept: 'text/plain',
  }
  await ask({ port: gateway.httpsPort, host: 'app.test', headers })
  const [request] = host.seen
  const fields = request?.rawHeaders ?? []
  const id = fields[fields.indexOf('X-Request-Id') + 1]
  assert.match(String(id), /^[0-9a-f]{16}$/)
  assert.deepEqual(fields, [
    ...['Host', 'app.test', 'Accept', 'text/plain', 'Via', '1.1 zone.test'],
    ...['X-Request-Id', id, 'CDN-Loop', 'zone.test'],
  ])
  assert.equal(request?.url, `/vm/${programHash}/`)
})

test('a request that comes back to its gateway is refused as a loop', async () => {
  await using gateway = await startTestGateway()
  const answer = await ask({ port: gateway.httpsPort, host: 'app.test', headers: { 'CDN-Loop': 'zone.test' } })
  assert.equal(answer.status, 508)
})
