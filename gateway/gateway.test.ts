import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ask } from './testing/client.ts'
import { startFakeHost } from './testing/fake-host.ts'
import { programHash, startTestGateway, zone } from './testing/test-gateway.ts'

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

test('the zone itself shows what this is', async () => {
  await using gateway = await startTestGateway()
  const answer = await ask({ port: gateway.httpsPort, host: zone })
  assert.equal(answer.status, 200)
  assert.match(answer.body, /Lastmile gateway/)
})
