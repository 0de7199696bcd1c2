// WebSockets as a tunnel of bytes, over HTTP/1.1 and over HTTP/2 (extended CONNECT).
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import type { ClientHttp2Session } from 'node:http2'
import net, { type AddressInfo, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { describe, test } from 'node:test'
import { connectTls } from '../testing/client.ts'
import { connectHttp2 } from '../testing/http2-client.ts'
import { startTestGateway, type TestGateway } from '../testing/test-gateway.ts'
import { until } from '../testing/until.ts'

const key = 'dGhlIHNhbXBsZSBub25jZQ=='
const acceptOf = (key: string) =>
  createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')

interface SocketHost extends AsyncDisposable {
  origin: string
  /** Heads of the requests. */
  heads: string[]
  /** Sockets that were switched. */
  sockets: Socket[]
}

interface HostOptions {
  accept?: (key: string) => string
  /** What to answer in place of 101. */
  answer?: string
  /** Waits before the 101. */
  gate?: Promise<void>
  onSocket?: (socket: Socket) => void
}

/** A host that agrees to WebSockets; by default it sends back what comes. */
async function startSocketHost(options: HostOptions = {}): Promise<SocketHost> {
  const { accept = acceptOf, answer, gate, onSocket = (socket: Socket) => void socket.pipe(socket) } = options
  const heads: string[] = []
  const sockets: Socket[] = []
  const all = new Set<Socket>()
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    all.add(socket)
    socket.on('error', () => {})
    let head = Buffer.alloc(0)
    const onData = async (part: Buffer) => {
      head = Buffer.concat([head, part])
      const end = head.indexOf('\r\n\r\n')
      if (end < 0) return
      socket.off('data', onData).pause()
      const text = head.toString('latin1', 0, end)
      if (text.startsWith('GET /healthz')) return void socket.end('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
      heads.push(text)
      if (end + 4 < head.length) socket.unshift(head.subarray(end + 4))
      await gate
      if (answer !== undefined) return void socket.end(answer)
      const sent = /^sec-websocket-key: (.*)$/im.exec(text)?.[1] ?? ''
      const fields = `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept(sent)}\r\n`
      socket.write(`HTTP/1.1 101 Switching Protocols\r\n${fields}Sec-WebSocket-Protocol: chat\r\n\r\n`)
      sockets.push(socket)
      onSocket(socket)
      socket.resume()
    }
    socket.on('data', onData)
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    heads,
    sockets,
    async [Symbol.asyncDispose]() {
      for (const socket of all) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

interface Joined {
  status: number
  /** Field names are lower case. */
  fields: Record<string, string>
  /** What follows the head: the tunnel, or the body of another answer. */
  stream: Duplex
}

/** Asks for a WebSocket on a new connection. `early` goes out together with the request. */
type Join = (gateway: TestGateway, early?: string) => Promise<Joined>

const join1: Join = async (gateway, early = '') => {
  const socket = await connectTls(gateway.httpsPort, 'app.test')
  const fields = `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n`
  socket.write(`GET /chat HTTP/1.1\r\nHost: app.test\r\n${fields}Sec-WebSocket-Protocol: chat\r\n\r\n${early}`)
  return new Promise((resolve, reject) => {
    let head = Buffer.alloc(0)
    socket.on('error', reject)
    socket.on('close', () => reject(new Error(`closed after ${head}`)))
    const onData = (part: Buffer) => {
      head = Buffer.concat([head, part])
      const end = head.indexOf('\r\n\r\n')
      if (end < 0) return
      socket
        .off('data', onData)
        .pause()
        .on('error', () => {})
      if (end + 4 < head.length) socket.unshift(head.subarray(end + 4))
      const [line = '', ...lines] = head.toString('latin1', 0, end).split('\r\n')
      const pairs = lines.map((text) => [
        text.slice(0, text.indexOf(':')).toLowerCase(),
        text.slice(text.indexOf(':') + 2),
      ])
      resolve({ status: Number(line.split(' ')[1]), fields: Object.fromEntries(pairs), stream: socket })
    }
    socket.on('data', onData)
  })
}

const clients = new Map<TestGateway, ClientHttp2Session>()

const join2: Join = async (gateway, early = '') => {
  // All on one connection: a tunnel must not disturb the others.
  const client = clients.get(gateway) ?? (await connectHttp2(gateway.httpsPort, 'app.test'))
  clients.set(gateway, client)
  const stream = client.request({
    ':method': 'CONNECT',
    ':protocol': 'websocket',
    ':scheme': 'https',
    ':path': '/chat',
    ':authority': 'app.test',
    'sec-websocket-version': '13',
    'sec-websocket-protocol': 'chat',
  })
  stream.on('error', () => {})
  if (early) stream.write(early)
  return new Promise((resolve, reject) => {
    stream.once('response', (headers) =>
      resolve({ status: Number(headers[':status']), fields: headers as unknown as Record<string, string>, stream }),
    )
    stream.once('close', () => reject(new Error('the stream was closed')))
  })
}

/** Reads until `bytes` are there, or the end. */
async function read(stream: Duplex, bytes: number): Promise<Buffer> {
  const parts: Buffer[] = []
  let count = 0
  while (count < bytes) {
    const part = stream.read() as Buffer | null
    if (part) {
      parts.push(part)
      count += part.length
    } else if (stream.readableEnded || stream.destroyed) break
    else
      await new Promise<void>((resolve) => {
        for (const event of ['readable', 'end', 'close']) stream.once(event, () => resolve())
      })
  }
  return Buffer.concat(parts)
}

const isOver = ({ stream }: Joined): boolean => stream.readableEnded || stream.destroyed

/** Takes the gateway's last client with it. */
async function startGateway(host: SocketHost | undefined, config: Record<string, object> = {}): Promise<TestGateway> {
  const gateway = await startTestGateway(config)
  if (host) gateway.hosts.add('one', host.origin)
  const stop = gateway[Symbol.asyncDispose]
  return Object.assign(gateway, {
    async [Symbol.asyncDispose]() {
      clients.get(gateway)?.destroy()
      await stop()
    },
  })
}

for (const [protocol, join] of [
  ['HTTP/1.1', join1],
  ['HTTP/2', join2],
] as const) {
  const agreed = protocol === 'HTTP/1.1' ? 101 : 200

  describe(`a WebSocket over ${protocol}`, () => {
    test('is agreed to, and carries bytes both ways; the host sees a handshake of HTTP/1.1', async () => {
      await using host = await startSocketHost()
      await using gateway = await startGateway(host)
      const joined = await join(gateway)
      assert.equal(joined.status, agreed)
      assert.equal(joined.fields['sec-websocket-protocol'], 'chat')
      assert.equal(joined.fields['sec-websocket-accept'], protocol === 'HTTP/1.1' ? acceptOf(key) : undefined)
      joined.stream.write('hello')
      assert.equal(String(await read(joined.stream, 5)), 'hello')
      assert.match(host.heads[0] ?? '', /^GET \/vm\/(ab){32}\/chat HTTP\/1.1\r\nHost: app\.test\r\n/)
      for (const field of ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13'])
        assert.match(host.heads[0] ?? '', new RegExp(`\r\n${field}(\r\n|$)`, 'i'))
      joined.stream.destroy()
    })

    test('whose client sends before the agreement loses nothing, in order', async () => {
      let open = () => {}
      const gate = new Promise<void>((resolve) => {
        open = resolve
      })
      await using host = await startSocketHost({ gate })
      await using gateway = await startGateway(host)
      const joining = join(gateway, 'one,')
      await until(() => host.heads.length === 1)
      assert.doesNotMatch(host.heads[0] ?? '', /one,/)
      await new Promise((resolve) => setTimeout(resolve, 50))
      open()
      const joined = await joining
      joined.stream.write('two')
      assert.equal(String(await read(joined.stream, 7)), 'one,two')
      joined.stream.destroy()
    })

    test('whose host speaks first, in the packet of its agreement, loses nothing', async () => {
      await using host = await startSocketHost({ onSocket: (socket) => void socket.write('first') })
      await using gateway = await startGateway(host)
      const joined = await join(gateway)
      assert.equal(String(await read(joined.stream, 5)), 'first')
      joined.stream.destroy()
    })

    test('carries much, both ways at once, past readers that are slow', async () => {
      const sizeBytes = 24 * 1_048_576
      const block = Buffer.alloc(65_536)
      for (let i = 0; i < block.length; i++) block[i] = (i * 7 + (i >> 8)) & 255
      const pump = async (out: Duplex): Promise<void> => {
        for (let sent = 0; sent < sizeBytes; sent += block.length)
          if (!out.write(block)) await new Promise((resolve) => out.once('drain', resolve))
      }
      /** Takes a part, then waits a turn. Rejects when a byte is wrong. */
      const check = (from: Duplex): Promise<number> =>
        new Promise((resolve, reject) => {
          let count = 0
          from.on('data', (part: Buffer) => {
            const at = count % block.length
            const known = Math.min(part.length, block.length - at)
            if (!part.subarray(0, known).equals(block.subarray(at, at + known))) reject(new Error(`wrong at ${count}`))
            count += part.length
            if (count >= sizeBytes) resolve(count)
            from.pause()
            setImmediate(() => from.resume())
          })
          from.on('close', () => reject(new Error(`closed after ${count} bytes`)))
          from.resume()
        })
      const heard: Promise<number>[] = []
      await using host = await startSocketHost({
        onSocket: (socket) => {
          void pump(socket)
          heard.push(check(socket))
        },
      })
      await using gateway = await startGateway(host)
      const joined = await join(gateway)
      const sent = pump(joined.stream)
      const got = await check(joined.stream)
      await sent
      assert.equal(got, sizeBytes)
      assert.equal(await heard[0], sizeBytes)
      joined.stream.destroy()
    })

    test('stops reading from a host whose client does not read', async () => {
      let sentBytes = 0
      const block = Buffer.alloc(65_536)
      const onSocket = (socket: Socket) => {
        const go = (): void => {
          do sentBytes += block.length
          while (socket.write(block) && sentBytes < 256 * 1_048_576)
        }
        socket.on('drain', go)
        go()
      }
      await using host = await startSocketHost({ onSocket })
      await using gateway = await startGateway(host)
      const joined = await join(gateway)
      let before = -1
      await until(async () => {
        const still = before === sentBytes
        before = sentBytes
        await new Promise((resolve) => setTimeout(resolve, 100))
        return still
      })
      assert.ok(sentBytes < 64 * 1_048_576, `the host could send ${sentBytes} bytes to nobody`)
      joined.stream.destroy()
    })

    test('stops reading from a client whose host does not read', async () => {
      await using host = await startSocketHost({ onSocket: (socket) => void setImmediate(() => socket.pause()) })
      await using gateway = await startGateway(host)
      const { stream } = await join(gateway)
      let sentBytes = 0
      const block = Buffer.alloc(65_536)
      const go = (): void => {
        do sentBytes += block.length
        while (stream.write(block) && sentBytes < 256 * 1_048_576)
      }
      stream.on('drain', go)
      go()
      let before = -1
      await until(async () => {
        const still = before === sentBytes
        before = sentBytes
        await new Promise((resolve) => setTimeout(resolve, 100))
        return still
      })
      assert.ok(sentBytes < 64 * 1_048_576, `the client could send ${sentBytes} bytes to nobody`)
      stream.destroy()
    })

    test('ends for both when the client ends it, and when the host does', async () => {
      let heard = ''
      let ended = false
      const onSocket = (socket: Socket) =>
        void socket
          .on('data', (part) => {
            heard += part
          })
          .on('end', () => {
            ended = true
            socket.end('and you')
          })
      await using host = await startSocketHost({ onSocket })
      await using gateway = await startGateway(host)
      const first = await join(gateway)
      first.stream.end('bye')
      await until(() => ended)
      assert.equal(heard, 'bye', 'what was under way arrives')
      // A client that ends TLS has left for good; a stream ends each way for itself.
      if (protocol === 'HTTP/2') assert.equal(String(await read(first.stream, 7)), 'and you')
      first.stream.resume()
      await until(() => isOver(first))
      const second = await join(gateway)
      host.sockets[1]?.end('over')
      assert.equal(String(await read(second.stream, 4)), 'over')
      second.stream.resume()
      await until(() => isOver(second))
      await until(async () => /gateway_requests_in_flight 0/.test(await gateway.metrics.text()))
    })

    test('ends for both when either side breaks off', async () => {
      await using host = await startSocketHost()
      await using gateway = await startGateway(host)
      const first = await join(gateway)
      let closed = false
      host.sockets[0]?.once('close', () => {
        closed = true
      })
      first.stream.destroy(protocol === 'HTTP/2' ? new Error('gone') : undefined)
      await until(() => closed)
      const second = await join(gateway)
      second.stream.resume()
      host.sockets[1]?.resetAndDestroy()
      await until(() => isOver(second))
    })

    test('that is silent too long is closed, and its host is not blamed', async () => {
      await using host = await startSocketHost()
      await using gateway = await startGateway(host, { sites: { 'app.test': { webSocketIdleMs: 1_000 } } })
      const joined = await Promise.all(Array.from({ length: 4 }, () => join(gateway)))
      for (const one of joined) one.stream.resume()
      await until(() => joined.every(isOver))
      const text = await gateway.metrics.text()
      assert.match(text, /gateway_host_ejections_total 0/)
      assert.doesNotMatch(text, /class="cut"[^\n]* [1-9]/)
    })

    test('that speaks now and then stays, however short answers may be silent', async () => {
      await using host = await startSocketHost()
      const timeouts = { answerIdleMs: 300, bodyIdleMs: 300, keepAliveMs: 300, headMs: 300 }
      await using gateway = await startGateway(host, { timeouts })
      const joined = await join(gateway)
      for (let turn = 0; turn < 3; turn++) {
        await new Promise((resolve) => setTimeout(resolve, 900))
        joined.stream.write('ping')
        assert.equal(String(await read(joined.stream, 4)), 'ping')
      }
      joined.stream.destroy()
    })

    test('ends when it has carried as many bytes as its site allows', async () => {
      await using host = await startSocketHost()
      await using gateway = await startGateway(host, { sites: { 'app.test': { webSocketBytesMax: 1_000 } } })
      const joined = await join(gateway)
      joined.stream.write(Buffer.alloc(400))
      assert.equal((await read(joined.stream, 400)).length, 400)
      joined.stream.write(Buffer.alloc(400))
      joined.stream.resume()
      await until(() => isOver(joined))
      await until(() => host.sockets[0]?.destroyed === true || host.sockets[0]?.readableEnded === true)
    })

    test('is held to the bandwidth of its site, towards the client', async () => {
      const body = Buffer.alloc(240_000, 'x')
      await using host = await startSocketHost({ onSocket: (socket) => void socket.write(body) })
      await using gateway = await startGateway(host, { sites: { 'app.test': { bytesPerSecond: 150_000 } } })
      const startedMs = performance.now()
      const joined = await join(gateway)
      assert.equal((await read(joined.stream, body.length)).length, body.length)
      // As for answers: 1.6 s, less 64 KiB of one read and a quarter of a second.
      assert.ok(performance.now() - startedMs > 700)
      joined.stream.destroy()
    })

    test('that the host does not agree to gets the answer of the host', async () => {
      const body = 'no such room'.repeat(400)
      await using host = await startSocketHost({
        answer: `HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
      })
      // The limit is for WebSockets.
      await using gateway = await startGateway(host, { sites: { 'app.test': { webSocketBytesMax: 1_000 } } })
      const joined = await join(gateway)
      assert.equal(joined.status, 403)
      assert.equal(joined.fields['content-type'], 'text/plain')
      assert.equal(String(await read(joined.stream, body.length)), body)
      joined.stream.destroy()
    })

    test('whose host agrees to another one gets 502', async () => {
      await using host = await startSocketHost({ accept: () => acceptOf('another key') })
      await using gateway = await startGateway(host)
      const joined = await join(gateway)
      assert.equal(joined.status, 502)
      assert.match(String(await read(joined.stream, 1)), /\{/)
      joined.stream.destroy()
      await until(() => host.sockets.every((socket) => socket.destroyed || socket.readableEnded))
    })

    test('whose host cannot be reached gets 502, or another host', async () => {
      await using host = await startSocketHost()
      await using gateway = await startGateway(undefined)
      gateway.hosts.add('gone', 'http://127.0.0.1:1')
      const refused = await join(gateway)
      assert.equal(refused.status, 502)
      refused.stream.destroy()
      gateway.hosts.add('one', host.origin)
      await until(async () => {
        const joined = await join(gateway)
        joined.stream.destroy()
        return joined.status === agreed
      })
    })
  })
}

test('the gateway says that it takes WebSockets over HTTP/2', async () => {
  await using gateway = await startGateway(undefined)
  await using client = await connectHttp2(gateway.httpsPort, 'app.test')
  assert.equal(client.remoteSettings.enableConnectProtocol, true)
})
