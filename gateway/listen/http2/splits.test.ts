/** The same bytes mean the same, however a network cuts them; and no request can see another's. Without a socket, so that cuts are exact. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { FakeClock } from '../../../core/clock.ts'
import { TimingWheel } from '../../../core/timing-wheel.ts'
import type { ClientConnection, Exchange } from '../../forward/exchange.ts'
import { http2ConfigSchema } from '../../http2/config.ts'
import { clientPreface, FrameType } from '../../http2/frame.ts'
import type { FrameTransport } from '../../http2/output-buffer.ts'
import { createHttp2Context } from './ports.ts'
import { ServerSession } from './server-session.ts'
import { block, data, frame, headers, request, settingsFrame } from './testing/raw-client.ts'
import { answerText, answerWith, sink } from './testing/test-server.ts'

class Wire implements FrameTransport {
  bytes = Buffer.alloc(0)

  write(bytes: Buffer, done: () => void): void {
    this.bytes = Buffer.concat([this.bytes, bytes])
    setImmediate(done)
  }

  end(): void {}
  pause(): void {}
  resume(): void {}
}

const clock = new FakeClock()
const wheel = new TimingWheel(clock)
const client = { secure: true, serverName: 'app.test' } as ClientConnection

function startSession(handle: (exchange: Exchange) => void): {
  session: ServerSession
  wire: Wire
  failures: unknown[]
} {
  const failures: unknown[] = []
  const ports = {
    wheel,
    clock,
    connections: { add() {}, remove() {}, begin() {}, end() {} },
    owner: { ended() {} },
    handle,
    refuse: (exchange: Exchange) => answerText(exchange, 400, 'refused'),
    failed: (error: unknown) => void failures.push(error),
  }
  const timeouts = { headMs: 1_000, keepAliveMs: 1_000, bodyIdleMs: 1_000, answerIdleMs: 1_000 }
  const limits = { headBytesMax: 16_384, headFieldsMax: 100, uriBytesMax: 8_192 }
  const wire = new Wire()
  const context = createHttp2Context(http2ConfigSchema.parse({}), limits, timeouts, ports)
  return { session: new ServerSession(context, client, wire), wire, failures }
}

const settle = async (): Promise<void> => {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve))
}

/** Fields of a request with a body and trailers, in a block of two frames; then one without a body. */
const conversation = Buffer.concat([
  clientPreface,
  settingsFrame([[4, 100_000]]),
  frame(
    FrameType.headers,
    0x28,
    1,
    Buffer.concat([Buffer.of(2), Buffer.alloc(5), block(request('POST', '/a?b', 'cookie', 'a=1')), Buffer.alloc(2)]),
  ),
  frame(
    FrameType.continuation,
    4,
    1,
    Buffer.concat([
      Buffer.from([0x40, 3]),
      Buffer.from('x-a'),
      Buffer.from([3]),
      Buffer.from('one'),
      block(['cookie', 'b=2']),
    ]),
  ),
  data(1, 'hello '),
  frame(FrameType.data, 8, 1, Buffer.concat([Buffer.of(4), Buffer.from('world'), Buffer.alloc(4)])),
  headers(1, ['x-sum', '11']),
  frame(FrameType.headers, 5, 3, Buffer.concat([block(request('GET', '/next')), Buffer.of(0xbe)])),
  frame(FrameType.ping, 0, 0, Buffer.from('the end.')),
])

async function converse(chunks: readonly Buffer[]): Promise<{ seen: string[]; out: string[] }> {
  const seen: string[] = []
  const { session, wire, failures } = startSession((exchange) => {
    let body = ''
    const finish = (trailers: string): void => {
      seen.push(`${exchange.head.method} ${exchange.path} ${exchange.head.fields.pairs()} ${body} ${trailers}`)
      answerText(exchange, 200, body)
    }
    if (exchange.bodyEnded) return finish('-')
    exchange.readBody(
      sink({
        onBody(part) {
          body += part.toString()
          return true
        },
        onBodyEnd: (trailers) => finish(String(trailers?.pairs())),
      }),
    )
  })
  for (const chunk of chunks) session.receive(chunk)
  await settle()
  assert.deepEqual(failures, [])
  assert.equal(session.streams.size, 0)
  session.disconnected()
  return { seen, out: framesOf(wire.bytes) }
}

/** The frames sent, sorted: answers to different things may overtake each other. */
function framesOf(bytes: Buffer): string[] {
  const frames: string[] = []
  for (let at = 0; at < bytes.length; ) {
    const next = at + 9 + bytes.readUIntBE(at, 3)
    frames.push(bytes.toString('hex', at, next))
    at = next
  }
  return frames.sort()
}

test('a conversation cut at every byte means the same', async () => {
  const whole = await converse([conversation])
  assert.deepEqual(whole.seen, [
    'POST /a?b cookie,a=1; b=2,x-a,one hello world x-sum,11'.replace(
      'cookie,a=1; b=2,x-a,one',
      'x-a,one,cookie,a=1; b=2',
    ),
    'GET /next x-a,one  -',
  ])
  for (let at = 1; at < conversation.length; at++)
    assert.deepEqual(await converse([conversation.subarray(0, at), conversation.subarray(at)]), whole, `cut at ${at}`)
  assert.deepEqual(await converse([...conversation].map((byte) => Buffer.of(byte))), whole)
})

test('no garbage makes a session throw, and whatever it does, its streams and exchanges end with it', () => {
  const piece = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.constantFrom(
        headers(1, request()),
        headers(1, request('POST'), false),
        headers(3, request('POST'), false),
        data(1, 'abc'),
        data(3, 'x', true),
        settingsFrame([[4, 5]]),
      ),
    },
    {
      weight: 3,
      arbitrary: fc
        .tuple(
          fc.integer({ min: 0, max: 17 }),
          fc.integer({ min: 0, max: 63 }),
          fc.integer({ min: 0, max: 5 }),
          fc.uint8Array({ maxLength: 30 }),
        )
        .map(([type, flags, id, payload]) => frame(type, flags, id, Buffer.from(payload))),
    },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 30 }).map((bytes) => Buffer.from(bytes)) },
  )
  const cuts = fc.array(fc.nat(400), { maxLength: 4 })
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), cuts, fc.nat(3), (pieces, places, mode) => {
      let [begun, gone] = [0, 0]
      const { session, failures } = startSession((exchange) => {
        begun++
        if (mode === 0) answerWith(exchange, 200, [], Buffer.alloc(70_000), true)
        if (mode === 1) exchange.readBody(sink({ onBody: () => false }))
        if (mode === 2) exchange.cut()
        if (mode === 3) exchange.listen(sink({ onClientGone: () => void gone++ }))
      })
      const bytes = Buffer.concat([clientPreface, settingsFrame([]), ...pieces])
      let at = 0
      for (const place of [...places.sort((a, b) => a - b), bytes.length]) {
        session.receive(bytes.subarray(at, Math.max(at, place)))
        at = Math.max(at, place)
      }
      session.disconnected()
      assert.deepEqual(failures, [])
      assert.equal(session.streams.size, 0)
      if (mode === 3) assert.equal(gone, begun)
    }),
    { numRuns: 500 },
  )
})

test('a head is independent of the bytes it came in, and a finished exchange shows nothing of the next', () => {
  const exchanges: Exchange[] = []
  const { session } = startSession((exchange) => void exchanges.push(exchange))
  const first = Buffer.concat([
    clientPreface,
    settingsFrame([]),
    headers(1, request('GET', '/secret', 'authorization', 'one')),
  ])
  session.receive(first)
  first.fill(0xff)
  const [one] = exchanges as [Exchange]
  assert.deepEqual([one.path, one.head.fields.pairs()], ['/secret', ['authorization', 'one']])
  answerText(one, 200, 'x')
  session.receive(headers(3, request('GET', '/other', 'authorization', 'two')))
  const two = exchanges[1] as Exchange
  assert.deepEqual([two.path, two.head.fields.pairs()], ['/other', ['authorization', 'two']])
  assert.deepEqual([one.path, one.head.fields.pairs()], ['', []])
  session.disconnected()
})
