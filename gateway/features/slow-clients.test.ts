// Clients that stop reading, leave, or close their half: what that means for the host.
import assert from 'node:assert/strict'
import type { RequestListener, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { describe, test } from 'node:test'
import { connectTls } from '../testing/client.ts'
import { connectPlain, converse } from '../testing/conversation.ts'
import { type FakeHost, startFakeHost } from '../testing/fake-host.ts'
import { beginHttp2, connectHttp2 } from '../testing/http2-client.ts'
import { startTestGateway, type TestGateway } from '../testing/test-gateway.ts'
import { until } from '../testing/until.ts'

const block = Buffer.alloc(65_536, 'x')
const request = 'GET /large HTTP/1.1\r\nHost: app.test\r\n\r\n'
/** What kernel buffers on loopback may take on either side, with room to spare. */
const heldBytesMax = 48 * 1_048_576

interface Served extends AsyncDisposable {
  gateway: TestGateway
  host: FakeHost
  /** Bytes that the host could write so far. */
  sentBytes(): number
  /** Answers that were closed before their end. */
  cut(): number
}

/** A host that writes without end, as fast as it may. */
async function serveEndless(config: Record<string, object> = {}): Promise<Served> {
  let sentBytes = 0
  let cut = 0
  const listener: RequestListener = (_, response: ServerResponse) => {
    response.on('close', () => cut++)
    const go = (): void => {
      while (!response.destroyed && sentBytes < 512 * 1_048_576) {
        sentBytes += block.length
        if (!response.write(block)) return
      }
    }
    response.on('drain', go)
    go()
  }
  const host = await startFakeHost(listener)
  const gateway = await startTestGateway({ listen: { plainSites: true }, ...config })
  gateway.hosts.add('one', host.origin)
  return {
    gateway,
    host,
    sentBytes: () => sentBytes,
    cut: () => cut,
    async [Symbol.asyncDispose]() {
      await gateway[Symbol.asyncDispose]()
      await host[Symbol.asyncDispose]()
    },
  }
}

/** Begins a download and reads nothing of it. `leave` breaks it off. */
type Stall = (gateway: TestGateway) => Promise<{ leave(): void; isCut(): boolean }>

const stallSocket = (socket: Socket) => {
  let closed = false
  socket
    .on('error', () => {})
    .on('close', () => {
      closed = true
    })
  socket.pause()
  socket.write(request)
  return {
    leave: () => void socket.destroy(),
    isCut: () => {
      // It is seen only by who reads on.
      socket.resume()
      return closed
    },
  }
}

const stalls: Record<string, Stall> = {
  'plain HTTP/1.1': async (gateway) => stallSocket(await connectPlain(gateway.httpPort)),
  'HTTP/1.1 over TLS': async (gateway) => stallSocket(await connectTls(gateway.httpsPort, 'app.test')),
  'HTTP/2': async (gateway) => {
    const client = await connectHttp2(gateway.httpsPort, 'app.test')
    const stream = beginHttp2(client, { host: 'app.test', path: '/large' })
    let cut = false
    stream.pause()
    stream
      .on('error', () => {})
      .on('close', () => {
        cut = stream.rstCode !== 0
        client.destroy()
      })
    return { leave: () => stream.close(8), isCut: () => cut }
  },
}

async function settled(value: () => number): Promise<number> {
  let before = -1
  await until(async () => {
    const still = value() > 0 && before === value()
    before = value()
    await new Promise((resolve) => setTimeout(resolve, 100))
    return still
  })
  return before
}

for (const [protocol, stall] of Object.entries(stalls)) {
  describe(`a client on ${protocol}`, () => {
    test('that stops reading holds its host back', async () => {
      await using served = await serveEndless()
      const client = await stall(served.gateway)
      const held = await settled(served.sentBytes)
      assert.ok(held < heldBytesMax, `the host could send ${held} bytes to nobody`)
      client.leave()
      await until(() => served.cut() === 1)
    })

    test('that stops reading for too long is cut, its host is let go, and not blamed', async () => {
      await using served = await serveEndless({ timeouts: { answerIdleMs: 500 }, balance: { ejectAfter: 1 } })
      const client = await stall(served.gateway)
      await until(() => served.cut() === 1)
      await until(() => client.isCut())
      const text = await served.gateway.metrics.text()
      assert.match(text, /gateway_host_ejections_total 0/)
      assert.match(text, /gateway_upstream_attempts_total\{outcome="gone"\} 1/)
      assert.match(text, /gateway_requests_in_flight 0/)
    })

    test('that leaves in the middle of an answer cancels it at the host', async () => {
      await using served = await serveEndless()
      const client = await stall(served.gateway)
      await until(() => served.sentBytes() > 0)
      client.leave()
      await until(() => served.cut() === 1)
      await until(async () => /gateway_requests_in_flight 0/.test(await served.gateway.metrics.text()))
    })
  })
}

describe('a client that leaves before an answer began', () => {
  const waiting = async () => {
    const responses: ServerResponse[] = []
    const closed: ServerResponse[] = []
    const host = await startFakeHost((request, response) => {
      request.resume()
      responses.push(response)
      response.on('close', () => closed.push(response))
    })
    const gateway = await startTestGateway({ listen: { plainSites: true } })
    gateway.hosts.add('one', host.origin)
    return {
      host,
      gateway,
      responses,
      closed,
      async [Symbol.asyncDispose]() {
        await gateway[Symbol.asyncDispose]()
        await host[Symbol.asyncDispose]()
      },
    }
  }

  test('by a reset, by the end of TLS, or by RST_STREAM, cancels its request at the host', async () => {
    await using served = await waiting()
    const { gateway, responses, closed } = served
    const plain = await connectPlain(gateway.httpPort)
    plain.on('error', () => {}).write(request)
    await until(() => responses.length === 1)
    plain.resetAndDestroy()
    await until(() => closed.length === 1)
    const secure = await connectTls(gateway.httpsPort, 'app.test')
    secure.on('error', () => {}).write(request)
    await until(() => responses.length === 2)
    secure.destroy()
    await until(() => closed.length === 2)
    await using client = await connectHttp2(gateway.httpsPort, 'app.test')
    const stream = beginHttp2(client, { host: 'app.test' }).on('error', () => {})
    await until(() => responses.length === 3)
    stream.close(8)
    await until(() => closed.length === 3)
  })

  test('in the middle of its body, cancels it too, on either kind of connection', async () => {
    await using served = await waiting()
    const { gateway, responses, closed } = served
    const upload = 'POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 1000000\r\n\r\nbegun'
    for (const [index, socket] of [
      await connectPlain(gateway.httpPort),
      await connectTls(gateway.httpsPort, 'app.test'),
    ].entries()) {
      socket.on('error', () => {}).write(upload)
      await until(() => responses.length === index + 1)
      socket.end()
      await until(() => closed.length === index + 1)
    }
  })

  test('only by closing its half, after a whole request, still gets its answer', async () => {
    await using served = await waiting()
    const { gateway, responses } = served
    for (const bytes of [request, 'POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\n\r\nhello']) {
      responses.length = 0
      await using talk = converse(await connectPlain(gateway.httpPort))
      talk.socket.end(bytes)
      await until(() => responses.length === 1)
      await new Promise((resolve) => setTimeout(resolve, 50))
      responses[0]?.end('late, but here')
      assert.match(await talk.end(), /^HTTP\/1.1 200 OK\r\n.*late, but here$/s)
    }
  })

  test('with several requests behind each other, and a closed half, gets all answers', async () => {
    await using host = await startFakeHost((request, response) => response.end(`<${request.url?.slice(-1)}>`))
    await using gateway = await startTestGateway({ listen: { plainSites: true } })
    gateway.hosts.add('one', host.origin)
    await using talk = converse(await connectPlain(gateway.httpPort))
    talk.socket.end([1, 2, 3].map((n) => `GET /${n} HTTP/1.1\r\nHost: app.test\r\n\r\n`).join(''))
    assert.match(await talk.end(), /<1>.*<2>.*<3>$/s)
  })
})
