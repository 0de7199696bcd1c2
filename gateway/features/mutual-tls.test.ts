// Sites that demand client certificates, beside sites that do not, under one certificate and over both protocols.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { gatewayConfigSchema } from '../config.ts'
import { ask, connectTls } from '../testing/client.ts'
import { converse } from '../testing/conversation.ts'
import { startFakeHost } from '../testing/fake-host.ts'
import { askHttp2, connectHttp2 } from '../testing/http2-client.ts'
import { selfSigned } from '../testing/self-signed.ts'
import { programHash, startTestGateway, type TestGateway, testCertificate } from '../testing/test-gateway.ts'

const [member, stranger] = [selfSigned(['member']), selfSigned(['stranger'])]
const shows = ({ certificatePem, keyPem }: typeof member) => ({ cert: certificatePem, key: keyPem })
const folder = mkdtempSync(join(tmpdir(), 'mutual-tls-'))
const authorities = join(folder, 'members.pem')
writeFileSync(authorities, member.certificatePem)
after(() => rmSync(folder, { recursive: true }))

const sites = { 'private.test': { clientCertificates: authorities } }

/** `private.test` is for members; `app.test` leads to the same program and is for everybody. */
async function serve(config: Record<string, object> = { sites }): Promise<TestGateway & AsyncDisposable> {
  const host = await startFakeHost((_, response) => response.end('ok'))
  const gateway = await startTestGateway(config)
  gateway.hosts.add('one', host.origin)
  for (const name of ['private.test', 'also.test']) {
    gateway.certificates.ready.set(name, testCertificate())
    gateway.names.set(name, { kind: 'program', itemHash: programHash })
  }
  const stop = gateway[Symbol.asyncDispose]
  return Object.assign(gateway, {
    async [Symbol.asyncDispose]() {
      await stop()
      await host[Symbol.asyncDispose]()
    },
  })
}

/** The status that a request over the connection gets; undefined when it is closed without one. */
async function statusOf(socket: TLSSocket, host: string): Promise<string | undefined> {
  await using talk = converse(socket)
  talk.say(`GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)
  return /^HTTP\/1.1 (\d+)/.exec(await talk.end())?.[1]
}

const visit = (gateway: TestGateway, name: string, options = {}, host = name): Promise<string | undefined> =>
  connectTls(gateway.httpsPort, name, options).then(
    (socket) => statusOf(socket, host),
    () => undefined,
  )

describe('a site that demands client certificates', () => {
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const only = { minVersion: version, maxVersion: version }
    test(`serves who shows one of its authorities, nobody else (${version})`, async () => {
      await using gateway = await serve()
      assert.equal(await visit(gateway, 'private.test', { ...only, ...shows(member) }), '200')
      assert.equal(await visit(gateway, 'private.test', only), undefined)
      assert.equal(await visit(gateway, 'private.test', { ...only, ...shows(stranger) }), undefined)
      assert.equal(await visit(gateway, 'app.test', only), '200')
      assert.equal(await visit(gateway, 'app.test', { ...only, ...shows(stranger) }), '200')
    })

    test(`is not reached by the session of another site (${version})`, async () => {
      await using gateway = await serve()
      const socket = await connectTls(gateway.httpsPort, 'app.test', { ...only, ...shows(member) })
      // Over TLS 1.2 it is there already, over 1.3 it comes later.
      let session: Buffer | undefined = socket.getSession()
      socket.on('session', (bytes: Buffer) => {
        session = bytes
      })
      assert.equal(await statusOf(socket, 'app.test'), '200')
      assert.ok(session)
      assert.equal(await visit(gateway, 'private.test', { ...only, session }), undefined)
      // The session itself is fine where it comes from.
      const again = await connectTls(gateway.httpsPort, 'app.test', { ...only, session })
      assert.equal(again.isSessionReused(), true)
      again.destroy()
    })
  }

  test('is not reached over a connection made for another name (421), in either direction and protocol', async () => {
    await using gateway = await serve()
    assert.equal(await visit(gateway, 'app.test', shows(member), 'private.test'), '421')
    assert.equal(
      await visit(gateway, 'app.test', shows(member), 'also.test'),
      '200',
      'one target may share a connection',
    )
    await using client = await connectHttp2(gateway.httpsPort, 'app.test', shows(member))
    assert.equal((await askHttp2(client, { host: 'app.test' })).status, 200)
    const refused = await askHttp2(client, { host: 'private.test' })
    assert.equal(refused.status, 421)
    assert.match(String(refused.body), /"code": "GATEWAY_MISDIRECTED"/)
    assert.equal((await askHttp2(client, { host: 'app.test' })).status, 200, 'the connection goes on')
  })

  test('is served over HTTP/2 too', async () => {
    await using gateway = await serve()
    await using client = await connectHttp2(gateway.httpsPort, 'private.test', shows(member))
    assert.equal((await askHttp2(client, { host: 'private.test' })).status, 200)
    await assert.rejects(connectHttp2(gateway.httpsPort, 'private.test'))
  })

  test('is not served over plain HTTP, where nobody can show one', async () => {
    await using gateway = await serve({ sites, listen: { plainSites: true } })
    assert.equal((await ask({ port: gateway.httpPort, host: 'private.test', plain: true })).status, 421)
    assert.equal((await ask({ port: gateway.httpPort, host: 'app.test', plain: true })).status, 200)
  })

  test('that becomes one by a reload is closed to connections that are open', async () => {
    await using gateway = await serve({})
    await using client = await connectHttp2(gateway.httpsPort, 'private.test')
    assert.equal((await askHttp2(client, { host: 'private.test' })).status, 200)
    await gateway.reload(gatewayConfigSchema.parse({ ...gateway.config, sites }))
    assert.equal((await askHttp2(client, { host: 'private.test' })).status, 421)
    assert.equal(await visit(gateway, 'private.test'), undefined)
    assert.equal(await visit(gateway, 'private.test', shows(member)), '200')
  })

  test('whose file of authorities is missing refuses everybody, and says so in the log', async () => {
    await using gateway = await serve({ sites: { 'private.test': { clientCertificates: join(folder, 'none.pem') } } })
    assert.equal(await visit(gateway, 'private.test', shows(member)), undefined)
    assert.equal(await visit(gateway, 'app.test'), '200')
    assert.match(JSON.stringify(gateway.log), /GATEWAY_UNUSABLE_CLIENT_CA|cannot be loaded/)
  })
})
