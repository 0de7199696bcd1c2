import assert from 'node:assert/strict'
import { Duplex, duplexPair } from 'node:stream'
import { test } from 'node:test'
import fc from 'fast-check'
import { AppError } from '../../../core/errors.ts'
import { encodeFrame, type Frame, FrameDecoder, type FrameType, frameTypes } from './frame.ts'
import { GuestLink } from './link.ts'
import { streamWindowBytes } from './link-stream.ts'

interface FakeGuest {
  link: GuestLink
  /** Frames that the host sent, in order. */
  got: Frame[]
  send(type: FrameType, stream?: number, payload?: Uint8Array): void
  sendRaw(bytes: Uint8Array): void
}

function startGuest(options: { streamsMax?: number } = {}): FakeGuest {
  const [host, guest] = duplexPair()
  const link = new GuestLink(host, { random: (count) => new Uint8Array(count).fill(9), nowMs: () => 1_000, ...options })
  const got: Frame[] = []
  const decoder = new FrameDecoder()
  guest.on('data', (chunk: Buffer) => decoder.push(chunk, (frame) => got.push(frame)))
  guest.on('error', () => {})
  return {
    link,
    got,
    send: (type, stream = 0, payload) => void guest.write(encodeFrame(type, stream, payload)),
    sendRaw: (bytes) => void guest.write(bytes),
  }
}

const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5))
const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
const hello = Buffer.from('protocol\x001\0runtime\0python\0boot_id\0abc\0')

test('a guest that says hello gets randomness and time before anything else', async () => {
  const { link, got, send } = startGuest()
  send('hello', 0, hello)
  assert.deepEqual(await link.hello, { bootId: 'abc' })
  await settle()
  assert.equal(got[0]?.type, 'reseed')
  assert.equal(got[0]?.payload.readBigUInt64LE(0), 1_000_000_000n)
  assert.deepEqual(got[0]?.payload.subarray(8), Buffer.alloc(64, 9))
  link.close()
})

test('bytes flow both ways on a stream, and its id is used again after both ends are done', async () => {
  const { link, got, send } = startGuest()
  const stream = link.open()
  stream.end('question')
  send('data', 1, Buffer.from('answer'))
  send('end', 1)
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk)
  assert.equal(Buffer.concat(chunks).toString(), 'answer')
  assert.deepEqual(
    got.map(({ type, payload }) => [type, payload.toString()]),
    [
      ['open', ''],
      ['data', 'question'],
      ['end', ''],
    ],
  )
  assert.equal(link.streams, 0)
  assert.equal(link.open().on('error', () => {}).id, 1)
  link.close()
})

test('the host sends no more than the guest granted, and goes on when it grants more', async () => {
  const { link, got, send } = startGuest()
  const stream = link.open()
  stream.write(Buffer.alloc(streamWindowBytes + 1_000))
  await settle()
  const sent = (): number =>
    got.filter(({ type }) => type === 'data').reduce((sum, frame) => sum + frame.payload.length, 0)
  assert.equal(sent(), streamWindowBytes)
  send('credit', 1, u32(600))
  await settle()
  assert.equal(sent(), streamWindowBytes + 600)
  stream.on('error', () => {})
  link.close()
})

test('a guest is granted more only as its bytes are read', async () => {
  const { link, got, send } = startGuest()
  const stream = link.open()
  for (let sent = 0; sent < streamWindowBytes; sent += 32_768) send('data', 1, Buffer.alloc(32_768))
  await settle()
  const granted = (): number =>
    got.filter(({ type }) => type === 'credit').reduce((sum, frame) => sum + frame.payload.readUInt32LE(0), 0)
  assert.ok(granted() <= 65_536 * 2, 'an unread stream is not granted its window anew')
  stream.resume()
  await settle()
  assert.equal(granted(), streamWindowBytes)
  stream.on('error', () => {})
  link.close()
})

test('an abandoned stream is reset in the guest, also after the question was complete', async () => {
  const { link, got, send } = startGuest()
  const stream = link.open()
  stream.end('question')
  await settle()
  stream.destroy()
  await settle()
  assert.deepEqual(
    got.map(({ type }) => type),
    ['open', 'data', 'end', 'reset'],
  )
  assert.equal(link.streams, 1, 'the id waits for the guest')
  send('data', 1, Buffer.from('crossed'))
  send('reset', 1, u32(1))
  await settle()
  assert.equal(link.streams, 0)
  link.close()
})

test('a guest that resets a stream breaks that stream only', async () => {
  const { link, send } = startGuest()
  const [first, second] = [link.open(), link.open()]
  second.on('error', () => assert.fail('the other stream is well'))
  send('reset', 1, u32(1))
  await assert.rejects(
    async () => {
      for await (const _ of first) assert.fail('no data')
    },
    { code: 'ECONNRESET' },
  )
  assert.equal(link.streams, 1)
  second.removeAllListeners('error').on('error', () => {})
  link.close()
})

test('more connections than allowed are refused, not queued', () => {
  const { link } = startGuest({ streamsMax: 2 })
  for (const stream of [link.open(), link.open()]) stream.on('error', () => {})
  assert.throws(() => link.open(), { code: 'CRN_FULL' })
  link.close()
})

const violations: [string, (guest: FakeGuest) => void][] = [
  ['data for a stream that is not open', ({ send }) => send('data', 5, Buffer.from('x'))],
  ['an end for a stream that is not open', ({ send }) => send('end', 5)],
  ['a frame that only hosts send', ({ send }) => send('config', 0)],
  ['another protocol version', ({ send }) => send('hello', 0, Buffer.from('protocol\x002\0'))],
  [
    'a credit of a wrong size',
    ({ link, send }) => send('credit', link.open().on('error', () => {}).id, Buffer.alloc(3)),
  ],
  ['credit beyond the window', ({ link, send }) => send('credit', link.open().on('error', () => {}).id, u32(1))],
  ['log of an unknown output', ({ send }) => send('log', 0, Buffer.from([7]))],
  ['readiness of a wrong size', ({ send }) => send('ready', 0, Buffer.from([1]))],
  ['an unknown type', ({ sendRaw }) => sendRaw(Buffer.from([0, 0, 0, 0, 99, 0, 0, 0, 0]))],
  [
    'more data than was granted',
    ({ link, send }) => {
      const { id } = link.open().on('error', () => {})
      for (let sent = 0; sent <= streamWindowBytes + 262_144; sent += 65_536) send('data', id, Buffer.alloc(65_536))
    },
  ],
  [
    'data after the end',
    ({ link, send }) => {
      const { id } = link.open().on('error', () => {})
      send('end', id)
      send('data', id, Buffer.from('x'))
    },
  ],
]
for (const [name, violate] of violations) {
  test(`${name} ends the link with a protocol error`, async () => {
    const guest = startGuest()
    violate(guest)
    assert.equal(((await guest.link.ended) as AppError).code, 'CRN_LINK_PROTOCOL')
    assert.throws(() => guest.link.open(), { code: 'CRN_GUEST_ENDED' })
  })
}

test('whatever a guest sends, the link lives or ends with a typed error', async () => {
  const types = Object.keys(frameTypes) as FrameType[]
  const frame = fc.record({
    type: fc.constantFrom(...types),
    stream: fc.nat(4),
    payload: fc.uint8Array({ maxLength: 80 }),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(frame, { maxLength: 40 }), async (frames) => {
      const { link, send } = startGuest()
      for (let count = 0; count < 3; count++)
        link
          .open()
          .on('error', () => {})
          .resume()
      for (const each of frames) send(each.type, each.stream, each.payload)
      await new Promise((resolve) => setImmediate(resolve))
      link.close()
      assert.ok((await link.ended) instanceof AppError)
    }),
    { numRuns: 300 },
  )
})

test('a failure that the guest reports reaches the owner as text and the caller as a code', async () => {
  const [host, guest] = duplexPair()
  const failures: string[][] = []
  const link = new GuestLink(host, {
    random: (count) => new Uint8Array(count),
    nowMs: () => 0,
    onFailed: (...failure) => failures.push(failure),
  })
  guest.write(encodeFrame('failed', 0, Buffer.from('load\0secret of the owner')))
  const error = (await link.ended) as AppError
  assert.deepEqual(failures, [['load', 'secret of the owner']])
  assert.doesNotMatch(error.message, /secret/)
})

test('a link that breaks ends every stream', async () => {
  const broken = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() })
  const link = new GuestLink(broken, { random: (count) => new Uint8Array(count), nowMs: () => 0 })
  const stream = link.open()
  broken.destroy(new Error('cable cut'))
  await assert.rejects(
    async () => {
      for await (const _ of stream) assert.fail('no data')
    },
    { code: 'ECONNRESET' },
  )
  assert.equal(((await link.ended) as AppError).code, 'CRN_GUEST_ENDED')
})
