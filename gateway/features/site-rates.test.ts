// The rates of a site: requests, and bytes to its clients.
import assert from 'node:assert/strict'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { describe, test } from 'node:test'
import { importer } from 'ipfs-unixfs-importer'
import { ask } from '../testing/client.ts'
import { startFakeHost } from '../testing/fake-host.ts'
import { askHttp2, connectHttp2 } from '../testing/http2-client.ts'
import { startTestGateway, type TestGateway } from '../testing/test-gateway.ts'

const body = Buffer.alloc(240_000, 'abcdefgh')

function answer(request: IncomingMessage, response: ServerResponse): void {
  if (request.url?.endsWith('/text')) response.setHeader('Content-Type', 'text/plain')
  if (request.url?.endsWith('/small')) response.end(body.subarray(0, 12_000))
  else if (request.url?.endsWith('/chunked'))
    response.write(body.subarray(0, 60_000), () => response.end(body.subarray(60_000)))
  else response.writeHead(200, { 'Content-Length': body.length }).end(body)
}

/** Milliseconds that `work` takes. Tests look at lower bounds only, which a busy machine cannot break. */
async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedMs = performance.now()
  await work()
  return performance.now() - startedMs
}

describe('requests of a site', () => {
  test('beyond its rate get 429 with Retry-After, over both protocols; other sites are not touched', async () => {
    await using host = await startFakeHost((_, response) => response.end('ok'))
    await using gateway = await startTestGateway({ sites: { 'app.test': { requestsPerSecond: 1 } } })
    gateway.hosts.add('one', host.origin)
    gateway.names.set('other.test', { kind: 'program', itemHash: 'cd'.repeat(32) })
    const get = (name: string) => ask({ port: gateway.httpsPort, host: name })
    const statuses = []
    for (let turn = 0; turn < 3; turn++) statuses.push((await get('app.test')).status)
    assert.deepEqual(statuses, [200, 200, 429])
    const refused = await get('app.test')
    assert.deepEqual([refused.status, refused.headers['retry-after']], [429, '1'])
    await using client = await connectHttp2(gateway.httpsPort, 'app.test')
    const refused2 = await askHttp2(client, { host: 'app.test' })
    assert.deepEqual([refused2.status, refused2.headers['retry-after']], [429, '1'])
    for (let turn = 0; turn < 5; turn++) assert.equal((await get('other.test')).status, 200)
    assert.match(await gateway.metrics.text(), /gateway_refused_requests_total\{reason="site"\} 3/)
  })

  test('are counted for redirects too', async () => {
    await using gateway = await startTestGateway({ sites: { 'app.test': { requestsPerSecond: 1 } } })
    gateway.names.set('app.test', { kind: 'redirect', location: 'https://elsewhere.test/', status: 302 })
    const statuses = []
    for (let turn = 0; turn < 3; turn++)
      statuses.push((await ask({ port: gateway.httpsPort, host: 'app.test' })).status)
    assert.deepEqual(statuses, [302, 302, 429])
  })
})

describe('bytes of a site', () => {
  // 240 kB at 150 kB/s take 1.6 s, less what may run ahead: 64 KiB of one read, and a quarter of a second.
  const sites = { 'app.test': { bytesPerSecond: 150_000, compress: 'off' } }
  const leastMs = 700

  async function serve(run: (gateway: TestGateway) => Promise<void>, config: Record<string, object> = { sites }) {
    await using host = await startFakeHost(answer)
    await using gateway = await startTestGateway(config)
    gateway.hosts.add('one', host.origin)
    await run(gateway)
  }

  for (const path of ['/', '/chunked']) {
    test(`slow down beyond its rate, and stay whole (${path})`, () =>
      serve(async (gateway) => {
        const ms = await timed(async () => {
          const { body: got } = await ask({ port: gateway.httpsPort, host: 'app.test', path })
          assert.ok(body.equals(Buffer.from(got)))
        })
        assert.ok(ms > leastMs, `${ms} ms`)
      }))

    test(`slow down over HTTP/2 as well (${path})`, () =>
      serve(async (gateway) => {
        await using client = await connectHttp2(gateway.httpsPort, 'app.test')
        const ms = await timed(async () =>
          assert.ok(body.equals((await askHttp2(client, { host: 'app.test', path })).body)),
        )
        assert.ok(ms > leastMs, `${ms} ms`)
      }))
  }

  test('are counted for many small answers as for one large one', () =>
    serve(async (gateway) => {
      const ms = await timed(async () => {
        for (let turn = 0; turn < 15; turn++) {
          const { body: got } = await ask({ port: gateway.httpsPort, host: 'app.test', path: '/small' })
          assert.equal(got.length, 12_000)
        }
      })
      assert.ok(ms > leastMs, `${ms} ms`)
    }))

  test('are counted after compression', () =>
    serve(
      async (gateway) => {
        const headers = { 'Accept-Encoding': 'gzip' }
        const ms = await timed(() => ask({ port: gateway.httpsPort, host: 'app.test', headers, path: '/text' }))
        // As it is it would take four minutes.
        assert.ok(ms < 10_000, `${ms} ms`)
      },
      { sites: { 'app.test': { bytesPerSecond: 1_000, compress: 'all' } } },
    ))

  test('of a static site are held to its rate too', async () => {
    await using gateway = await startTestGateway({ sites: { 'static.test': sites['app.test'] } })
    let cid = ''
    const store = {
      async put(id: object, bytes: Uint8Array) {
        gateway.blocks.map.set(String(id), bytes)
        return id
      },
    }
    for await (const entry of importer([{ path: 'a.bin', content: body }], store as never, { wrapWithDirectory: true }))
      cid = String(entry.cid)
    gateway.names.set('static.test', { kind: 'static', cid })
    const get = () => ask({ port: gateway.httpsPort, host: 'static.test', path: '/a.bin' })
    const ms = await timed(async () => {
      for (let turn = 0; turn < 2; turn++) assert.equal((await get()).body.length, body.length)
    })
    assert.ok(ms > leastMs, `${ms} ms`)
  })

  test('have no limit where none is set', () =>
    serve(async (gateway) => {
      assert.equal((await ask({ port: gateway.httpsPort, host: 'app.test' })).body.length, body.length)
    }, {}))
})
