// What one client address may do, through the real listeners. 127.0.0.0/8 is all ours, so a test can come from several addresses.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { connectTls } from '../testing/client.ts'
import { type Conversation, connectPlain, converse } from '../testing/conversation.ts'
import { askHttp2, connectHttp2 } from '../testing/http2-client.ts'
import { type ServedSite, serveSite } from '../testing/served-site.ts'
import { until } from '../testing/until.ts'

const request = 'GET / HTTP/1.1\r\nHost: app.test\r\n\r\n'
const answered = /^HTTP\/1.1 200 .*\r\n\r\nok$/s

const serve = (config: Record<string, object>): Promise<ServedSite> =>
  serveSite((request, response) => void request.resume().on('end', () => response.end('ok')), config)

const open = async ({ gateway }: ServedSite, localAddress = '127.0.0.1'): Promise<Conversation> =>
  converse(await connectTls(gateway.httpsPort, 'app.test', { localAddress } as never))

/** Whether the gateway takes a connection from the address. */
async function isTaken(served: ServedSite, localAddress = '127.0.0.1'): Promise<boolean> {
  try {
    await using talk = await open(served, localAddress)
    talk.say(request)
    return answered.test(await talk.hear(/\r\n\r\n(ok|.*\}\n)$/s))
  } catch {
    return false
  }
}

describe('connections of one address', () => {
  test('are limited, on both listeners together; other addresses are not touched', async () => {
    await using served = await serve({ clients: { connectionsPerAddressMax: 3 } })
    const { gateway } = served
    await using plain = converse(await connectPlain(gateway.httpPort))
    plain.say(request)
    await plain.hear(/^HTTP\/1.1 308 /)
    await using first = await open(served)
    await using second = await open(served)
    await assert.rejects(open(served))
    await using refused = converse(await connectPlain(gateway.httpPort))
    assert.equal(await refused.end(), '')
    assert.equal(await isTaken(served, '127.0.0.2'), true)
    for (const talk of [first, second]) {
      talk.say(request)
      await talk.hear(answered)
    }
    assert.match(await gateway.metrics.text(), /gateway_refused_connections_total\{reason="address"\} 2/)
  })

  test('count no more once they are closed, by either side, also where the handshake failed', async () => {
    await using served = await serve({ clients: { connectionsPerAddressMax: 2 }, timeouts: { headMs: 300 } })
    const { gateway } = served
    for (let turn = 0; turn < 5; turn++) assert.equal(await isTaken(served), true)
    for (let turn = 0; turn < 5; turn++) {
      await assert.rejects(connectTls(gateway.httpsPort, 'unknown.test'))
      const noTls = converse(await connectPlain(gateway.httpsPort))
      noTls.say('no TLS at all\r\n\r\n')
      await noTls.end()
    }
    await using first = await open(served)
    await using second = await open(served)
    await assert.rejects(open(served))
    // Idle ones are closed by the gateway.
    await first.end()
    await second.end()
    for (const { socket } of [first, second]) socket.end()
    await until(() => isTaken(served))
  })

  test('may not be opened faster than the configured rate', async () => {
    await using served = await serve({ clients: { handshakesPerSecond: 1, handshakesBurst: 3 } })
    const taken = []
    for (let turn = 0; turn < 5; turn++) taken.push(await isTaken(served))
    assert.deepEqual(taken.slice(0, 3), [true, true, true])
    assert.ok(taken.includes(false))
    assert.equal(await isTaken(served, '127.0.0.2'), true)
    await until(() => isTaken(served))
  })

  test('of trusted proxies are not counted', async () => {
    const clients = { connectionsPerAddressMax: 1, requestsPerSecond: 1, requestsBurst: 1 }
    await using served = await serve({ clients, trust: { addresses: ['127.0.0.1'] } })
    await using first = await open(served)
    await using second = await open(served)
    for (const talk of [first, second, first]) {
      talk.forget()
      talk.say(request)
      await talk.hear(answered)
    }
    await using other = await open(served, '127.0.0.2')
    await assert.rejects(open(served, '127.0.0.2'))
    other.say(request)
    await other.hear(answered)
  })
})

describe('requests of one address', () => {
  const clients = { requestsPerSecond: 1, requestsBurst: 3 }

  test('beyond the rate get 429 with Retry-After; the connection stays, and another address is served', async () => {
    await using served = await serve({ clients })
    await using talk = await open(served)
    for (let turn = 0; turn < 3; turn++) {
      talk.say(request)
      await talk.hear(answered)
      talk.forget()
    }
    talk.say(request)
    const refused = await talk.hear(/\r\n\r\n.*\}\n$/s)
    assert.match(refused, /^HTTP\/1.1 429 Too Many Requests\r\n/)
    assert.match(refused, /\r\nRetry-After: 1\r\n/)
    assert.match(refused, /"code": "GATEWAY_TOO_MANY_REQUESTS"/)
    assert.equal(served.host.seen.length, 3, 'the host saw nothing of it')
    assert.equal(await isTaken(served, '127.0.0.2'), true)
    await until(async () => {
      talk.forget()
      talk.say(request)
      return (await talk.hear(/\r\n\r\n(ok|.*\}\n)$/s)).startsWith('HTTP/1.1 200')
    })
    assert.match(await served.gateway.metrics.text(), /gateway_refused_requests_total\{reason="client"\} [1-9]/)
  })

  test('are counted over all its connections, whatever their protocol', async () => {
    await using served = await serve({ clients })
    await using client = await connectHttp2(served.gateway.httpsPort, 'app.test')
    const get = () => askHttp2(client, { host: 'app.test' })
    const statuses = (await Promise.all([get(), get(), get(), get(), get()])).map(({ status }) => status)
    assert.deepEqual(statuses, [200, 200, 200, 429, 429])
    const last = await get()
    assert.deepEqual([last.status, last.headers['retry-after']], [429, '1'])
    assert.equal(await isTaken(served), false)
    await using other = await connectHttp2(served.gateway.httpsPort, 'app.test', { localAddress: '127.0.0.3' } as never)
    assert.equal((await askHttp2(other, { host: 'app.test' })).status, 200)
  })

  test('are counted on the plain listener too, where each may cost a look-up; challenges of a CA always pass', async () => {
    await using served = await serve({ clients })
    const { gateway } = served
    gateway.certificates.challenges.set('app.test token', 'token.thumb')
    await using talk = converse(await connectPlain(gateway.httpPort))
    const statuses = []
    for (let turn = 0; turn < 4; turn++) {
      talk.forget()
      talk.say(request)
      statuses.push((await talk.hear(/\r\n\r\n(.*\}\n)?$/s)).slice(9, 12))
    }
    assert.deepEqual(statuses, ['308', '308', '308', '429'])
    talk.forget()
    talk.say('GET /.well-known/acme-challenge/token HTTP/1.1\r\nHost: app.test\r\n\r\n')
    await talk.hear(/^HTTP\/1.1 200 .*token\.thumb$/s)
  })
})
