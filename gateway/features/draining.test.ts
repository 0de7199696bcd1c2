// The gentle stop, as clients see it.
import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import { describe, test } from 'node:test'
import { connectTls } from '../testing/client.ts'
import { connectPlain, converse } from '../testing/conversation.ts'
import { startFakeHost } from '../testing/fake-host.ts'
import { askHttp2, beginHttp2, connectHttp2 } from '../testing/http2-client.ts'
import { startTestGateway } from '../testing/test-gateway.ts'
import { until } from '../testing/until.ts'

const request = 'GET / HTTP/1.1\r\nHost: app.test\r\n\r\n'

/** A gateway whose host answers when it is told to. */
async function startWaiting(drainMs = 10_000) {
  const responses: ServerResponse[] = []
  const host = await startFakeHost((request, response) => {
    if (request.url?.endsWith('/now')) return void response.end('ok')
    responses.push(response)
  })
  const gateway = await startTestGateway({ timeouts: { drainMs } })
  gateway.hosts.add('one', host.origin)
  let stopping: Promise<void> | undefined
  const stop = (): Promise<void> => (stopping ??= Promise.resolve(gateway[Symbol.asyncDispose]()))
  return {
    responses,
    gateway,
    stop,
    async [Symbol.asyncDispose]() {
      await stop()
      await host[Symbol.asyncDispose]()
    },
  }
}

describe('while the gateway stops', () => {
  test('a request under way is answered, with Connection: close; idle connections end at once', async () => {
    await using served = await startWaiting()
    const { gateway, responses } = served
    await using idle = converse(await connectTls(gateway.httpsPort, 'app.test'))
    idle.say(request.replace('/ ', '/now '))
    await idle.hear(/ok$/)
    await using busy = converse(await connectTls(gateway.httpsPort, 'app.test'))
    busy.say(request)
    await until(() => responses.length === 1)
    const stopped = served.stop()
    await idle.end()
    await assert.rejects(connectPlain(gateway.httpPort))
    responses[0]?.end('in time')
    const text = await busy.end()
    assert.match(text, /^HTTP\/1.1 200 OK\r\n.*\r\nConnection: close\r\n.*in time$/s)
    await stopped
  })

  test('an answer that has begun goes on to its end, and its connection ends with it', async () => {
    await using served = await startWaiting()
    const { gateway, responses } = served
    await using busy = converse(await connectTls(gateway.httpsPort, 'app.test'))
    busy.say(request)
    await until(() => responses.length === 1)
    responses[0]?.write('first,')
    await busy.hear(/first,/)
    const stopped = served.stop()
    await new Promise((resolve) => setTimeout(resolve, 50))
    responses[0]?.end('last')
    assert.match(await busy.end(), /first,.*last\r\n0\r\n\r\n$/s)
    await stopped
  })

  test('an HTTP/2 client gets GOAWAY, its streams are finished, and nothing new is taken', async () => {
    await using served = await startWaiting()
    const { gateway, responses } = served
    await using client = await connectHttp2(gateway.httpsPort, 'app.test')
    const answers = [1, 2, 3].map(() => askHttp2(client, { host: 'app.test' }))
    await until(() => responses.length === 3)
    let goaways = 0
    client.on('goaway', (code) => {
      assert.equal(code, 0)
      goaways++
    })
    const stopped = served.stop()
    await until(() => goaways > 0)
    for (const response of responses) response.end('in time')
    for (const { status, body } of await Promise.all(answers))
      assert.deepEqual([status, String(body)], [200, 'in time'])
    await until(() => client.closed || client.destroyed)
    await stopped
  })

  test('a request that is on its way when HTTP/2 is told to stop is answered, or known not to have been seen', async () => {
    await using served = await startWaiting()
    const { gateway } = served
    await using client = await connectHttp2(gateway.httpsPort, 'app.test')
    const stopped = served.stop()
    const outcome = await askHttp2(client, { host: 'app.test', path: '/now' }).then(
      ({ status }) => status,
      (error: Error) => error.message,
    )
    assert.ok(outcome === 200 || /REFUSED|refused|code 7|GOAWAY|cancel/i.test(String(outcome)), String(outcome))
    await stopped
  })

  test('what takes longer than the time for it is cut visibly', async () => {
    await using served = await startWaiting(300)
    const { gateway, responses } = served
    await using busy = converse(await connectTls(gateway.httpsPort, 'app.test'))
    busy.say(request)
    await using client = await connectHttp2(gateway.httpsPort, 'app.test')
    const stream = beginHttp2(client, { host: 'app.test' }).on('error', () => {})
    await until(() => responses.length === 2)
    for (const response of responses) response.write('begun')
    await busy.hear(/begun/)
    await served.stop()
    assert.doesNotMatch(await busy.end(), /\r\n0\r\n\r\n$/)
    await until(() => stream.destroyed)
  })
})
