// Another configuration for a gateway that serves: limits change at once, and nothing under way notices.
import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import { describe, test } from 'node:test'
import { type GatewayConfig, gatewayConfigSchema } from '../config.ts'
import { ask, askBytes, connectTls } from '../testing/client.ts'
import { converse } from '../testing/conversation.ts'
import { type FakeHost, startFakeHost } from '../testing/fake-host.ts'
import { askHttp2, beginHttp2, connectHttp2 } from '../testing/http2-client.ts'
import { startTestGateway, type TestGateway } from '../testing/test-gateway.ts'
import { until } from '../testing/until.ts'

const request = 'GET / HTTP/1.1\r\nHost: app.test\r\n\r\n'
const answered = /^HTTP\/1.1 200 .*\r\n\r\nok$/s

/** The configuration with some keys changed. */
function changed(gateway: TestGateway, change: Record<string, object>): GatewayConfig {
  const whole = structuredClone(gateway.config) as unknown as Record<string, object>
  for (const [key, value] of Object.entries(change)) whole[key] = { ...whole[key], ...value }
  return gatewayConfigSchema.parse(whole)
}

async function startBoth(
  config: Record<string, object> = {},
): Promise<{ gateway: TestGateway; host: FakeHost } & AsyncDisposable> {
  const host = await startFakeHost((request, response) => {
    if (request.url?.endsWith('/text')) response.setHeader('Content-Type', 'text/css').end('text '.repeat(2_000))
    else response.end('ok')
  })
  const gateway = await startTestGateway(config)
  gateway.hosts.add('one', host.origin)
  return {
    gateway,
    host,
    async [Symbol.asyncDispose]() {
      await gateway[Symbol.asyncDispose]()
      await host[Symbol.asyncDispose]()
    },
  }
}

describe('a reload', () => {
  test('drops no request and no connection, however many run through it', async () => {
    await using both = await startBoth()
    const { gateway } = both
    const talks = await Promise.all(
      Array.from({ length: 8 }, () => connectTls(gateway.httpsPort, 'app.test').then(converse)),
    )
    await using client = await connectHttp2(gateway.httpsPort, 'app.test')
    let going = true
    let served = 0
    const one = async (turn: () => Promise<void>) => {
      while (going) {
        await turn()
        served++
      }
    }
    const runs = talks.map((talk) =>
      one(async () => {
        talk.forget()
        talk.say(request)
        await talk.hear(answered)
      }),
    )
    runs.push(one(async () => assert.equal((await askHttp2(client, { host: 'app.test' })).status, 200)))
    for (let turn = 0; turn < 20; turn++) {
      await gateway.reload(
        changed(gateway, {
          limits: { holdBytesMax: 1_000 + turn },
          timeouts: { answerIdleMs: 60_000 + turn },
          balance: { attemptsMax: 2 + (turn % 3) },
        }),
      )
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    going = false
    await Promise.all(runs)
    assert.ok(served > 20)
    for (const { socket } of talks) {
      assert.equal(socket.destroyed, false)
      socket.destroy()
    }
    assert.doesNotMatch(await gateway.metrics.text(), /class="(cut|4xx|5xx)"[^\n]* [1-9]/)
  })

  test('leaves answers under way alone, over both protocols', async () => {
    const responses: ServerResponse[] = []
    await using host = await startFakeHost((_, response) => {
      response.write('begun,')
      responses.push(response)
    })
    await using gateway = await startTestGateway()
    gateway.hosts.add('one', host.origin)
    await using talk = converse(await connectTls(gateway.httpsPort, 'app.test'))
    talk.say(request)
    await using client = await connectHttp2(gateway.httpsPort, 'app.test')
    let text = ''
    beginHttp2(client, { host: 'app.test' }).on('data', (part) => {
      text += part
    })
    await until(() => responses.length === 2 && text === 'begun,')
    await talk.hear(/begun,/)
    await gateway.reload(
      changed(gateway, {
        sites: { 'app.test': { requestsPerSecond: 1, bytesPerSecond: 1_000, compress: 'all' } },
        clients: { connectionsPerAddressMax: 1 },
        http2: { streamsMax: 1 },
      }),
    )
    for (const response of responses) response.end('done')
    await talk.hear(/done\r\n0\r\n\r\n$/)
    await until(() => text === 'begun,done')
  })

  test('changes limits for connections that are open: sizes of heads, rates of clients and of sites', async () => {
    await using both = await startBoth()
    const { gateway } = both
    await using talk = converse(await connectTls(gateway.httpsPort, 'app.test'))
    const statusOf = async (fields = '') => {
      talk.forget()
      talk.say(request.replace('\r\n\r\n', `\r\n${fields}\r\n`))
      return (await talk.hear(/\r\n\r\n(ok|.*\}\n)$/s)).slice(9, 12)
    }
    assert.equal(await statusOf(), '200')
    await gateway.reload(changed(gateway, { sites: { 'app.test': { requestsPerSecond: 1 } } }))
    const statuses = [await statusOf(), await statusOf(), await statusOf()]
    assert.deepEqual(statuses, ['200', '200', '429'])
    await gateway.reload(changed(gateway, { clients: { requestsPerSecond: 1, requestsBurst: 1 } }))
    assert.equal(await statusOf(), '200')
    assert.equal(await statusOf(), '429')
    await gateway.reload(changed(gateway, { limits: { headFieldsMax: 5 } }))
    assert.equal(await statusOf('A: b\r\n'.repeat(6)), '431')
  })

  test('changes what a site is: who is told, whether answers are compressed and how', async () => {
    await using both = await startBoth()
    const { gateway, host } = both
    const headers = { 'Accept-Encoding': 'gzip' }
    const get = async () => {
      const { headers: got } = await askBytes({ port: gateway.httpsPort, host: 'app.test', path: '/text', headers })
      return [got['content-encoding'], host.seen.at(-1)?.rawHeaders.includes('X-Forwarded-For')]
    }
    assert.deepEqual(await get(), ['gzip', false])
    await gateway.reload(changed(gateway, { sites: { 'app.test': { tellClient: true, compress: 'off' } } }))
    assert.deepEqual(await get(), [undefined, true])
    await gateway.reload(changed(gateway, { compression: { concurrentMax: 1, minBytes: 1 } }))
    assert.deepEqual(await get(), ['gzip', false])
  })

  test('counts for HTTP/2 connections that come after it, and lets older ones be', async () => {
    await using both = await startBoth()
    const { gateway } = both
    await using before = await connectHttp2(gateway.httpsPort, 'app.test')
    await gateway.reload(changed(gateway, { http2: { streamsMax: 7 } }))
    await using after = await connectHttp2(gateway.httpsPort, 'app.test')
    assert.equal(after.remoteSettings.maxConcurrentStreams, 7)
    assert.notEqual(before.remoteSettings.maxConcurrentStreams, 7)
    for (const client of [before, after]) assert.equal((await askHttp2(client, { host: 'app.test' })).status, 200)
  })

  test('counts connections by the new limits from then on', async () => {
    await using both = await startBoth()
    const { gateway } = both
    await using first = converse(await connectTls(gateway.httpsPort, 'app.test'))
    await using second = converse(await connectTls(gateway.httpsPort, 'app.test'))
    await gateway.reload(changed(gateway, { clients: { connectionsPerAddressMax: 2 } }))
    await assert.rejects(connectTls(gateway.httpsPort, 'app.test'))
    for (const talk of [first, second]) {
      talk.say(request)
      await talk.hear(answered)
    }
    await gateway.reload(changed(gateway, {}))
    assert.equal((await ask({ port: gateway.httpsPort, host: 'app.test' })).status, 200)
  })

  test('that asks for what cannot change says so, and changes nothing', async () => {
    await using both = await startBoth()
    const { gateway } = both
    const wrong = changed(gateway, { listen: { plainSites: true }, sites: { 'app.test': { tellClient: true } } })
    await assert.rejects(gateway.reload(wrong), /listen\.plainSites/)
    await ask({ port: gateway.httpsPort, host: 'app.test' })
    assert.equal(both.host.seen.at(-1)?.rawHeaders.includes('X-Forwarded-For'), false)
  })
})
