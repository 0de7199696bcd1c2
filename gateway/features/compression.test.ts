// Compression of answers on their way through the gateway, for programs and for static sites.
import assert from 'node:assert/strict'
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import https from 'node:https'
import type { Readable } from 'node:stream'
import { describe, test } from 'node:test'
import { brotliDecompressSync, createGunzip, gunzipSync, zstdDecompressSync } from 'node:zlib'
import { importer } from 'ipfs-unixfs-importer'
import { askBytes, connectTls } from '../testing/client.ts'
import { converse } from '../testing/conversation.ts'
import { askHttp2, beginHttp2, connectHttp2 } from '../testing/http2-client.ts'
import { serveSite } from '../testing/served-site.ts'
import { startTestGateway, type TestGateway } from '../testing/test-gateway.ts'
import { until } from '../testing/until.ts'

const decoders = {
  zstd: (bytes: Buffer) => zstdDecompressSync(bytes),
  br: (bytes: Buffer) => brotliDecompressSync(bytes),
  gzip: (bytes: Buffer) => gunzipSync(bytes),
}
type Coding = keyof typeof decoders

/** Text that compresses well and never repeats exactly. */
const text = Buffer.from(Array.from({ length: 40_000 }, (_, i) => `line ${i}\n`).join(''))
const small = text.subarray(0, 8_000)

const all = { sites: { 'app.test': { compress: 'all' } } }

/** By path: `/long`, `/small`, `/chunked`; always text with a strong ETag. */
function answerText({ url = '' }: IncomingMessage, response: ServerResponse): void {
  response
    .setHeader('Content-Type', 'text/css; charset=utf-8')
    .setHeader('ETag', '"v1"')
    .setHeader('Accept-Ranges', 'bytes')
  if (url.endsWith('/small')) return void response.setHeader('Content-Length', small.length).end(small)
  if (url.endsWith('/long')) return void response.setHeader('Content-Length', text.length).end(text)
  response.write(text.subarray(0, 100_000))
  response.end(text.subarray(100_000))
}

const bodies = { '/small': small, '/long': text, '/chunked': text }

describe('an answer of a program', () => {
  for (const coding of Object.keys(decoders) as Coding[]) {
    test(`is compressed with ${coding} for who accepts that, and decodes to the same bytes`, async () => {
      await using served = await serveSite(answerText)
      const { gateway } = served
      await using client = await connectHttp2(gateway.httpsPort, 'app.test')
      for (const [path, whole] of Object.entries(bodies)) {
        const headers = { 'Accept-Encoding': coding }
        for (const { status, headers: got, body } of [
          await askBytes({ port: gateway.httpsPort, host: 'app.test', path, headers }),
          await askHttp2(client, { host: 'app.test', path, headers }),
        ]) {
          assert.equal(status, 200)
          assert.equal(got['content-encoding'], coding, path)
          assert.equal(got.vary, 'Accept-Encoding')
          assert.equal(got.etag, 'W/"v1"')
          assert.equal(got['accept-ranges'], undefined)
          assert.ok(body.length < whole.length / 2)
          assert.ok(decoders[coding](body).equals(whole), path)
          if (got['content-length'] !== undefined) assert.equal(Number(got['content-length']), body.length)
        }
      }
    })
  }

  test('takes the coding that the client likes best, and ours among equals', async () => {
    await using served = await serveSite(answerText)
    const codingFor = async (accepted: string) => {
      const headers = { 'Accept-Encoding': accepted }
      const answer = await askBytes({ port: served.gateway.httpsPort, host: 'app.test', path: '/small', headers })
      return answer.headers['content-encoding']
    }
    assert.equal(await codingFor('gzip, deflate, br, zstd'), 'zstd')
    assert.equal(await codingFor('gzip, br'), 'br')
    assert.equal(await codingFor('gzip;q=1, br;q=0.5'), 'gzip')
    assert.equal(await codingFor('deflate'), undefined)
    assert.equal(await codingFor('identity'), undefined)
    assert.equal(await codingFor('br;q=0'), undefined)
  })

  const untouched: Record<string, { fields: Record<string, string>; status?: number; path?: string; method?: string }> =
    {
      'an image': { fields: { 'Content-Type': 'image/png' } },
      'a type nobody knows': { fields: { 'Content-Type': 'application/octet-stream' } },
      'an answer without a type': { fields: {} },
      'an event stream': { fields: { 'Content-Type': 'text/event-stream' } },
      'what is encoded already': { fields: { 'Content-Type': 'text/css', 'Content-Encoding': 'x-own' } },
      'a part (206)': { fields: { 'Content-Type': 'text/css', 'Content-Range': 'bytes 0-8/100' }, status: 206 },
      'what must not be transformed': {
        fields: { 'Content-Type': 'text/css', 'Cache-Control': 'public, no-transform' },
      },
      'what is signed by its digest': { fields: { 'Content-Type': 'text/css', 'Content-Digest': 'sha-256=:AA==:' } },
      'a body of a few bytes': { fields: { 'Content-Type': 'text/css' }, path: '/tiny' },
      'the answer to HEAD': { fields: { 'Content-Type': 'text/css' }, method: 'HEAD' },
    }
  for (const [what, { fields, status = 200, path = '/', method = 'GET' }] of Object.entries(untouched)) {
    test(`stays as it is: ${what}`, async () => {
      const body = path === '/tiny' ? small.subarray(0, 100) : small
      await using served = await serveSite(
        (_, response) =>
          void response.writeHead(status, { ...fields, ETag: '"v1"', 'Content-Length': body.length }).end(body),
        all,
      )
      const headers = { 'Accept-Encoding': 'gzip, br, zstd' }
      const { gateway } = served
      await using client = await connectHttp2(gateway.httpsPort, 'app.test')
      for (const answer of [
        await askBytes({ port: gateway.httpsPort, host: 'app.test', method, headers }),
        await askHttp2(client, { host: 'app.test', method, headers }),
      ]) {
        assert.equal(answer.status, status)
        assert.equal(answer.headers['content-encoding'], fields['Content-Encoding'])
        assert.equal(answer.headers.etag, '"v1"')
        assert.equal(answer.headers['content-length'], String(body.length))
        assert.ok(answer.body.equals(method === 'HEAD' ? Buffer.alloc(0) : body))
      }
    })
  }

  test('stays as it is for HTTP/1.0, where nobody asks for it, where the site or the configuration says no', async () => {
    await using served = await serveSite(answerText)
    const { gateway } = served
    await using old = converse(await connectTls(gateway.httpsPort, 'app.test'))
    old.say('GET /small HTTP/1.0\r\nHost: app.test\r\nAccept-Encoding: gzip\r\n\r\n')
    const answer = await old.end()
    assert.doesNotMatch(answer, /content-encoding/i)
    assert.ok(answer.endsWith(small.toString()))
    const plain = await askBytes({ port: gateway.httpsPort, host: 'app.test', path: '/long' })
    assert.ok(plain.headers['content-encoding'] === undefined && plain.body.equals(text))
    const off: Record<string, object>[] = [
      { compression: { enabled: false } },
      { sites: { 'app.test': { compress: 'off' } } },
    ]
    for (const config of off) {
      await using other = await serveSite(answerText, config)
      const headers = { 'Accept-Encoding': 'gzip' }
      const whole = await askBytes({ port: other.gateway.httpsPort, host: 'app.test', path: '/long', headers })
      assert.ok(whole.headers['content-encoding'] === undefined && whole.body.equals(text))
    }
  })

  test('that is somebody’s own is left alone unless the site says "all": its length would tell secrets', async () => {
    const listener: RequestListener = (_, response) => void response.setHeader('Content-Type', 'text/html').end(small)
    const headers = { 'Accept-Encoding': 'gzip', Cookie: 'session=1' }
    const codings = []
    for (const config of [{}, all]) {
      await using served = await serveSite(listener, config)
      const { headers: got } = await askBytes({ port: served.gateway.httpsPort, host: 'app.test', headers })
      codings.push(got['content-encoding'])
    }
    assert.deepEqual(codings, [undefined, 'gzip'])
  })

  test('goes out bit by bit as it is made', async () => {
    const responses: ServerResponse[] = []
    const listener: RequestListener = (_, response) => {
      response.setHeader('Content-Type', 'text/html').write('the first part')
      responses.push(response)
    }
    await using served = await serveSite(listener, all)
    await using client = await connectHttp2(served.gateway.httpsPort, 'app.test')
    const stream = beginHttp2(client, { host: 'app.test', headers: { 'accept-encoding': 'gzip' } })
    const request = https.get({
      port: served.gateway.httpsPort,
      servername: 'app.test',
      rejectUnauthorized: false,
      headers: { Host: 'app.test', 'Accept-Encoding': 'gzip' },
    })
    const seen = ['', '']
    const follow = (index: number, body: Readable) =>
      void body.pipe(createGunzip()).on('data', (part) => {
        seen[index] += part
      })
    follow(0, stream)
    request.on('response', (response) => follow(1, response))
    await until(() => seen.every((text) => text === 'the first part'))
    for (const response of responses) response.end(', and the last')
    await until(() => seen.every((text) => text === 'the first part, and the last'))
  })

  test('holds a compressor no longer than it lasts, however it ends', async () => {
    let cut: ServerResponse | undefined
    const listener: RequestListener = (request, response) => {
      if (request.url?.endsWith('/long')) return answerText(request, response)
      response.setHeader('Content-Type', 'text/css').write('begun')
      cut = response
    }
    await using served = await serveSite(listener, { ...all, compression: { concurrentMax: 1 } })
    const { gateway } = served
    const headers = { 'Accept-Encoding': 'gzip' }
    const isCompressed = async () => {
      const answer = await askBytes({ port: gateway.httpsPort, host: 'app.test', path: '/long', headers })
      const coded = answer.headers['content-encoding'] === 'gzip'
      assert.ok((coded ? gunzipSync(answer.body) : answer.body).equals(text))
      return coded
    }
    const begin = async () => {
      const talk = converse(await connectTls(gateway.httpsPort, 'app.test'))
      talk.say('GET /endless HTTP/1.1\r\nHost: app.test\r\nAccept-Encoding: gzip\r\n\r\n')
      await talk.hear(/\r\n\r\n/)
      assert.equal(await isCompressed(), false, 'the one compressor is taken')
      return talk
    }
    assert.equal(await isCompressed(), true)
    // The client leaves.
    const leaving = await begin()
    leaving.socket.destroy()
    cut?.write('more, which finds nobody')
    await until(isCompressed)
    // The host leaves.
    const left = await begin()
    cut?.destroy()
    await left.end()
    assert.doesNotMatch(left.text, /\r\n0\r\n\r\n$/, 'what broke off does not look whole')
    await until(isCompressed)
    // The stream of an HTTP/2 client is reset.
    await using client = await connectHttp2(gateway.httpsPort, 'app.test')
    const stream = beginHttp2(client, { host: 'app.test', path: '/endless', headers })
    stream.on('error', () => {})
    await new Promise((resolve) => stream.once('response', resolve))
    assert.equal(await isCompressed(), false)
    stream.close(8)
    await until(isCompressed)
    assert.equal(await isCompressed(), true)
  })

  test('is held back for a client that reads slowly, and arrives whole', async () => {
    const noise = Buffer.alloc(4_000_000)
    for (let i = 0, state = 1; i < noise.length; i++) {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
      noise[i] = 0x20 + ((state >>> 16) % 64)
    }
    await using served = await serveSite(
      (_, response) => void response.setHeader('Content-Type', 'text/css').end(noise),
    )
    await using client = await connectHttp2(served.gateway.httpsPort, 'app.test')
    const stream = beginHttp2(client, { host: 'app.test', headers: { 'accept-encoding': 'gzip' } })
    const parts: Buffer[] = []
    stream.on('data', (part: Buffer) => {
      parts.push(part)
      stream.pause()
      setImmediate(() => stream.resume())
    })
    await new Promise((resolve) => stream.once('close', resolve))
    assert.ok(gunzipSync(Buffer.concat(parts)).equals(noise))
  })
})

describe('a static site', () => {
  const image = Buffer.alloc(50_000, 'not really an image')
  const files = { 'small.css': small, 'long.css': text, 'image.png': image, 'tiny.css': small.subarray(0, 20) }

  async function startStatic(config: Record<string, object> = {}): Promise<TestGateway> {
    const gateway = await startTestGateway(config)
    const store = {
      async put(id: object, bytes: Uint8Array) {
        gateway.blocks.map.set(String(id), bytes)
        return id
      },
    }
    const source = Object.entries(files).map(([path, content]) => ({ path, content }))
    let cid = ''
    for await (const entry of importer(source, store as never, { wrapWithDirectory: true })) cid = String(entry.cid)
    gateway.names.set('static.test', { kind: 'static', cid })
    return gateway
  }

  test('is compressed as a program is: text for who accepts it, nothing else', async () => {
    await using gateway = await startStatic()
    await using client = await connectHttp2(gateway.httpsPort, 'static.test')
    for (const [name, whole] of Object.entries(files)) {
      const request = { host: 'static.test', path: `/${name}`, headers: { 'Accept-Encoding': 'br' } }
      for (const answer of [await askBytes({ port: gateway.httpsPort, ...request }), await askHttp2(client, request)]) {
        const coded = name === 'small.css' || name === 'long.css'
        assert.equal(answer.status, 200)
        assert.equal(answer.headers['content-encoding'], coded ? 'br' : undefined, name)
        assert.ok((coded ? brotliDecompressSync(answer.body) : answer.body).equals(whole), name)
        assert.match(answer.headers.etag ?? '', coded ? /^W\/"/ : /^"/)
        if (coded) assert.equal(answer.headers.vary, 'Accept-Encoding')
      }
    }
  })

  test('answers a condition with the weak tag, a range and HEAD, all without coding', async () => {
    await using gateway = await startStatic()
    const get = (headers: Record<string, string>, method = 'GET') =>
      askBytes({
        port: gateway.httpsPort,
        host: 'static.test',
        path: '/long.css',
        method,
        headers: { 'Accept-Encoding': 'gzip', ...headers },
      })
    const { etag } = (await get({})).headers
    assert.equal((await get({ 'If-None-Match': String(etag) })).status, 304)
    const range = await get({ Range: 'bytes=10-99' })
    assert.equal(range.status, 206)
    assert.ok(range.body.equals(text.subarray(10, 100)))
    const head = await get({}, 'HEAD')
    assert.deepEqual(
      [head.headers['content-length'], head.headers['content-encoding']],
      [String(text.length), undefined],
    )
  })

  test('gives its compressor back when a block turns out bad in the middle, and is cut', async () => {
    await using gateway = await startStatic({ compression: { concurrentMax: 1 } })
    const blocks = [...gateway.blocks.map.keys()]
    const get = (path: string) =>
      askBytes({ port: gateway.httpsPort, host: 'static.test', path, headers: { 'Accept-Encoding': 'gzip' } })
    // All but the first leaf of the long file: blocks came in the order of files.
    const last = blocks.find((cid) => Buffer.from(gateway.blocks.map.get(cid) ?? []).includes('line 39999\n'))
    assert.ok(last)
    const good = gateway.blocks.map.get(last) as Uint8Array
    gateway.blocks.map.set(last, Buffer.from('bad'))
    await assert.rejects(get('/long.css'))
    gateway.blocks.map.set(last, good)
    const again = await get('/long.css')
    assert.equal(again.headers['content-encoding'], 'gzip')
    assert.ok(gunzipSync(again.body).equals(text))
  })

  test('stays as it is where compression is off', async () => {
    await using gateway = await startStatic({ sites: { 'static.test': { compress: 'off' } } })
    const headers = { 'Accept-Encoding': 'gzip' }
    const answer = await askBytes({ port: gateway.httpsPort, host: 'static.test', path: '/long.css', headers })
    assert.ok(answer.headers['content-encoding'] === undefined && answer.body.equals(text))
  })
})
