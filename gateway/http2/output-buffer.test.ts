import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type FrameTransport, OutputBuffer } from './output-buffer.ts'

/** A transport that keeps what it was given until the test lets it go. */
class HeldTransport implements FrameTransport {
  readonly writes: { bytes: Buffer; copy: Buffer; done: (error?: Error) => void }[] = []
  ended = false

  write(bytes: Buffer, done: (error?: Error | null) => void): void {
    this.writes.push({ bytes, copy: Buffer.from(bytes), done })
  }

  end(): void {
    this.ended = true
  }

  pause(): void {}
  resume(): void {}
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)))

function start(): { transport: HeldTransport; output: OutputBuffer; put(bytes: number, fill: number): void } {
  const transport = new HeldTransport()
  const owner = { onWritten() {}, onFailed: (error: unknown) => assert.fail(String(error)) }
  const output = new OutputBuffer(transport, owner)
  const put = (bytes: number, fill: number): void => {
    output.reserve(bytes)
    output.bytes.fill(fill, output.at, output.at + bytes)
    output.commit(output.at + bytes)
  }
  return { transport, output, put }
}

test('all that is put into the output in one turn leaves in one write', async () => {
  const { transport, output, put } = start()
  for (let i = 0; i < 10; i++) put(1_000, i)
  assert.equal(transport.writes.length, 0)
  await turn()
  assert.deepEqual(
    transport.writes.map(({ bytes }) => bytes.length),
    [10_000],
  )
  assert.equal(output.queued, 10_000)
  transport.writes[0]?.done()
  assert.equal(output.queued, 0)
})

test('memory that a transport still reads is never written to, and what it has read is used again', async () => {
  const held = start()
  held.put(16_000, 1)
  await turn()
  const [open] = held.transport.writes
  for (let i = 0; i < 100; i++) {
    const other = start()
    for (let k = 0; k < 8; k++) other.put(16_000, 2)
    await turn()
    while (other.output.queued > 0) other.transport.writes.at(-1)?.done()
    assert.ok(other.transport.writes.every(({ copy }) => copy.every((byte) => byte === 2)))
  }
  assert.ok(open?.bytes.equals(open.copy))
  const memory = open?.bytes.buffer
  open?.done()
  const next = start()
  next.put(16_000, 3)
  await turn()
  assert.equal(next.transport.writes[0]?.bytes.buffer, memory)
})

test('memory of a write that failed is not used again', async () => {
  const failed = start()
  failed.put(16_000, 1)
  await turn()
  const [open] = failed.transport.writes
  open?.done(new Error('gone'))
  const next = Array.from({ length: 80 }, start)
  for (const { put } of next) put(16_000, 2)
  await turn()
  assert.ok(next.every(({ transport }) => transport.writes[0]?.bytes.buffer !== open?.bytes.buffer))
  assert.ok(open?.bytes.equals(open.copy))
})

test('one write is open at a time, in order, and the end comes after the last', async () => {
  const { transport, output, put } = start()
  for (let i = 0; i < 12; i++) put(16_000, i)
  output.end()
  assert.equal(transport.writes.length, 1)
  for (let i = 0; i < transport.writes.length; i++) {
    assert.equal(transport.ended, false)
    transport.writes[i]?.done()
  }
  assert.equal(transport.ended, true)
  const all = Buffer.concat(transport.writes.map(({ copy }) => copy))
  assert.deepEqual([...new Set(all)], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
  assert.equal(all.length, 192_000)
})
