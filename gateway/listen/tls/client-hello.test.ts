import assert from 'node:assert/strict'
import { once } from 'node:events'
import { duplexPair } from 'node:stream'
import { test } from 'node:test'
import tls, { type ConnectionOptions } from 'node:tls'
import { seededRandom } from '../../../core/random.ts'
import { helloBytesMax, parseClientHello } from './client-hello.ts'

/** The first bytes that Node's own client sends. */
async function hello(options: ConnectionOptions): Promise<Buffer> {
  const [near, far] = duplexPair()
  const client = tls.connect({ socket: near, rejectUnauthorized: false, ...options })
  client.on('error', () => {})
  const [bytes] = (await once(far, 'data')) as [Buffer]
  client.destroy()
  return bytes
}

/** The same message, cut into records at the given places of its body. */
function inRecords(bytes: Buffer, cuts: readonly number[]): Buffer {
  const body = bytes.subarray(5)
  const parts = [0, ...cuts, body.length]
  return Buffer.concat(
    parts.slice(1).map((end, index) => {
      const part = body.subarray(parts[index], end)
      return Buffer.concat([Buffer.of(22, 3, 1, part.length >> 8, part.length & 255), part])
    }),
  )
}

const variants: [string, ConnectionOptions][] = [
  ['TLS 1.3', { servername: 'App.example.com', ALPNProtocols: ['h2', 'http/1.1'] }],
  ['TLS 1.3 with a hybrid key share', { servername: 'App.example.com', ecdhCurve: 'X25519MLKEM768' }],
  ['TLS 1.2', { servername: 'App.example.com', maxVersion: 'TLSv1.2' }],
]

for (const [what, options] of variants) {
  test(`the server name of a client is found (${what})`, async () => {
    assert.deepEqual(parseClientHello(await hello(options)), { serverName: 'App.example.com', challenge: false })
  })
}

test('a client that offers acme-tls/1 is told from others', async () => {
  const alpn = async (...ALPNProtocols: string[]) =>
    parseClientHello(await hello({ servername: 'a.test', ALPNProtocols }))
  assert.deepEqual(await alpn('acme-tls/1'), { serverName: 'a.test', challenge: true })
  assert.deepEqual(await alpn('h2', 'acme-tls/1'), { serverName: 'a.test', challenge: true })
  assert.deepEqual(await alpn('acme-tls/2', 'acme-tls/', 'x'), { serverName: 'a.test', challenge: false })
})

test('a client that names no server has no server name', async () => {
  assert.deepEqual(parseClientHello(await hello({})), { serverName: undefined, challenge: false })
})

test('a message without extensions is read', () => {
  const body = Buffer.concat([Buffer.of(3, 3), Buffer.alloc(32), Buffer.of(0, 0, 2, 0xc0, 0x2b, 1, 0)])
  const bytes = Buffer.concat([Buffer.of(22, 3, 1, 0, body.length + 4, 1, 0, 0, body.length), body])
  assert.deepEqual(parseClientHello(bytes), { serverName: undefined, challenge: false })
})

test('wherever the bytes end, more are asked for; what follows the message does not matter', async () => {
  const bytes = await hello({ servername: 'a.test' })
  for (let end = 0; end < bytes.length; end++) assert.equal(parseClientHello(bytes.subarray(0, end)), 'more', `${end}`)
  const followed = Buffer.concat([bytes, Buffer.from('more bytes')])
  assert.deepEqual(parseClientHello(followed), { serverName: 'a.test', challenge: false })
})

test('wherever the message is cut into two records, it is the same message', async () => {
  const bytes = await hello({ servername: 'a.test', ALPNProtocols: ['acme-tls/1'] })
  for (let cut = 1; cut < bytes.length - 5; cut++) {
    const records = inRecords(bytes, [cut])
    assert.deepEqual(parseClientHello(records), { serverName: 'a.test', challenge: true }, `cut at ${cut}`)
    assert.equal(parseClientHello(records.subarray(0, records.length - 1)), 'more', `cut at ${cut}`)
  }
  const single = inRecords(
    bytes,
    Array.from({ length: bytes.length - 6 }, (_, index) => index + 1),
  )
  assert.deepEqual(parseClientHello(single), { serverName: 'a.test', challenge: true })
})

test('other protocols, other messages and wrong lengths are malformed', async () => {
  const bytes = await hello({ servername: 'a.test' })
  const changed = (at: number, value: number): Buffer => {
    const copy = Buffer.from(bytes)
    copy[at] = value
    return copy
  }
  const cases: [string, Buffer][] = [
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\n')],
    ['SSL 2', Buffer.of(0x80, 0x2e, 1, 0, 2)],
    ['an alert', Buffer.of(21, 3, 3, 0, 2, 2, 40)],
    ['version 2 in the record', changed(1, 2)],
    ['another message', changed(5, 2)],
    ['an empty record', Buffer.of(22, 3, 1, 0, 0)],
    ['a record beyond the limit', Buffer.of(22, 3, 1, 0x40, 0x00)],
    ['a message beyond the limit', changed(6, 1)],
    ['a session id of 33 bytes', changed(5 + 4 + 34, 33)],
    ['a message that ends before its extensions do', changed(8, (bytes[8] as number) - 1)],
  ]
  for (const [what, given] of cases) assert.equal(parseClientHello(given), 'malformed', what)
})

/** A ClientHello with just these extensions. */
function withExtensions(...extensions: [type: number, body: Buffer][]): Buffer {
  const list = Buffer.concat(
    extensions.map(([type, body]) => Buffer.concat([Buffer.of(0, type, body.length >> 8, body.length & 255), body])),
  )
  const fixed = Buffer.concat([Buffer.of(3, 3), Buffer.alloc(32), Buffer.of(0, 0, 2, 0xc0, 0x2b, 1, 0)])
  const body = Buffer.concat([fixed, Buffer.of(list.length >> 8, list.length & 255), list])
  const message = Buffer.concat([Buffer.of(1, 0, body.length >> 8, body.length & 255), body])
  return Buffer.concat([Buffer.of(22, 3, 1, message.length >> 8, message.length & 255), message])
}

function nameExtension(name: string, type = 0): Buffer {
  const text = Buffer.from(name, 'latin1')
  const entry = Buffer.concat([Buffer.of(type, text.length >> 8, text.length & 255), text])
  return Buffer.concat([Buffer.of(entry.length >> 8, entry.length & 255), entry])
}

test('a name that two readers could read differently is refused', () => {
  const name = nameExtension('a.test')
  assert.deepEqual(parseClientHello(withExtensions([0, name])), { serverName: 'a.test', challenge: false })
  const two = Buffer.concat([Buffer.of(0, 18), name.subarray(2), name.subarray(2)])
  const cases: [string, Buffer][] = [
    ['the extension twice', withExtensions([0, name], [0, nameExtension('b.test')])],
    ['two names in one list', withExtensions([0, two])],
    ['a list that is too long', withExtensions([0, Buffer.concat([name, Buffer.of(0)])])],
    ['a list that is too short', withExtensions([0, name.subarray(0, -1)])],
    ['another kind of name', withExtensions([0, nameExtension('a.test', 1)])],
    ['an empty name', withExtensions([0, nameExtension('')])],
    ['an empty extension', withExtensions([0, Buffer.alloc(0)])],
    ['256 bytes', withExtensions([0, nameExtension('a'.repeat(256))])],
    ['protocols twice', withExtensions([16, Buffer.of(0, 3, 2, 104, 50)], [16, Buffer.of(0, 3, 2, 104, 50)])],
    ['an empty protocol', withExtensions([16, Buffer.of(0, 1, 0)])],
    ['a protocol beyond its list', withExtensions([16, Buffer.of(0, 3, 9, 104, 50)])],
  ]
  for (const [what, given] of cases) assert.equal(parseClientHello(given), 'malformed', what)
})

test('damaged messages never throw, and never yield a name that OpenSSL would read differently', async () => {
  const seed = Math.floor(Math.random() * 2 ** 31)
  const random = seededRandom(seed)
  const below = (limit: number): number => Math.floor(random.float() * limit)
  const whole = await hello({ servername: 'app.test', ALPNProtocols: ['h2'], ecdhCurve: 'X25519' })
  let compared = 0
  for (let round = 0; round < 1_500; round++) {
    const bytes = Buffer.from(whole)
    // Mostly lengths and types near the name, which is where a difference would hide.
    const name = bytes.indexOf('app.test')
    for (let change = 1 + below(3); change > 0; change--) {
      const at = random.float() < 0.6 ? name - 12 + below(40) : below(bytes.length)
      bytes[at] = random.float() < 0.5 ? below(256) : ((bytes[at] as number) + (random.float() < 0.5 ? 1 : 255)) & 255
    }
    const ours = parseClientHello(bytes)
    if (typeof ours === 'string') continue
    const theirs = nameByOpenSsl(bytes)
    if (theirs === undefined) continue
    compared++
    assert.equal(ours.serverName, theirs, `seed ${seed}, round ${round}: ${bytes.toString('hex')}`)
  }
  assert.ok(compared > 100, `seed ${seed}: only ${compared} messages were read by both`)
})

const context = tls.createSecureContext()

/** The name that OpenSSL finds, or undefined when it refuses the message or finds none. */
function nameByOpenSsl(bytes: Buffer): string | undefined {
  const [near] = duplexPair()
  let found: string | undefined
  const options = {
    isServer: true,
    secureContext: context,
    SNICallback: (name: string, done: (error: Error | null) => void) => {
      found = name
      done(new Error('enough'))
    },
  }
  const server = new tls.TLSSocket(near as never, options as never)
  server.on('error', () => {})
  const handle = (server as unknown as { _handle: { receive(bytes: Buffer): void } })._handle
  handle.receive(bytes)
  server.destroy()
  return found
}

test('a message is refused as soon as it is known to be too long', () => {
  const head = (length: number): Buffer => Buffer.of(22, 3, 1, 0, 4, 1, 0, length >> 8, length & 255)
  assert.equal(parseClientHello(head(helloBytesMax - 4)), 'more')
  assert.equal(parseClientHello(head(helloBytesMax)), 'malformed')
  const record = Buffer.concat([Buffer.of(22, 3, 1, 0x20, 0, 1, 0, 0x3f, 0), Buffer.alloc(0x2000 - 4)])
  assert.equal(parseClientHello(record), 'more')
  assert.equal(parseClientHello(Buffer.concat([record, Buffer.of(22, 3, 1, 0x20, 0)])), 'malformed')
})
