// What one client's connection may cost: places, time, memory.
import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import net from 'node:net'
import { describe, test } from 'node:test'
import { FakeClock } from '../../core/clock.ts'
import { createMetrics } from '../../core/metrics.ts'
import { TimingWheel } from '../../core/timing-wheel.ts'
import { gatewayConfigSchema } from '../config.ts'
import { ClientLimits } from '../guard/client-limits.ts'
import { MemoryBudget } from '../guard/memory-budget.ts'
import { Door } from '../listen/door.ts'
import { settingsOf } from '../listen/listen-context.ts'
import { gatewayMetrics } from '../metrics.ts'
import { ask, connectTls } from '../testing/client.ts'
import { type Conversation, connectPlain, converse } from '../testing/conversation.ts'
import { startFakeHost, startRawHost } from '../testing/fake-host.ts'
import { startTestGateway } from '../testing/test-gateway.ts'
import { startTimedGateway } from '../testing/timed-gateway.ts'
import { until } from '../testing/until.ts'

const request = 'GET / HTTP/1.1\r\nHost: app.test\r\n\r\n'
const plainSites = { listen: { plainSites: true } }
const okHost = () => startFakeHost((request, response) => void request.resume().on('end', () => response.end('ok')))
const open = async (port: number): Promise<Conversation> => converse(await connectPlain(port))

describe('connections', () => {
  for (const secure of [false, true]) {
    test(`beyond connectionsMax are closed at once, and a place that is left is used again (${secure ? 'TLS' : 'plain'})`, async () => {
      await using host = await okHost()
      await using gateway = await startTestGateway({ ...plainSites, limits: { connectionsMax: 2 } })
      gateway.hosts.add('one', host.origin)
      const enter = async (): Promise<Conversation> =>
        secure ? converse(await connectTls(gateway.httpsPort, 'app.test')) : open(gateway.httpPort)
      const isServed = async (): Promise<boolean> => {
        try {
          await using talk = await enter()
          talk.say(request)
          await talk.hear(/ok$/)
          return true
        } catch {
          return false
        }
      }
      await using first = await enter()
      const second = await enter()
      assert.equal(await isServed(), false)
      for (const talk of [first, second]) {
        talk.say(request)
        await talk.hear(/ok$/)
      }
      second.socket.destroy()
      await until(isServed)
    })
  }

  test('that are idle are closed after keepAliveMs, not before; each request begins the time anew', async () => {
    await using host = await okHost()
    await using gateway = await startTimedGateway()
    gateway.hosts.add('one', host.origin)
    await using talk = await open(gateway.httpPort)
    for (let turn = 0; turn < 2; turn++) {
      talk.forget()
      talk.say(request)
      await talk.hear(/ok$/)
      await gateway.clock.advance(64_000)
      assert.equal(talk.ended, false)
    }
    await gateway.clock.advance(2_000)
    await talk.end()
  })

  test('whose host says nothing for answerIdleMs are closed, WebSockets and event streams too', async () => {
    await using host = await startFakeHost((_, response) => {
      response.writeHead(200, { 'Content-Type': 'text/event-stream' })
      response.write('data: 1\n\n')
    })
    await using gateway = await startTimedGateway()
    gateway.hosts.add('one', host.origin)
    await using talk = await open(gateway.httpPort)
    talk.say(request)
    await talk.hear(/data: 1/)
    await gateway.clock.advance(598_000)
    assert.equal(talk.ended, false)
    await gateway.clock.advance(4_000)
    await talk.end()
  })

  test('are counted against memory with 16 KiB each until they close', async () => {
    const clock = new FakeClock()
    using wheel = new TimingWheel(clock)
    const config = gatewayConfigSchema.parse({})
    const mark = 4 * 16_384
    using memory = new MemoryBudget({ softBytes: mark + 1, hardBytes: mark }, { clock, residentBytes: () => 0 })
    const ports = { settings: settingsOf(config), wheel, clock, memory, clients: new ClientLimits(config.clients) }
    const door = new Door({ ...ports, metrics: gatewayMetrics(createMetrics()) })
    const entered: Socket[] = []
    const server = net.createServer((raw) =>
      door.enter(raw, () => void entered.push(raw.on('error', () => {}).resume())),
    )
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as net.AddressInfo
    const clients = []
    for (let i = 0; i < 4; i++) clients.push(await open(port))
    await until(() => entered.length === 4)
    assert.equal(memory.reservedBytes, mark)
    const late = await open(port)
    await late.end()
    assert.equal(entered.length, 4)
    for (const { socket } of clients) socket.destroy()
    await until(() => memory.reservedBytes === 0)
    server.close()
  })
})

describe('a body that nobody reads', () => {
  const head = 'POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 100000000\r\n\r\n'

  /** A client that keeps its side open, so that only the gateway decides when it is over. */
  async function begin(port: number): Promise<Conversation> {
    const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    const talk = converse(socket)
    talk.say(head)
    await talk.hear(/^HTTP\/1.1 308 .*Connection: close\r\n/s)
    await talk.end()
    return talk
  }

  test('is thrown away up to 256 KiB after the answer; who sends on is cut', async () => {
    await using gateway = await startTestGateway()
    await using talk = await begin(gateway.httpPort)
    const { socket } = talk
    let closed = false
    socket.once('close', () => {
      closed = true
    })
    const send = (bytes: number) => new Promise((resolve) => socket.write(Buffer.alloc(bytes), resolve))
    await send(250_000)
    // The gateway has read all of that once another connection, which came later, has been answered.
    await ask({ port: gateway.httpPort, host: 'app.test', plain: true })
    assert.equal(closed, false)
    await send(20_000)
    await until(async () => {
      if (!closed) await send(1)
      return closed
    })
  })

  test('is waited for 5 s after the answer, not longer', async () => {
    await using gateway = await startTimedGateway({ listen: { plainSites: false } })
    await using talk = await begin(gateway.httpPort)
    let closed = false
    talk.socket.once('close', () => {
      closed = true
    })
    await gateway.clock.advance(4_000)
    talk.say('x')
    await gateway.clock.advance(500)
    assert.equal(closed, false)
    await gateway.clock.advance(2_000)
    await until(() => {
      if (!closed) talk.say('x')
      return closed
    })
  })
})

describe('a request body', () => {
  for (const [bytes, whole, status] of [
    [1_000, true, 200],
    [1_001, true, 502],
    [1_000, false, 200],
    [1_001, false, 502],
  ] as const) {
    const how = whole ? 'at once' : 'in parts'
    const end = status === 200 ? 'goes to another host' : 'is not kept for another host'
    test(`of ${bytes} bytes that comes ${how} ${end}, where replayBytesMax is 1,000`, async () => {
      await using dying = await startRawHost((socket, first) => {
        let length = first.length
        const check = (): void => {
          if (length > bytes) socket.destroy()
        }
        socket.on('data', (part) => {
          length += part.length
          check()
        })
        check()
      })
      await using fine = await startFakeHost((request, response) => {
        let length = 0
        request.on('data', (part) => {
          length += part.length
        })
        request.on('end', () => response.end(`got ${length}`))
      })
      await using gateway = await startTestGateway({ ...plainSites, limits: { replayBytesMax: 1_000 } })
      // The first to be asked: the other one would have to start the program.
      gateway.hosts.add('dying', dying.origin).add('fine', fine.origin, { running: false })
      await using talk = await open(gateway.httpPort)
      const head = `PUT / HTTP/1.1\r\nHost: app.test\r\nContent-Length: ${bytes}\r\n\r\n`
      const body = 'b'.repeat(bytes)
      if (whole) talk.say(head + body)
      else {
        talk.say(head + body.slice(0, 10))
        await new Promise((resolve) => setTimeout(resolve, 20))
        talk.say(body.slice(10))
      }
      await talk.hear(/^HTTP\/1.1 \d+ /)
      assert.match(talk.text, new RegExp(`^HTTP/1.1 ${status} `))
      if (status === 200) await talk.hear(new RegExp(`got ${bytes}$`))
    })
  }
})

describe('a chunked body', () => {
  const send = async (gateway: { httpPort: number }, chunks: string): Promise<string> => {
    await using talk = await open(gateway.httpPort)
    talk.say(`POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}`)
    return (await talk.hear(/^HTTP\/1.1 \d+ /)).slice(9, 12)
  }
  /** A chunk with `bytes` of extensions, semicolon and CR included, as they are counted. */
  const extension = (bytes: number): string => `1;${'e'.repeat(bytes - 1)}\r\nx\r\n`
  const field = (bytes: number): string => `T: ${'t'.repeat(bytes - 5)}\r\n`
  const rows: [string, string, string][] = [
    ['4,096 bytes of extensions', `${extension(2_048)}${extension(2_048)}0\r\n\r\n`, '200'],
    ['4,097 bytes of extensions', `${extension(2_048)}${extension(2_049)}0\r\n\r\n`, '400'],
    ['a size of ten digits', '0000000001\r\nx\r\n0\r\n\r\n', '200'],
    ['a size of eleven digits', '00000000001\r\nx\r\n0\r\n\r\n', '400'],
    ['8,192 bytes of trailers', `0\r\n${field(8_190)}\r\n`, '200'],
    ['8,193 bytes of trailers', `0\r\n${field(8_191)}\r\n`, '400'],
    ['trailers without end', `0\r\nT: ${'t'.repeat(9_000)}`, '400'],
    ['64 trailers', `0\r\n${'T: t\r\n'.repeat(64)}\r\n`, '200'],
    ['65 trailers', `0\r\n${'T: t\r\n'.repeat(65)}\r\n`, '400'],
  ]
  for (const [what, chunks, status] of rows) {
    test(`with ${what} is ${status}`, async () => {
      await using host = await okHost()
      await using gateway = await startTestGateway(plainSites)
      gateway.hosts.add('one', host.origin)
      assert.equal(await send(gateway, chunks), status)
    })
    if (status === '200') continue
    test(`with ${what} breaks off where a host sends it`, async () => {
      const answer = `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n${chunks}`
      await using host = await startRawHost((socket) => void socket.write(answer))
      await using gateway = await startTestGateway(plainSites)
      gateway.hosts.add('one', host.origin)
      await assert.rejects(ask({ port: gateway.httpPort, host: 'app.test', plain: true }), /aborted|hang up|ECONNRESET/)
    })
  }
})
