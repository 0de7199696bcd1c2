// When memory is short: new work is refused, work in progress is not. The marks are set so low that they hold at once.
import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import { describe, test } from 'node:test'
import { gatewayConfigSchema } from '../config.ts'
import { ask, connectTls } from '../testing/client.ts'
import { connectPlain, converse } from '../testing/conversation.ts'
import { startFakeHost } from '../testing/fake-host.ts'
import { askHttp2, beginHttp2, connectHttp2 } from '../testing/http2-client.ts'
import { startTestGateway, type TestGateway } from '../testing/test-gateway.ts'
import { until } from '../testing/until.ts'

const short = { softBytes: 1 }
const shortest = { softBytes: 1, hardBytes: 1 }
const request = 'GET / HTTP/1.1\r\nHost: app.test\r\n\r\n'

async function setMemory(gateway: TestGateway, memory: object): Promise<void> {
  await gateway.reload(gatewayConfigSchema.parse({ ...gateway.config, memory }))
}

describe('while memory is short', () => {
  test('new requests get 503 with Retry-After, over both protocols, and hosts see none of them', async () => {
    await using host = await startFakeHost((_, response) => response.end('ok'))
    await using gateway = await startTestGateway({ memory: short })
    gateway.hosts.add('one', host.origin)
    const answer = await ask({ port: gateway.httpsPort, host: 'app.test' })
    assert.deepEqual([answer.status, answer.headers['retry-after']], [503, '2'])
    assert.match(answer.body, /"code": "GATEWAY_MEMORY_SHORT"/)
    await using client = await connectHttp2(gateway.httpsPort, 'app.test')
    const answer2 = await askHttp2(client, { host: 'app.test' })
    assert.equal(answer2.status, 503)
    assert.match(String(answer2.body), /"code": "GATEWAY_MEMORY_SHORT"/)
    assert.equal(host.seen.length, 0)
    assert.match(await gateway.metrics.text(), /gateway_refused_requests_total\{reason="memory"\} 2/)
  })

  test('answers under way go on to their end, and idle connections are closed', async () => {
    const responses: ServerResponse[] = []
    await using host = await startFakeHost((_, response) => {
      responses.push(response)
      response.write('begun,')
    })
    await using gateway = await startTestGateway()
    gateway.hosts.add('one', host.origin)
    await using busy = converse(await connectTls(gateway.httpsPort, 'app.test'))
    busy.say(request)
    await busy.hear(/begun/)
    await using client = await connectHttp2(gateway.httpsPort, 'app.test')
    const stream = beginHttp2(client, { host: 'app.test' })
    let text = ''
    stream.on('data', (part) => {
      text += part
    })
    await until(() => text === 'begun,')
    await using idle = converse(await connectTls(gateway.httpsPort, 'app.test'))
    await setMemory(gateway, short)
    await idle.end()
    assert.equal((await ask({ port: gateway.httpsPort, host: 'app.test' })).status, 503)
    for (const response of responses) response.end('and done')
    await busy.hear(/and done\r\n0\r\n\r\n$/)
    await until(() => text === 'begun,and done')
  })

  test('connections that become idle are closed as well', async () => {
    await using gateway = await startTestGateway({ memory: short })
    await using talk = converse(await connectTls(gateway.httpsPort, 'app.test'))
    talk.say(request)
    await talk.hear(/^HTTP\/1.1 503 /)
    await talk.end()
  })

  test('new connections are refused once it is at its hardest, and taken again when it is over', async () => {
    await using host = await startFakeHost((_, response) => response.end('ok'))
    await using gateway = await startTestGateway()
    gateway.hosts.add('one', host.origin)
    await setMemory(gateway, shortest)
    await using refused = converse(await connectPlain(gateway.httpPort))
    assert.equal(await refused.end(), '')
    await assert.rejects(connectTls(gateway.httpsPort, 'app.test'))
    assert.match(await gateway.metrics.text(), /gateway_refused_connections_total\{reason="memory"\} 2/)
    await setMemory(gateway, {})
    assert.equal((await ask({ port: gateway.httpsPort, host: 'app.test' })).status, 200)
  })

  test('a challenge of a certificate authority is answered all the same', async () => {
    await using gateway = await startTestGateway({ memory: short })
    gateway.certificates.challenges.set('app.test token', 'token.thumb')
    const path = '/.well-known/acme-challenge/token'
    assert.equal((await ask({ port: gateway.httpPort, host: 'app.test', plain: true, path })).body, 'token.thumb')
  })
})
