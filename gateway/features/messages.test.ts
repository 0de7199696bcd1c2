// How requests and answers look on the other side: framing, informational answers, trailers, ranges, over each protocol.
import assert from 'node:assert/strict'
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { describe, test } from 'node:test'
import { ask, connectTls } from '../testing/client.ts'
import { converse } from '../testing/conversation.ts'
import { askHttp2, beginHttp2, connectHttp2 } from '../testing/http2-client.ts'
import { type ServedSite, serveSite } from '../testing/served-site.ts'
import { until } from '../testing/until.ts'

/** Says what came: framing, body, trailers. */
function report(request: IncomingMessage, response: ServerResponse): void {
  let bytes = 0
  request.on('data', (part) => {
    bytes += part.length
  })
  request.on('end', () => {
    const { 'transfer-encoding': coding, 'content-length': length } = request.headers
    response.end(JSON.stringify({ coding, length, bytes, trailers: request.trailers }))
  })
}

const raw = async ({ gateway }: ServedSite) => converse(await connectTls(gateway.httpsPort, 'app.test'))

describe('a request over HTTP/2', () => {
  test('of unknown length goes to the host in chunks, of known length with its length, without body as neither', async () => {
    await using served = await serveSite(report)
    await using client = await connectHttp2(served.gateway.httpsPort, 'app.test')
    const streamed = beginHttp2(client, { host: 'app.test', method: 'POST', body: '' })
    const parts: Buffer[] = []
    streamed.on('data', (part) => parts.push(part))
    for (let turn = 0; turn < 4; turn++) {
      streamed.write(Buffer.alloc(50_000))
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    streamed.end()
    await new Promise((resolve) => streamed.once('close', resolve))
    assert.deepEqual(JSON.parse(String(Buffer.concat(parts))), { coding: 'chunked', bytes: 200_000, trailers: {} })

    const counted = {
      host: 'app.test',
      method: 'PUT',
      headers: { 'content-length': 150_000 },
      body: Buffer.alloc(150_000),
    }
    assert.deepEqual(JSON.parse(String((await askHttp2(client, counted)).body)), {
      length: '150000',
      bytes: 150_000,
      trailers: {},
    })
    const small = { host: 'app.test', method: 'POST', body: 'small' }
    const { bytes } = JSON.parse(String((await askHttp2(client, small)).body))
    assert.equal(bytes, 5)
    assert.deepEqual(JSON.parse(String((await askHttp2(client, { host: 'app.test' })).body)), {
      bytes: 0,
      trailers: {},
    })
  })

  test('carries trailers to the host, and those of the answer back', async () => {
    await using served = await serveSite((request, response) => {
      request.resume().on('end', () => {
        response.writeHead(200, { Trailer: 'X-Sum' })
        response.write(JSON.stringify(request.trailers))
        response.addTrailers({ 'X-Sum': '42' })
        response.end()
      })
    })
    await using client = await connectHttp2(served.gateway.httpsPort, 'app.test')
    const request = { host: 'app.test', method: 'POST', body: Buffer.alloc(100_000), trailers: { 'x-up': '7' } }
    const answer = await askHttp2(client, request)
    assert.deepEqual(JSON.parse(String(answer.body)), { 'x-up': '7' })
    assert.equal(answer.trailers['x-sum'], '42')
  })

  test('hears 103 before the answer, and 100 before its body', async () => {
    await using served = await serveSite((request, response) => {
      response.writeEarlyHints({ link: '</style.css>; rel=preload' })
      request.resume().on('end', () => response.end('done'))
    })
    await using client = await connectHttp2(served.gateway.httpsPort, 'app.test')
    const answer = await askHttp2(client, { host: 'app.test' })
    assert.deepEqual([answer.status, String(answer.body)], [200, 'done'])
    assert.deepEqual(
      answer.hints.map(({ status, headers }) => [status, headers.link]),
      [[103, '</style.css>; rel=preload']],
    )

    const stream = beginHttp2(client, {
      host: 'app.test',
      method: 'POST',
      headers: { expect: '100-continue', 'content-length': 100_000 },
      body: '',
    })
    let status = 0
    stream.on('response', (headers) => {
      status = Number(headers[':status'])
    })
    await new Promise((resolve) => stream.once('continue', resolve))
    stream.end(Buffer.alloc(100_000))
    stream.resume()
    await until(() => status === 200)
    assert.equal(
      served.host.seen.at(-1)?.rawHeaders.some((name) => /^expect$/i.test(name)),
      false,
    )
  })

  test('with HEAD gets the head alone', async () => {
    await using served = await serveSite((_, response) => void response.setHeader('Content-Length', '7').end('content'))
    await using client = await connectHttp2(served.gateway.httpsPort, 'app.test')
    const answer = await askHttp2(client, { host: 'app.test', method: 'HEAD' })
    assert.deepEqual([answer.status, answer.headers['content-length'], answer.body.length], [200, '7', 0])
  })
})

describe('a range', () => {
  test('is asked of the host and passed back as it is, over both protocols', async () => {
    await using served = await serveSite((request, response) => {
      assert.equal(request.headers.range, 'bytes=2-4')
      assert.equal(request.headers['if-range'], '"v1"')
      response
        .writeHead(206, { 'Content-Range': 'bytes 2-4/10', 'Content-Length': 3, 'Content-Type': 'text/css' })
        .end('cde')
    })
    const request = { host: 'app.test', headers: { Range: 'bytes=2-4', 'If-Range': '"v1"' } }
    await using client = await connectHttp2(served.gateway.httpsPort, 'app.test')
    for (const answer of [await ask({ port: served.gateway.httpsPort, ...request }), await askHttp2(client, request)]) {
      assert.deepEqual([answer.status, String(answer.body)], [206, 'cde'])
      assert.equal(answer.headers['content-range'], 'bytes 2-4/10')
    }
  })
})

describe('a client that speaks HTTP/1.0', () => {
  const listener: RequestListener = (request, response) => {
    if (request.url?.endsWith('/chunked')) {
      response.write('in ')
      return void response.end('parts')
    }
    if (request.url?.endsWith('/hint')) response.writeEarlyHints({ link: '</a>; rel=preload' })
    response.setHeader('Content-Length', '5').end('whole')
  }

  test('keeps its connection where it asks for that and the length is known', async () => {
    await using served = await serveSite(listener)
    await using talk = await raw(served)
    for (let turn = 0; turn < 3; turn++) {
      talk.forget()
      talk.say('GET / HTTP/1.0\r\nHost: app.test\r\nConnection: keep-alive\r\n\r\n')
      await talk.hear(/^HTTP\/1\.[01] 200 OK\r\n.*whole$/s)
      assert.match(talk.text, /\r\nConnection: keep-alive\r\n/i)
    }
    talk.say('GET / HTTP/1.0\r\nHost: app.test\r\n\r\n')
    await talk.end()
  })

  test('gets an answer of unknown length until its connection closes, without chunks', async () => {
    await using served = await serveSite(listener)
    await using talk = await raw(served)
    talk.say('GET /chunked HTTP/1.0\r\nHost: app.test\r\nConnection: keep-alive\r\n\r\n')
    const text = await talk.end()
    assert.match(text, /\r\nConnection: close\r\n/i)
    assert.doesNotMatch(text, /transfer-encoding/i)
    assert.ok(text.endsWith('\r\n\r\nin parts'))
  })

  test('hears no informational answers', async () => {
    await using served = await serveSite(listener)
    await using talk = await raw(served)
    talk.say('GET /hint HTTP/1.0\r\nHost: app.test\r\n\r\n')
    assert.match(await talk.end(), /^HTTP\/1\.[01] 200 OK\r\n/)
  })
})

describe('a client that speaks HTTP/1.1', () => {
  test('may send its requests all at once, and gets the answers in their order', async () => {
    await using served = await serveSite((request, response) => {
      const delayMs = request.url?.endsWith('/1') ? 60 : 1
      request.resume().on('end', () => void setTimeout(() => response.end(`<${request.url?.slice(-1)}>`), delayMs))
    })
    await using talk = await raw(served)
    const requests = [1, 2, 3, 4].map((n) =>
      n % 2 === 0
        ? `POST /${n} HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\n\r\nhello`
        : `GET /${n} HTTP/1.1\r\nHost: app.test\r\n\r\n`,
    )
    talk.say(requests.join(''))
    await talk.hear(/<1>.*<2>.*<3>.*<4>$/s)
  })

  test('gets 100 before it sends a large body, and once only', async () => {
    await using served = await serveSite(report)
    await using talk = await raw(served)
    const head = 'POST / HTTP/1.1\r\nHost: app.test\r\nExpect: 100-continue\r\nContent-Length: 100000\r\n\r\n'
    talk.say(head)
    await talk.hear(/^HTTP\/1.1 100 Continue\r\n\r\n$/)
    talk.say(Buffer.alloc(100_000))
    await talk.hear(/^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 200 OK\r\n.*"bytes":100000/s)
  })

  test('gets the final answer in place of 100 when its request is refused', async () => {
    await using served = await serveSite(report)
    await using talk = await raw(served)
    talk.say('POST / HTTP/1.1\r\nHost: elsewhere.test\r\nExpect: 100-continue\r\nContent-Length: 100000\r\n\r\n')
    await talk.hear(/^HTTP\/1.1 4\d\d /)
    assert.doesNotMatch(talk.text, /100 Continue/)
    await talk.end()
  })

  test('gets an answer that comes before the whole body, and then the connection ends', async () => {
    await using served = await serveSite((_, response) => void response.writeHead(413).end('too much'))
    await using talk = await raw(served)
    talk.say('POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 10000000\r\n\r\n')
    talk.say(Buffer.alloc(200_000))
    const text = await talk.end()
    assert.match(text, /^HTTP\/1.1 413 /)
    assert.match(text, /too much/)
  })
})
