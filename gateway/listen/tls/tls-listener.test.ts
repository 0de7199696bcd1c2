import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { duplexPair } from 'node:stream'
import { test } from 'node:test'
import tls from 'node:tls'
import { FakeClock } from '../../../core/clock.ts'
import { connectTls } from '../../testing/client.ts'
import { FakeError } from '../../testing/fakes.ts'
import { selfSigned } from '../../testing/self-signed.ts'
import { startTestListener, visit } from './test-listener.ts'

const certificate = selfSigned(['*.test'])

async function startSite(options: Parameters<typeof startTestListener>[0] = {}) {
  const started = await startTestListener(options)
  started.certificates.ready.set('app.test', certificate)
  return started
}

/** The first bytes that Node's own client sends for a name. */
async function helloFor(servername: string): Promise<Buffer> {
  const [near, far] = duplexPair()
  const client = tls.connect({ socket: near, servername })
  client.on('error', () => {})
  const [bytes] = (await once(far, 'data')) as [Buffer]
  client.destroy()
  return bytes
}

test('HTTP/2 is preferred, HTTP/1.1 offered, and meant where a client does not say', async () => {
  await using site = await startSite()
  assert.equal((await visit(site.port, 'app.test', { ALPNProtocols: ['http/1.1', 'h2'] })).protocol, 'h2')
  assert.equal((await visit(site.port, 'app.test', { ALPNProtocols: ['http/1.1'] })).protocol, 'http/1.1')
  assert.equal((await visit(site.port, 'app.test', { ALPNProtocols: [] })).protocol, false)
  assert.deepEqual(
    site.infos.map(({ protocol }) => protocol),
    ['h2', 'http/1.1', 'http/1.1'],
  )
})

test('a client that speaks neither is told so', async () => {
  await using site = await startSite()
  await assert.rejects(connectTls(site.port, 'app.test', { ALPNProtocols: ['spdy/3'] }), /no application protocol/)
})

test('old protocols and CBC ciphers are refused', async () => {
  await using site = await startSite()
  const cbc = {
    maxVersion: 'TLSv1.2',
    ciphers: 'ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA:AES128-SHA@SECLEVEL=0',
  } as const
  await assert.rejects(connectTls(site.port, 'app.test', cbc), /handshake failure/)
  const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL@SECLEVEL=0' } as const
  await assert.rejects(connectTls(site.port, 'app.test', old), /protocol version|no protocols/)
})

test('a client gets the key exchange that it sent a share for, and the hybrid one if it sent that', async () => {
  await using site = await startSite()
  const group = async (ecdhCurve: string): Promise<string | undefined> => {
    const socket = await connectTls(site.port, 'app.test', { ecdhCurve })
    const { name } = socket.getEphemeralKeyInfo() as { name?: string }
    socket.destroy()
    return name
  }
  assert.equal(await group('X25519'), 'X25519')
  assert.equal(await group('X25519:X25519MLKEM768'), 'X25519')
  assert.equal(await group('X25519MLKEM768:X25519'), 'X25519MLKEM768')
  assert.equal(await group('P-256'), 'prime256v1')
})

test('a client cannot renegotiate', async () => {
  await using site = await startSite()
  const socket = await connectTls(site.port, 'app.test', { maxVersion: 'TLSv1.2' })
  const refused = once(socket, 'error')
  socket.renegotiate({}, () => {})
  assert.match(String(await refused), /no renegotiation/)
  socket.destroy()
  assert.equal((await visit(site.port, 'app.test')).text, 'ok')
})

test('a name without a certificate gets one on demand while the handshake waits, and keeps it', async () => {
  await using site = await startSite()
  site.names.add('new.test')
  site.certificates.onDemand.set('new.test', certificate)
  for (let turn = 0; turn < 2; turn++) assert.equal((await visit(site.port, 'new.test')).text, 'ok')
  assert.equal(site.certificates.obtained, 1)
})

test('a certificate that is ready in another process is fetched from there, and nothing is looked up or ordered', async () => {
  await using site = await startSite()
  Object.assign(site.certificates, { load: async () => certificate })
  assert.equal((await visit(site.port, 'elsewhere.test')).text, 'ok')
  assert.equal(site.certificates.obtained, 0)
})

test('a name that leads nowhere gets a clear alert, and nothing is ordered', async () => {
  await using site = await startSite()
  await assert.rejects(connectTls(site.port, 'nobody.test'), /unrecognized name/)
  assert.equal(site.certificates.obtained, 0)
})

test('a name whose certificate is refused gets a clear alert', async () => {
  await using site = await startSite()
  site.names.add('refused.test')
  await assert.rejects(connectTls(site.port, 'refused.test'), /unrecognized name/)
})

test('a handshake does not wait longer for a certificate than the limit', async () => {
  await using site = await startSite({ config: { timeouts: { certificateWaitMs: 100 } } })
  site.names.add('slow.test')
  site.certificates.delayMs = 1_000
  await assert.rejects(connectTls(site.port, 'slow.test'), /internal error/)
  assert.match(await site.metrics.text(), /gateway_certificate_wait_seconds_count\{outcome="late"\} 1/)
})

test('no more handshakes wait for certificates than allowed, and the others go on', async () => {
  await using site = await startSite({ config: { limits: { handshakesWaitingMax: 1 } } })
  for (const name of ['one.test', 'two.test']) site.names.add(name)
  const { promise, resolve } = Promise.withResolvers<typeof certificate>()
  site.certificates.obtain = () => promise
  const waiting = visit(site.port, 'one.test')
  while (site.listener.handshakes === 0) await new Promise((next) => setImmediate(next))
  await assert.rejects(connectTls(site.port, 'two.test'), /internal error/)
  assert.equal((await visit(site.port, 'app.test')).text, 'ok')
  resolve(certificate)
  assert.equal((await waiting).text, 'ok')
})

test('an expired certificate is not shown', async () => {
  await using site = await startSite()
  site.certificates.ready.set('app.test', { ...certificate, notAfterMs: Date.now() - 1 })
  await assert.rejects(connectTls(site.port, 'app.test'), /unrecognized name/)
})

test('a changed certificate is shown to the next full handshake, and drops no connection', async () => {
  await using site = await startSite()
  const open = await connectTls(site.port, 'app.test')
  const changed = selfSigned(['app.test'])
  site.certificates.ready.set('app.test', changed)
  const after = await visit(site.port, 'app.test')
  assert.notEqual(after.fingerprint, open.getPeerCertificate().fingerprint256)
  open.write('x')
  const [answer] = await once(open, 'data')
  assert.equal(String(answer), 'ok')
})

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`a TLS-ALPN-01 challenge is answered with its certificate, also beside a valid one (${version})`, async () => {
    await using site = await startSite()
    const challenge = selfSigned(['app.test'])
    site.certificates.alpn.set('app.test', challenge)
    const options = { ALPNProtocols: ['acme-tls/1'], minVersion: version, maxVersion: version } as const
    const socket = await connectTls(site.port, 'app.test', options)
    assert.equal(socket.alpnProtocol, 'acme-tls/1')
    const shown = socket.getPeerX509Certificate()?.toString()
    assert.equal(shown?.trim(), challenge.certificatePem.trim())
    const { fingerprint256 } = socket.getPeerCertificate()
    await once(socket.resume(), 'end')
    assert.notEqual((await visit(site.port, 'app.test')).fingerprint, fingerprint256)
    assert.equal(site.infos.length, 1)
    await assert.rejects(connectTls(site.port, 'other.test', options), /unrecognized name/)
  })
}

test('hostile server names end their handshake and nothing else', async () => {
  await using site = await startSite()
  const hostile = [
    '',
    'a'.repeat(255),
    `${'a.'.repeat(127)}a`,
    '__proto__',
    'constructor',
    '../../etc/passwd',
    'a..b',
    '-.test',
    'localhost@app.test',
    'app.test:443',
    '*.test',
    'x\u0001y',
    '1',
    'ÿþ.test',
  ]
  for (const servername of hostile) await assert.rejects(connectTls(site.port, servername), `"${servername}"`)
  assert.equal((await visit(site.port, 'app.test')).text, 'ok')
  assert.equal((await visit(site.port, 'APP.Test')).text, 'ok')
})

test('a server name with a zero byte is not taken for what comes before it', async () => {
  await using site = await startSite()
  const hello = await helloFor('app.test.evil')
  hello[hello.indexOf('.evil')] = 0
  const socket = net.connect(site.port, '127.0.0.1')
  socket.write(hello)
  const [answer] = (await once(socket, 'data')) as [Buffer]
  assert.deepEqual([...answer], [21, 3, 3, 0, 2, 2, 112])
  socket.destroy()
})

test('a client that names no server is told what is missing', async () => {
  await using site = await startSite()
  const socket = tls.connect({ port: site.port, host: '127.0.0.1', servername: '', rejectUnauthorized: false })
  const [error] = await once(socket, 'error')
  assert.match(String(error), /missing extension/)
})

test('a certificate source that throws, or hands out rubbish, ends one handshake only', async () => {
  await using site = await startSite()
  const rubbish = { id: 'x', certificatePem: 'no', keyPem: 'no', notAfterMs: Date.now() + 1e6 }
  site.certificates.ready.set('bad.test', rubbish)
  await assert.rejects(connectTls(site.port, 'bad.test'), /internal error/)
  assert.equal((await visit(site.port, 'app.test')).text, 'ok')
  site.certificates.find = () => {
    throw new FakeError('BROKEN', 500)
  }
  await assert.rejects(connectTls(site.port, 'app.test'), /internal error/)
  assert.equal(site.listener.handshakes, 0)
  assert.equal(site.log.lines.filter(({ level }) => level === 'warn').length, 2)
})

test('whoever takes over a connection and throws loses that connection only', async () => {
  await using site = await startSite()
  Object.defineProperty(site.infos, 'push', {
    configurable: true,
    value: () => {
      throw new TypeError('broken')
    },
  })
  await assert.rejects(visit(site.port, 'app.test').then(({ text }) => assert.equal(text, 'ok')))
  Reflect.deleteProperty(site.infos, 'push')
  assert.equal((await visit(site.port, 'app.test')).text, 'ok')
})

test('wherever the first bytes of a client are cut, its handshake succeeds', async () => {
  await using site = await startSite()
  const { length } = await helloFor('app.test')
  for (const at of [1, 4, 5, 6, 9, 43, 44, 100, length - 2, length - 1]) {
    const socket = net.connect(site.port, '127.0.0.1').setNoDelay(true)
    await once(socket, 'connect')
    const cutter = cutFirst(socket, at)
    const client = tls.connect({ socket: cutter, servername: 'app.test', rejectUnauthorized: false })
    client.write('x')
    const [answer] = await once(client, 'data')
    assert.equal(String(answer), 'ok', `cut at ${at}`)
    client.destroy()
    socket.destroy()
  }
})

/** A stream over the socket that sends the first bytes in two parts, the second once the first has gone. */
function cutFirst(socket: net.Socket, at: number) {
  const [near, far] = duplexPair()
  far.once('data', (bytes: Buffer) => {
    far.pause()
    socket.write(bytes.subarray(0, at), () =>
      setImmediate(() => {
        socket.write(bytes.subarray(at))
        far.pipe(socket)
      }),
    )
  })
  socket.pipe(far)
  return near
}

test('bytes that are no TLS are refused at once', async () => {
  await using site = await startSite()
  const socket = net.connect(site.port, '127.0.0.1')
  socket.end('GET / HTTP/1.1\r\nHost: app.test\r\n\r\n')
  const [answer] = (await once(socket, 'data')) as [Buffer]
  assert.deepEqual([...answer], [21, 3, 3, 0, 2, 2, 50])
  await once(socket, 'close')
  assert.match(await site.metrics.text(), /gateway_tls_handshakes_total\{kind="failed"\} 1/)
})

test('single bytes do not extend the time for a handshake', async () => {
  const clock = new FakeClock(Date.now())
  await using site = await startSite({ clock })
  const socket = net.connect(site.port, '127.0.0.1')
  const closed = once(socket, 'close')
  const hello = await helloFor('app.test')
  for (let at = 0; at < 5; at++) {
    socket.write(hello.subarray(at, at + 1))
    while (site.listener.handshakes === 0) await new Promise((resolve) => setImmediate(resolve))
    await clock.advance(1_900)
  }
  assert.equal(site.listener.handshakes, 1)
  await clock.advance(1_000)
  await closed
  while (site.listener.handshakes > 0) await new Promise((resolve) => setImmediate(resolve))
})

test('a client that falls silent in the middle of a handshake is cut off in time', async () => {
  const clock = new FakeClock(Date.now())
  await using site = await startSite({ clock })
  const socket = net.connect(site.port, '127.0.0.1')
  socket.write(await helloFor('app.test'))
  await once(socket, 'data')
  assert.equal(site.listener.handshakes, 1)
  const closed = once(socket.resume(), 'close')
  await clock.advance(11_000)
  await closed
  assert.equal(site.infos.length, 0)
})

test('a first message in very many parts is refused', async () => {
  const pieces = 64
  await using site = await startSite()
  const raw = Object.assign(new net.Socket(), { write: () => true, destroySoon() {}, paused: false })
  site.listener.accept(raw, Buffer.of(22))
  const hello = await helloFor('app.test')
  for (let at = 1; at < pieces; at++) raw.emit('data', hello.subarray(at, at + 1))
  assert.equal(raw.listenerCount('data'), 0)
  raw.destroy()
})

test('beyond the limit of handshakes in progress new connections are closed, and those under way go on', async () => {
  await using site = await startSite({ config: { limits: { handshakesMax: 1 } } })
  const first = net.connect(site.port, '127.0.0.1')
  const hello = await helloFor('app.test')
  first.write(hello)
  await once(first, 'data')
  await assert.rejects(connectTls(site.port, 'app.test'))
  assert.equal(site.listener.handshakes, 1)
  first.destroy()
  while (site.listener.handshakes > 0) await new Promise((resolve) => setImmediate(resolve))
  assert.equal((await visit(site.port, 'app.test')).text, 'ok')
})

test('what comes before TLS may be read by another, who then hands the connection on', async () => {
  const header = 'PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n'
  let seen = ''
  await using site = await startSite({
    ports: {
      connected: (raw) => {
        raw.once('data', (bytes) => {
          raw.pause()
          seen = bytes.toString('latin1', 0, header.length)
          site.listener.accept(raw, bytes.subarray(header.length))
        })
      },
    },
  })
  const socket = net.connect(site.port, '127.0.0.1')
  socket.write(header)
  const client = tls.connect({ socket, servername: 'app.test', rejectUnauthorized: false })
  client.write('x')
  assert.equal(String((await once(client, 'data'))[0]), 'ok')
  assert.equal(seen, header)
  client.destroy()
})

test('a client that leaves while it waits for a certificate disturbs nothing', async () => {
  await using site = await startSite()
  site.names.add('slow.test')
  const { promise, resolve } = Promise.withResolvers<typeof certificate>()
  site.certificates.obtain = () => promise
  const socket = net.connect(site.port, '127.0.0.1')
  socket.write(await helloFor('slow.test'))
  while (site.listener.handshakes === 0) await new Promise((next) => setImmediate(next))
  socket.resetAndDestroy()
  while (site.listener.handshakes > 0) await new Promise((next) => setImmediate(next))
  resolve(certificate)
  assert.equal((await visit(site.port, 'app.test')).text, 'ok')
  assert.equal(site.infos.length, 1)
})

test('a connection that is reset after its handshake disturbs nothing', async () => {
  await using site = await startSite()
  const raw = net.connect(site.port, '127.0.0.1')
  const client = tls.connect({ socket: raw, servername: 'app.test', rejectUnauthorized: false })
  await once(client, 'secureConnect')
  while (site.infos.length === 0) await new Promise((next) => setImmediate(next))
  raw.resetAndDestroy()
  assert.equal((await visit(site.port, 'app.test')).text, 'ok')
})

test('a stop ends handshakes in progress and leaves connections alone', async () => {
  await using site = await startSite()
  const open = await connectTls(site.port, 'app.test')
  const silent = net.connect(site.port, '127.0.0.1')
  silent.write(await helloFor('app.test'))
  await once(silent, 'data')
  site.listener[Symbol.dispose]()
  await once(silent.resume(), 'close')
  open.write('x')
  assert.equal(String((await once(open, 'data'))[0]), 'ok')
})
