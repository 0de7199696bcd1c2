// The PROXY protocol, in from balancers before the gateway and out to hosts that want it, through the real listeners.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import net, { type AddressInfo, type Socket } from 'node:net'
import { describe, test } from 'node:test'
import tls from 'node:tls'
import { writeProxyHeader } from '../listen/proxy-protocol.ts'
import { ask } from '../testing/client.ts'
import { connectPlain, converse } from '../testing/conversation.ts'
import { type FakeHost, startFakeHost } from '../testing/fake-host.ts'
import { askHttp2, connectHttp2 } from '../testing/http2-client.ts'
import { startTestGateway, type TestGateway } from '../testing/test-gateway.ts'
import { until } from '../testing/until.ts'

const told = { source: { address: '203.0.113.7', port: 4711 }, destination: { address: '192.0.2.1', port: 443 } }
const request = 'GET /x HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n'

function headerOf(version: 1 | 2, addresses: typeof told | 'nobody' = told): Buffer {
  const out = Buffer.alloc(256)
  return out.subarray(0, writeProxyHeader(version, out, 0, addresses === 'nobody' ? undefined : addresses))
}

/** A gateway whose sites are told who asks, served on both ports, behind the balancers of `trust`. */
async function startBehind(trust: object, config: Record<string, object> = {}): Promise<TestGateway> {
  const sites = { 'app.test': { tellClient: true } }
  return startTestGateway({ trust, sites, listen: { plainSites: true }, ...config })
}

/** A host that answers with what it was told of the client. */
function startTellingHost(): Promise<FakeHost> {
  return startFakeHost((request, response) => response.end(`for=${request.headers['x-forwarded-for']}`))
}

/** Sends the parts over TCP one by one, each in a packet of its own, and returns all that comes back. */
async function sendParts(port: number, parts: Iterable<Uint8Array | string>): Promise<string> {
  const socket = await connectPlain(port)
  await using talk = converse(socket)
  socket.setNoDelay(true)
  for (const part of parts) {
    socket.write(part)
    // The other side reads in another turn of the same loop: this lets it see the parts apart.
    await new Promise((resolve) => setImmediate(resolve))
  }
  return await talk.end()
}

/** Opens TCP, sends a PROXY header in pieces, and speaks TLS behind it. */
async function tlsBehind(port: number, parts: Iterable<Uint8Array>, protocol = 'http/1.1'): Promise<tls.TLSSocket> {
  const raw = await connectPlain(port)
  raw.setNoDelay(true)
  for (const part of parts) {
    raw.write(part)
    await new Promise((resolve) => setImmediate(resolve))
  }
  const socket = tls.connect({
    socket: raw,
    servername: 'app.test',
    rejectUnauthorized: false,
    ALPNProtocols: [protocol],
  })
  await once(socket, 'secureConnect')
  return socket
}

function singly(bytes: Buffer): Buffer[] {
  return Array.from(bytes, (byte) => Buffer.of(byte))
}

describe('a PROXY header from a trusted balancer', () => {
  for (const version of [1, 2] as const) {
    test(`version ${version} tells the client, on either listener`, async () => {
      await using host = await startTellingHost()
      await using gateway = await startBehind({ addresses: ['127.0.0.0/8'], proxyProtocol: 'required' })
      gateway.hosts.add('one', host.origin)
      const plain = await sendParts(gateway.httpPort, [Buffer.concat([headerOf(version), Buffer.from(request)])])
      assert.match(plain, /^HTTP\/1.1 200 .*\r\n\r\nfor=203\.0\.113\.7$/s)
      const secure = converse(await tlsBehind(gateway.httpsPort, [headerOf(version)]))
      secure.say(request)
      assert.match(await secure.end(), /^HTTP\/1.1 200 .*\r\n\r\nfor=203\.0\.113\.7$/s)
    })

    test(`version ${version} may be split at every byte, on either listener`, async () => {
      await using host = await startTellingHost()
      await using gateway = await startBehind({ addresses: ['127.0.0.0/8'], proxyProtocol: 'required' })
      gateway.hosts.add('one', host.origin)
      const header = headerOf(version)
      for (let at = 1; at < header.length; at++) {
        const parts = [header.subarray(0, at), Buffer.concat([header.subarray(at), Buffer.from(request)])]
        assert.match(await sendParts(gateway.httpPort, parts), /\r\n\r\nfor=203\.0\.113\.7$/, `split at ${at}`)
      }
      const dripped = await sendParts(gateway.httpPort, [...singly(header), ...singly(Buffer.from(request))])
      assert.match(dripped, /\r\n\r\nfor=203\.0\.113\.7$/)
      for (const at of [1, 6, 13, header.length - 1]) {
        const secure = converse(await tlsBehind(gateway.httpsPort, [header.subarray(0, at), header.subarray(at)]))
        secure.say(request)
        assert.match(await secure.end(), /\r\n\r\nfor=203\.0\.113\.7$/, `split at ${at}`)
      }
      const secure = converse(await tlsBehind(gateway.httpsPort, singly(header)))
      secure.say(request)
      assert.match(await secure.end(), /\r\n\r\nfor=203\.0\.113\.7$/)
    })
  }

  test('also tells the client of an HTTP/2 connection, in the same packet as the ClientHello', async () => {
    await using host = await startTellingHost()
    await using gateway = await startBehind({ addresses: ['127.0.0.0/8'], proxyProtocol: 'required' })
    gateway.hosts.add('one', host.origin)
    // A relay that puts the header in front of the first bytes of the client.
    const relay = net.createServer((client) => {
      const out = net.connect(gateway.httpsPort, '127.0.0.1')
      client.once('data', (first) => {
        out.write(Buffer.concat([headerOf(2), first]))
        client.pipe(out).pipe(client)
      })
      for (const socket of [client, out]) socket.on('error', () => {})
    })
    await new Promise<void>((resolve) => void relay.listen(0, '127.0.0.1', resolve))
    try {
      await using client = await connectHttp2((relay.address() as AddressInfo).port, 'app.test')
      const answer = await askHttp2(client, { host: 'app.test' })
      assert.equal(String(answer.body), 'for=203.0.113.7')
    } finally {
      relay.close()
    }
  })

  test('IPv6 addresses are told too', async () => {
    await using host = await startTellingHost()
    await using gateway = await startBehind({ addresses: ['127.0.0.1'], proxyProtocol: 'optional' })
    gateway.hosts.add('one', host.origin)
    const header = 'PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n'
    assert.match(await sendParts(gateway.httpPort, [header + request]), /\r\n\r\nfor=2001:db8::7$/)
  })

  test('where it says nothing of the client (LOCAL, UNKNOWN), the address of the connection counts', async () => {
    await using host = await startTellingHost()
    await using gateway = await startBehind({ addresses: ['127.0.0.1'], proxyProtocol: 'required' })
    gateway.hosts.add('one', host.origin)
    for (const header of [headerOf(1, 'nobody'), headerOf(2, 'nobody')])
      assert.match(
        await sendParts(gateway.httpPort, [Buffer.concat([header, Buffer.from(request)])]),
        /\r\n\r\nfor=127\.0\.0\.1$/,
      )
  })

  test('is not taken from anybody else: there it is a request that cannot be read, or no TLS', async () => {
    await using host = await startTellingHost()
    await using gateway = await startBehind({ addresses: ['10.0.0.0/8'], proxyProtocol: 'required' })
    gateway.hosts.add('one', host.origin)
    for (const version of [1, 2] as const) {
      const bytes = Buffer.concat([headerOf(version), Buffer.from(request)])
      assert.match(await sendParts(gateway.httpPort, [bytes]), /^HTTP\/1.1 400 /)
      assert.doesNotMatch(await sendParts(gateway.httpsPort, [bytes]), /HTTP/)
    }
    // And strangers need none.
    assert.match(await sendParts(gateway.httpPort, [request]), /\r\n\r\nfor=127\.0\.0\.1$/)
    assert.equal(host.seen.length, 1)
  })

  test('may be left out where it is optional, and may not where it is required', async () => {
    await using host = await startTellingHost()
    await using optional = await startBehind({ addresses: ['127.0.0.1'], proxyProtocol: 'optional' })
    optional.hosts.add('one', host.origin)
    assert.match(await sendParts(optional.httpPort, [request]), /\r\n\r\nfor=127\.0\.0\.1$/)
    assert.equal((await ask({ port: optional.httpsPort, host: 'app.test' })).status, 200)
    await using required = await startBehind({ addresses: ['127.0.0.1'], proxyProtocol: 'required' })
    required.hosts.add('one', host.origin)
    assert.equal(await sendParts(required.httpPort, [request]), '')
    await assert.rejects(ask({ port: required.httpsPort, host: 'app.test' }))
    assert.match(await required.metrics.text(), /gateway_refused_connections_total\{reason="proxy"\} 2/)
  })

  const malformed = {
    'a family that does not exist': 'PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n',
    'an address of the other family': 'PROXY TCP4 ::1 1.2.3.4 1 2\r\n',
    'a port out of range': 'PROXY TCP4 1.2.3.4 1.2.3.4 70000 2\r\n',
    'a missing word': 'PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n',
    'a bare LF': 'PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n',
    'no line end': `PROXY ${'x'.repeat(120)}`,
    'an unknown version': Buffer.concat([headerOf(2).subarray(0, 12), Buffer.of(0x31, 0x11, 0, 0)]),
    'an unknown command': Buffer.concat([headerOf(2).subarray(0, 12), Buffer.of(0x2f, 0x11, 0, 0)]),
    'fewer bytes than its family needs': Buffer.concat([
      headerOf(2).subarray(0, 12),
      Buffer.of(0x21, 0x11, 0, 4, 1, 2, 3, 4),
    ]),
  }
  test('closes the connection when it is malformed, whether it is optional or required', async () => {
    for (const proxyProtocol of ['optional', 'required']) {
      await using host = await startTellingHost()
      await using gateway = await startBehind({ addresses: ['127.0.0.1'], proxyProtocol })
      gateway.hosts.add('one', host.origin)
      for (const [what, header] of Object.entries(malformed)) {
        const bytes = Buffer.concat([Buffer.from(header), Buffer.from(request)])
        assert.equal(await sendParts(gateway.httpPort, [bytes]), '', what)
        assert.equal(await sendParts(gateway.httpsPort, [bytes]), '', what)
      }
      assert.equal(host.seen.length, 0)
    }
  })

  test('does not make what stands in fields believed: a balancer passes on what the client wrote', async () => {
    await using host = await startTellingHost()
    await using gateway = await startBehind({ addresses: ['127.0.0.1'], proxyProtocol: 'optional' })
    gateway.hosts.add('one', host.origin)
    const spoofed = request.replace('\r\n\r\n', '\r\nX-Forwarded-For: 198.51.100.9\r\n\r\n')
    assert.match(
      await sendParts(gateway.httpPort, [Buffer.concat([headerOf(1), Buffer.from(spoofed)])]),
      /\r\n\r\nfor=203\.0\.113\.7$/,
    )
    // Without a header it is a proxy that speaks HTTP, whose word counts.
    assert.match(await sendParts(gateway.httpPort, [spoofed]), /\r\n\r\nfor=198\.51\.100\.9, 127\.0\.0\.1$/)
  })

  test('names the client whose connections are counted', async () => {
    await using host = await startTellingHost()
    const trust = { addresses: ['127.0.0.1'], proxyProtocol: 'required' }
    await using gateway = await startBehind(trust, { clients: { connectionsPerAddressMax: 1 } })
    gateway.hosts.add('one', host.origin)
    const open = request.replace('Connection: close\r\n', '')
    await using first = converse(await connectPlain(gateway.httpPort))
    first.say(Buffer.concat([headerOf(1), Buffer.from(open)]))
    await first.hear(/for=203\.0\.113\.7$/)
    const again = Buffer.concat([headerOf(2), Buffer.from(request)])
    assert.equal(await sendParts(gateway.httpPort, [again]), '')
    const other = 'PROXY TCP4 203.0.113.8 192.0.2.1 1 443\r\n'
    assert.match(await sendParts(gateway.httpPort, [other + request]), /for=203\.0\.113\.8$/)
    assert.match(await gateway.metrics.text(), /gateway_refused_connections_total\{reason="address"\} 1/)
    first.socket.destroy()
    await until(async () => (await sendParts(gateway.httpPort, [again])).endsWith('for=203.0.113.7'))
  })

  test('that does not come, or drips in, is waited for no longer than a head may take', async () => {
    await using gateway = await startBehind(
      { addresses: ['127.0.0.1'], proxyProtocol: 'optional' },
      { timeouts: { headMs: 300 } },
    )
    for (const port of [gateway.httpPort, gateway.httpsPort]) {
      await using silent = converse(await connectPlain(port))
      await using dripping = converse(await connectPlain(port))
      const drip = setInterval(() => dripping.say('P'), 20)
      dripping.say('PROXY TCP4 ')
      try {
        assert.equal(await silent.end(), '')
        assert.equal(await dripping.end(), '')
      } finally {
        clearInterval(drip)
      }
    }
  })
})

describe('a PROXY header to the hosts', () => {
  /** A host that reads a PROXY header of either version, then requests; it notes what each connection brought. */
  async function startProxyHost(): Promise<AsyncDisposable & { origin: string; heard: string[] }> {
    const heard: string[] = []
    const sockets = new Set<Socket>()
    const server = net.createServer((socket) => {
      const index = heard.push('') - 1
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('data', (part) => {
        heard[index] += part.toString('latin1')
        if (part.toString('latin1').endsWith('\r\n\r\n')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
      })
    })
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
    return {
      origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      heard,
      async [Symbol.asyncDispose]() {
        for (const socket of sockets) socket.destroy()
        await new Promise((resolve) => server.close(resolve))
      },
    }
  }

  for (const version of ['v1', 'v2'] as const) {
    test(`precedes the request (${version}), and its connection serves one client only`, async () => {
      await using host = await startProxyHost()
      await using gateway = await startTestGateway({ sites: { 'app.test': { proxyProtocolOut: version } } })
      gateway.hosts.add('one', host.origin)
      const clients = [await connectPlain(gateway.httpsPort), await connectPlain(gateway.httpsPort, '127.0.0.2')]
      const ports = clients.map(({ localPort }) => localPort)
      for (const raw of clients) {
        const socket = tls.connect({ socket: raw, servername: 'app.test', rejectUnauthorized: false })
        await once(socket, 'secureConnect')
        await using talk = converse(socket)
        talk.say(request)
        assert.match(await talk.end(), /^HTTP\/1.1 200 .*ok$/s)
      }
      assert.equal(host.heard.length, 2, 'a connection for each')
      for (const [index, address] of ['127.0.0.1', '127.0.0.2'].entries()) {
        const destination = { address: '127.0.0.1', port: gateway.httpsPort }
        const source = { address, port: ports[index] as number }
        const header = headerOf(version === 'v1' ? 1 : 2, { source, destination }).toString('latin1')
        assert.ok(host.heard[index]?.startsWith(`${header}GET /vm/`), JSON.stringify(host.heard[index]))
      }
    })
  }

  test('a second request of the same client does not go over the connection of the first', async () => {
    await using host = await startProxyHost()
    await using gateway = await startTestGateway({ sites: { '*': { proxyProtocolOut: 'v1' } } })
    gateway.hosts.add('one', host.origin)
    for (let turn = 0; turn < 3; turn++)
      assert.equal((await ask({ port: gateway.httpsPort, host: 'app.test' })).body, 'ok')
    assert.equal(host.heard.length, 3)
    for (const text of host.heard) assert.match(text, /^PROXY TCP4 127\.0\.0\.1 127\.0\.0\.1 \d+ \d+\r\nGET /)
  })

  test('is not sent where a site does not ask for it', async () => {
    await using host = await startProxyHost()
    await using gateway = await startTestGateway({ sites: { 'other.test': { proxyProtocolOut: 'v2' } } })
    gateway.hosts.add('one', host.origin)
    await ask({ port: gateway.httpsPort, host: 'app.test' })
    assert.match(host.heard[0] ?? '', /^GET \/vm\//)
  })
})
