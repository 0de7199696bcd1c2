// What hosts learn of the client: nothing, unless the site opts in; and whose word is passed on then.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ask, type ClientAnswer } from '../testing/client.ts'
import { type FakeHost, startFakeHost } from '../testing/fake-host.ts'
import { askHttp2, connectHttp2 } from '../testing/http2-client.ts'
import { type ServedSite, serveSite } from '../testing/served-site.ts'
import { startTestGateway } from '../testing/test-gateway.ts'

const tellers = ['x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host', 'forwarded', 'x-real-ip'] as const
type Told = Partial<Record<(typeof tellers)[number], string>>

/** What a client that wants to be somebody else writes. */
const claims = {
  'X-Forwarded-For': '198.51.100.9',
  'X-Forwarded-Proto': 'http',
  'X-Forwarded-Host': 'evil.test',
  'X-Forwarded-Port': '81',
  Forwarded: 'for=198.51.100.9;host=evil.test;proto=http',
  'X-Real-IP': '198.51.100.9',
  'True-Client-IP': '198.51.100.9',
  'CF-Connecting-IP': '198.51.100.9',
  'X-Client-IP': '198.51.100.9',
  Via: '1.1 elsewhere',
}

const serve = (config: Record<string, object>): Promise<ServedSite> =>
  serveSite((request, response) => void request.pipe(response), config)

/** The last request's fields by lower-case name; repeated ones joined by ` | `. */
function fieldsOf(host: FakeHost): Map<string, string> {
  const raw = host.seen.at(-1)?.rawHeaders ?? []
  const fields = new Map<string, string>()
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = (raw[i] as string).toLowerCase()
    const before = fields.get(name)
    fields.set(name, before === undefined ? (raw[i + 1] as string) : `${before} | ${raw[i + 1]}`)
  }
  return fields
}

function toldOf(host: FakeHost): Told {
  const fields = fieldsOf(host)
  return Object.fromEntries(tellers.filter((name) => fields.has(name)).map((name) => [name, fields.get(name)]))
}

const truth: Told = {
  'x-forwarded-for': '127.0.0.1',
  'x-forwarded-proto': 'https',
  'x-forwarded-host': 'app.test',
  forwarded: 'for=127.0.0.1;host=app.test;proto=https',
  'x-real-ip': '127.0.0.1',
}

/** Asks over both protocols, and lets `look` see what each request brought. */
async function eachProtocol({ gateway }: ServedSite, headers: Record<string, string>, look: () => void): Promise<void> {
  await ask({ port: gateway.httpsPort, host: 'app.test', headers })
  look()
  await using client = await connectHttp2(gateway.httpsPort, 'app.test')
  await askHttp2(client, { host: 'app.test', headers })
  look()
}

describe('what a host learns of the client', () => {
  test('is nothing by default, whatever the client says of itself', async () => {
    await using served = await serve({})
    await eachProtocol(served, { ...claims, 'X-Own': '1' }, () => {
      const fields = fieldsOf(served.host)
      assert.equal(fields.get('x-own'), '1')
      assert.deepEqual(
        [...fields.keys()].sort().filter((name) => name !== 'connection'),
        ['cdn-loop', 'host', 'via', 'x-own', 'x-request-id'],
      )
      assert.match(fields.get('via') ?? '', /^(1\.1|2) zone\.test$/)
      const all = JSON.stringify([...fields])
      assert.doesNotMatch(all, /198\.51\.100|127\.0\.0\.1|evil|elsewhere/)
    })
  })

  test('is the address of the connection where a site opts in; what the client claims is dropped', async () => {
    await using served = await serve({ sites: { 'app.test': { tellClient: true } } })
    await eachProtocol(served, claims, () => {
      assert.deepEqual(toldOf(served.host), truth)
      assert.doesNotMatch(JSON.stringify([...fieldsOf(served.host)]), /198\.51\.100|evil|elsewhere/)
    })
  })

  test('differs by site: one that did not opt in stays silent beside one that did', async () => {
    await using served = await serve({ sites: { 'app.test': { tellClient: true } } })
    served.gateway.names.set('other.test', { kind: 'program', itemHash: 'cd'.repeat(32) })
    await ask({ port: served.gateway.httpsPort, host: 'other.test', headers: claims })
    assert.deepEqual(toldOf(served.host), {})
    await ask({ port: served.gateway.httpsPort, host: 'app.test', headers: claims })
    assert.deepEqual(toldOf(served.host), truth)
  })

  test('holds what a trusted hop says, with our own view added behind it', async () => {
    const trust = { addresses: ['127.0.0.0/8'] }
    await using served = await serve({ trust, sites: { 'app.test': { tellClient: true } } })
    await eachProtocol(served, claims, () =>
      assert.deepEqual(toldOf(served.host), {
        'x-forwarded-for': '198.51.100.9, 127.0.0.1',
        'x-forwarded-proto': 'http',
        'x-forwarded-host': 'evil.test',
        forwarded: 'for=198.51.100.9;host=evil.test;proto=http, for=127.0.0.1;host=app.test;proto=https',
        'x-real-ip': '198.51.100.9',
      }),
    )
  })

  test('is not passed on from a trusted hop to a site that did not opt in', async () => {
    await using served = await serve({ trust: { addresses: ['127.0.0.1'] } })
    await eachProtocol(served, claims, () => assert.deepEqual(toldOf(served.host), {}))
  })

  test('joins the fields of several hops in their order, and passes nothing that is malformed', async () => {
    const trust = { addresses: ['127.0.0.1'] }
    await using served = await serve({ trust, sites: { 'app.test': { tellClient: true } } })
    const headers = ['X-Forwarded-For', '198.51.100.1', 'X-Forwarded-For', '198.51.100.2, 198.51.100.3']
    headers.push('X-Forwarded-Proto', 'gopher', 'X-Forwarded-Host', 'a b', 'X-Real-IP', 'nobody')
    await ask({ port: served.gateway.httpsPort, host: 'app.test', headers })
    assert.deepEqual(toldOf(served.host), {
      ...truth,
      'x-forwarded-for': '198.51.100.1, 198.51.100.2, 198.51.100.3, 127.0.0.1',
    })
  })

  test('is the same for a second host, when the first could not be reached', async () => {
    await using served = await serve({ sites: { 'app.test': { tellClient: true } } })
    served.gateway.hosts.list = []
    served.gateway.hosts.add('gone', 'http://127.0.0.1:1').add('one', served.host.origin)
    for (let turn = 0; turn < 4; turn++) {
      const { status } = await ask({ port: served.gateway.httpsPort, host: 'app.test', headers: claims })
      assert.equal(status, 200)
      assert.deepEqual(toldOf(served.host), truth)
    }
  })
})

describe('the request id', () => {
  test('is sixteen hex digits of our own, another one for each request, whatever the client sent', async () => {
    await using served = await serve({})
    const ids = new Set<string>()
    const sent = 'deadbeefdeadbeef'
    for (let turn = 0; turn < 5; turn++)
      await eachProtocol(served, { 'X-Request-Id': sent }, () => {
        const id = fieldsOf(served.host).get('x-request-id') ?? ''
        assert.match(id, /^[0-9a-f]{16}$/)
        assert.notEqual(id, sent)
        ids.add(id)
      })
    assert.equal(ids.size, 10)
  })

  test('does not go to the client unless the host sends it back', async () => {
    await using host = await startFakeHost((request, response) => {
      if (request.url?.endsWith('/echo')) response.setHeader('X-Request-Id', String(request.headers['x-request-id']))
      response.end('ok')
    })
    await using gateway = await startTestGateway()
    gateway.hosts.add('one', host.origin)
    const get = (path: string): Promise<ClientAnswer> => ask({ port: gateway.httpsPort, host: 'app.test', path })
    assert.equal((await get('/')).headers['x-request-id'], undefined)
    assert.match(String((await get('/echo')).headers['x-request-id']), /^[0-9a-f]{16}$/)
  })

  test('is not to be taken away, nor Via and CDN-Loop, by naming them in Connection', async () => {
    await using served = await serve({ sites: { 'app.test': { tellClient: true } } })
    const headers = { Connection: 'x-request-id, via, cdn-loop, x-forwarded-for, forwarded, x-real-ip, close' }
    await ask({ port: served.gateway.httpsPort, host: 'app.test', headers })
    const fields = fieldsOf(served.host)
    for (const name of ['x-request-id', 'via', 'cdn-loop', ...tellers]) assert.ok(fields.has(name), name)
  })
})
