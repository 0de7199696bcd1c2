import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { ask, connectTls } from '../testing/client.ts'
import { startFakeHost } from '../testing/fake-host.ts'
import { FakeError } from '../testing/fakes.ts'
import { selfSigned } from '../testing/self-signed.ts'
import { programHash, startTestGateway, testCertificate } from '../testing/test-gateway.ts'

/** Sends a request on the socket and returns the session ticket, once the answer has ended the connection. */
function ticketOf(socket: TLSSocket): Promise<{ session: Buffer | undefined; text: string }> {
  return new Promise((resolve) => {
    // In TLS 1.2 the ticket is there with the handshake; in 1.3 it comes after.
    let session = socket.getProtocol() === 'TLSv1.2' ? socket.getSession() : undefined
    let text = ''
    socket.on('session', (ticket) => {
      session = ticket
    })
    socket.on('data', (part) => {
      text += part
    })
    socket.once('close', () => resolve({ session, text }))
    socket.write('GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n')
  })
}

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`a second connection resumes the session, with its certificate chosen by SNI (${version})`, async () => {
    await using host = await startFakeHost((_, response) => response.end('ok'))
    await using gateway = await startTestGateway()
    gateway.hosts.add('one', host.origin)
    const options = { minVersion: version, maxVersion: version }
    const first = await connectTls(gateway.httpsPort, 'app.test', options)
    assert.equal(first.isSessionReused(), false)
    const { session } = await ticketOf(first)
    assert.ok(session)
    const second = await connectTls(gateway.httpsPort, 'app.test', { ...options, session })
    assert.equal(second.isSessionReused(), true)
    assert.match((await ticketOf(second)).text, /^HTTP\/1.1 200 /)
    assert.match(await gateway.metrics.text(), /gateway_tls_handshakes_total\{kind="resumed"\} 1/)
  })
}

test('old protocols and CBC ciphers are refused', async () => {
  await using gateway = await startTestGateway()
  const cbc = {
    maxVersion: 'TLSv1.2',
    ciphers: 'ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA:AES128-SHA@SECLEVEL=0',
  } as const
  await assert.rejects(connectTls(gateway.httpsPort, 'app.test', cbc), /handshake failure/)
  const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL@SECLEVEL=0' } as const
  await assert.rejects(connectTls(gateway.httpsPort, 'app.test', old), /protocol version|no protocols/)
})

test('a client that speaks HTTP/2 only is told so', async () => {
  await using gateway = await startTestGateway()
  await assert.rejects(connectTls(gateway.httpsPort, 'app.test', { ALPNProtocols: ['h2'] }), /no application protocol/)
})

test('a name without a certificate gets one on demand while the handshake waits, and keeps it', async () => {
  await using host = await startFakeHost((_, response) => response.end('ok'))
  await using gateway = await startTestGateway()
  gateway.hosts.add('one', host.origin)
  gateway.names.set('new.test', { kind: 'program', itemHash: programHash })
  gateway.certificates.onDemand.set('new.test', testCertificate())
  for (let turn = 0; turn < 2; turn++)
    assert.equal((await ask({ port: gateway.httpsPort, host: 'new.test' })).status, 200)
  assert.equal(gateway.certificates.obtained, 1)
})

test('a name that leads nowhere gets a clear alert, and nothing is ordered', async () => {
  await using gateway = await startTestGateway()
  await assert.rejects(connectTls(gateway.httpsPort, 'nobody.test'), /unrecognized name/)
  assert.equal(gateway.certificates.obtained, 0)
})

test('a name whose certificate is refused gets a clear alert', async () => {
  await using gateway = await startTestGateway()
  gateway.names.set('refused.test', { kind: 'program', itemHash: programHash })
  await assert.rejects(connectTls(gateway.httpsPort, 'refused.test'), /unrecognized name/)
})

test('a handshake does not wait longer for a certificate than the limit', async () => {
  await using gateway = await startTestGateway({ timeouts: { certificateWaitMs: 100 } })
  gateway.names.set('slow.test', { kind: 'program', itemHash: programHash })
  gateway.certificates.delayMs = 1_000
  await assert.rejects(connectTls(gateway.httpsPort, 'slow.test'), /internal error/)
  assert.match(await gateway.metrics.text(), /gateway_certificate_wait_seconds_count\{outcome="late"\} 1/)
})

test('an expired certificate is not shown', async () => {
  await using gateway = await startTestGateway()
  gateway.certificates.ready.set('app.test', { ...testCertificate(), notAfterMs: Date.now() - 1 })
  await assert.rejects(connectTls(gateway.httpsPort, 'app.test'), /unrecognized name/)
})

test('a changed certificate is shown to the next full handshake', async () => {
  await using gateway = await startTestGateway()
  const before = await connectTls(gateway.httpsPort, 'app.test')
  const first = before.getPeerCertificate().fingerprint256
  before.destroy()
  gateway.certificates.ready.set('app.test', selfSigned(['app.test']))
  const after = await connectTls(gateway.httpsPort, 'app.test')
  assert.notEqual(after.getPeerCertificate().fingerprint256, first)
  after.destroy()
})

test('a TLS-ALPN-01 challenge is answered with its certificate, also beside a valid one', async () => {
  await using gateway = await startTestGateway()
  const challenge = selfSigned(['app.test'])
  gateway.certificates.alpn.set('app.test', challenge)
  const socket = await connectTls(gateway.httpsPort, 'app.test', { ALPNProtocols: ['acme-tls/1'] })
  assert.equal(socket.alpnProtocol, 'acme-tls/1')
  assert.match(
    challenge.certificatePem.replaceAll('\n', ''),
    new RegExp(socket.getPeerCertificate().raw.toString('base64').slice(0, 60).replaceAll('+', '\\+')),
  )
  socket.destroy()
  const normal = await connectTls(gateway.httpsPort, 'app.test')
  assert.equal(normal.alpnProtocol, 'http/1.1')
  normal.destroy()
  await assert.rejects(
    connectTls(gateway.httpsPort, 'other.test', { ALPNProtocols: ['acme-tls/1'] }),
    /unrecognized name/,
  )
})

test('a TLS-ALPN-01 challenge of a name without certificate is answered over TLS 1.2 too', async () => {
  await using gateway = await startTestGateway()
  gateway.certificates.alpn.set('fresh.test', selfSigned(['fresh.test']))
  const socket = await connectTls(gateway.httpsPort, 'fresh.test', {
    ALPNProtocols: ['acme-tls/1'],
    maxVersion: 'TLSv1.2',
  })
  assert.equal(socket.alpnProtocol, 'acme-tls/1')
  socket.destroy()
})

test('hostile server names end their handshake and nothing else', async () => {
  await using host = await startFakeHost((_, response) => response.end('ok'))
  await using gateway = await startTestGateway()
  gateway.hosts.add('one', host.origin)
  const hostile = [
    '',
    'a'.repeat(255),
    '__proto__',
    'constructor',
    '../../etc/passwd',
    'a..b',
    '-.test',
    'localhost@app.test',
    '*.test',
    'x\u0001y',
    '1',
  ]
  for (const servername of hostile) await assert.rejects(connectTls(gateway.httpsPort, servername), `"${servername}"`)
  assert.equal((await ask({ port: gateway.httpsPort, host: 'app.test' })).status, 200)
})

test('a certificate source that throws, or hands out rubbish, ends one handshake only', async () => {
  await using gateway = await startTestGateway()
  gateway.certificates.ready.set('app.test', {
    id: 'x',
    certificatePem: 'no',
    keyPem: 'no',
    notAfterMs: Date.now() + 1e6,
  })
  await assert.rejects(connectTls(gateway.httpsPort, 'app.test'), /internal error/)
  gateway.certificates.find = () => {
    throw new FakeError('BROKEN', 500)
  }
  await assert.rejects(connectTls(gateway.httpsPort, 'other.test'), /internal error/)
  assert.equal((await ask({ port: gateway.httpPort, host: 'app.test', plain: true })).status, 308)
})

test('plain HTTP tells the owner of a name why it has no certificate, and redirects once it has one', async () => {
  await using gateway = await startTestGateway()
  gateway.certificates.ready.delete('app.test')
  const asked = () =>
    ask({ port: gateway.httpPort, host: 'app.test', plain: true, headers: { accept: 'application/json' } })
  gateway.certificates.refused.set('app.test', new FakeError('CA_SAYS_NO', 422))
  const refused = await asked()
  assert.equal(refused.status, 422)
  assert.match(refused.body, /CA_SAYS_NO/)
  gateway.certificates.refused.clear()
  assert.equal((await asked()).status, 308)
})
