// A host that dies, and what the client sees of it: nothing where the request can go elsewhere, a visible end otherwise.
import assert from 'node:assert/strict'
import type { RequestListener } from 'node:http'
import { describe, test } from 'node:test'
import { ask, connectTls } from '../testing/client.ts'
import { connectPlain, converse } from '../testing/conversation.ts'
import { type FakeHost, startFakeHost, startRawHost } from '../testing/fake-host.ts'
import { askHttp2, beginHttp2, connectHttp2, type Http2Request } from '../testing/http2-client.ts'
import { startTestGateway, type TestGateway } from '../testing/test-gateway.ts'

/** Says what it got, after reading all of it. */
const echo: RequestListener = (request, response) => {
  const parts: Buffer[] = []
  request.on('data', (part) => parts.push(part))
  request.on('end', () => response.end(Buffer.concat(parts)))
}

const full: RequestListener = (request, response) => {
  const body = JSON.stringify({ code: 'CRN_FULL', status: 503 })
  const fields = { 'Content-Type': 'application/problem+json', 'Retry-After': '1', 'Content-Length': body.length }
  request.resume().on('end', () => response.writeHead(503, fields).end(body))
}

/** A gateway whose first choice is one host, and whose second another. */
async function startPair(first: { origin: string }, second?: { origin: string }): Promise<TestGateway> {
  // The first is asked each time, so that every request meets it.
  const gateway = await startTestGateway({ balance: { ejectAfter: 1_000, outlierRequestsMin: 10_000, hostsMs: 1 } })
  gateway.hosts.add('first', first.origin, { uptime: 1 })
  if (second) gateway.hosts.add('second', second.origin, { uptime: 0.5 })
  return gateway
}

type AskOver = (gateway: TestGateway, request: Omit<Http2Request, 'host'>) => Promise<{ status: number; body: string }>
const protocols: Record<string, AskOver> = {
  'HTTP/1.1': async (gateway, { headers, body, ...rest }) =>
    ask({
      port: gateway.httpsPort,
      host: 'app.test',
      ...rest,
      headers: {
        ...(headers as Record<string, string>),
        ...(body === undefined ? {} : { 'Content-Length': String(body.length) }),
      },
      ...(body === undefined ? {} : { body }),
    }),
  'HTTP/2': async (gateway, request) => {
    await using client = await connectHttp2(gateway.httpsPort, 'app.test')
    const { status, body } = await askHttp2(client, { host: 'app.test', ...request })
    return { status, body: String(body) }
  },
}

const dies = {
  'before its answer': '',
  'in the middle of the head of its answer': 'HTTP/1.1 200 OK\r\nContent-Le',
  'in the middle of a small answer': 'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhello',
}

for (const [protocol, askOver] of Object.entries(protocols)) {
  describe(`over ${protocol}, a host that dies`, () => {
    for (const [when, bytes] of Object.entries(dies)) {
      test(`${when} does not show, when the request may be repeated`, async () => {
        let met = 0
        await using dying = await startRawHost((socket) => {
          met++
          if (bytes) socket.write(bytes, () => setTimeout(() => socket.destroy(), 5))
          else socket.destroy()
        })
        await using other = await startFakeHost(echo)
        await using gateway = await startPair(dying, other)
        for (const method of ['GET', 'PUT', 'DELETE', 'OPTIONS']) {
          const body = method === 'PUT' ? { body: 'kept' } : {}
          const answer = await askOver(gateway, { method, ...body })
          assert.deepEqual([answer.status, answer.body], [200, method === 'PUT' ? 'kept' : ''], method)
        }
        assert.ok(met > 0)
        assert.match(await gateway.metrics.text(), /gateway_retries_total\{reason="answer"\} [1-9]/)
      })

      test(`${when} shows as 502 to a POST, which is not sent twice`, async () => {
        await using dying = await startRawHost((socket) => {
          if (bytes) socket.write(bytes, () => setTimeout(() => socket.destroy(), 5))
          else socket.destroy()
        })
        await using other = await startFakeHost(echo)
        await using gateway = await startPair(dying, other)
        const answer = await askOver(gateway, { method: 'POST', body: 'once' }).catch((error: Error) => error)
        // The small answer to a POST is passed on as it comes, so it breaks off.
        if (when.includes('small')) assert.ok(answer instanceof Error)
        else assert.equal((answer as { status: number }).status, 502)
        assert.equal(other.seen.length, 0)
      })
    }

    test('that refuses the connection, or is full, leaves the body of a POST for another host', async () => {
      await using busy = await startFakeHost(full)
      await using other = await startFakeHost(echo)
      const body = 'a body that is kept '.repeat(2_000)
      const headers = { 'content-length': String(body.length) }
      for (const origin of ['http://127.0.0.1:1', busy.origin]) {
        await using gateway = await startPair({ origin }, other)
        for (let turn = 0; turn < 3; turn++) {
          const answer = await askOver(gateway, { method: 'POST', body, headers })
          assert.equal(answer.status, 200)
          assert.ok(answer.body === body)
        }
      }
      assert.ok(busy.seen.length > 0)
    })

    test('that refuses the connection leaves a body too large to keep for another host as well', async () => {
      await using other = await startFakeHost(echo)
      await using gateway = await startPair({ origin: 'http://127.0.0.1:1' }, other)
      const body = 'x'.repeat(1_000_000)
      const answer = await askOver(gateway, {
        method: 'POST',
        body,
        headers: { 'content-length': String(body.length) },
      })
      assert.equal(answer.status, 200)
      assert.ok(answer.body === body)
    })
  })
}

describe('a large answer that breaks off', () => {
  const large = `HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n${'x'.repeat(100_000)}`
  const chunked = `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`
  for (const [what, bytes] of Object.entries({ large, chunked })) {
    const startDying = () =>
      startRawHost((socket) => void socket.write(bytes, () => setTimeout(() => socket.destroy(), 20)))

    test(`closes the connection of an HTTP/1.1 client (${what})`, async () => {
      await using dying = await startDying()
      await using other = await startFakeHost(echo)
      await using gateway = await startPair(dying, other)
      await using talk = converse(await connectTls(gateway.httpsPort, 'app.test'))
      talk.say('GET / HTTP/1.1\r\nHost: app.test\r\n\r\n')
      const text = await talk.end()
      assert.match(text, /^HTTP\/1.1 200 OK\r\n/)
      if (what === 'chunked') assert.doesNotMatch(text, /\r\n0\r\n/)
      else assert.ok(text.length < 1_000_000)
      assert.equal(other.seen.length, 0, 'half an answer is not put together from two hosts')
    })

    test(`resets the stream of an HTTP/2 client, and its connection goes on (${what})`, async () => {
      await using dying = await startDying()
      await using gateway = await startPair(dying)
      await using client = await connectHttp2(gateway.httpsPort, 'app.test')
      const stream = beginHttp2(client, { host: 'app.test' }).on('error', () => {})
      stream.resume()
      await new Promise((resolve) => stream.once('close', resolve))
      assert.notEqual(stream.rstCode, 0)
      assert.equal(client.destroyed, false)
      gateway.hosts.list = []
      await using other: FakeHost = await startFakeHost(echo)
      gateway.hosts.add('other', other.origin)
      await new Promise((resolve) => setTimeout(resolve, 5))
      await askHttp2(client, { host: 'app.test' }).catch(() => {})
      assert.equal((await askHttp2(client, { host: 'app.test' })).status, 200)
    })
  }

  test('whose end is that of its connection is cut for an HTTP/1.0 client so that it does not look whole', async () => {
    await using dying = await startRawHost((socket) => {
      socket.write(chunked, () => setTimeout(() => socket.destroy(), 20))
    })
    await using gateway = await startTestGateway({ listen: { plainSites: true } })
    gateway.hosts.add('one', dying.origin)
    const socket = await connectPlain(gateway.httpPort)
    let code = ''
    socket.on('error', (error: NodeJS.ErrnoException) => {
      code = error.code ?? ''
    })
    socket.resume().write('GET / HTTP/1.0\r\nHost: app.test\r\n\r\n')
    await new Promise((resolve) => socket.once('close', resolve))
    assert.equal(code, 'ECONNRESET')
  })
})
