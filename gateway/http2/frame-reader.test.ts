import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ErrorCode } from './error-code.ts'
import { clientPreface, writeFrameHead } from './frame.ts'
import { FrameReader, type FrameSink } from './frame-reader.ts'

/** Notes what the reader finds. Content of DATA is joined, so that where chunks end does not show. */
class Notes implements FrameSink {
  readonly list: string[] = []
  #content = ''

  onFrame(type: number, flags: number, id: number, bytes: Buffer, start: number, end: number): number {
    this.list.push(`${type}/${flags}@${id}:${bytes.toString('hex', start, end)}`)
    return ErrorCode.none
  }

  onDataStart(id: number, flags: number, length: number): number {
    this.list.push(`data/${flags}@${id}:${length}`)
    this.#content = ''
    return ErrorCode.none
  }

  onDataPart(chunk: Buffer, start: number, end: number): number {
    assert.ok(end > start)
    this.#content += chunk.toString('hex', start, end)
    return ErrorCode.none
  }

  onDataEnd(padding: number): number {
    this.list.push(`content:${this.#content}+${padding}`)
    return ErrorCode.none
  }
}

interface Frame {
  type: number
  flags: number
  id: number
  payload: Uint8Array
}

function bytesOf({ type, flags, id, payload }: Frame): Buffer {
  const out = Buffer.alloc(9 + payload.length)
  writeFrameHead(out, 0, payload.length, type, flags, id)
  out.set(payload, 9)
  return out
}

const control = fc.record({
  type: fc.integer({ min: 1, max: 255 }),
  flags: fc.integer({ min: 0, max: 255 }),
  id: fc.integer({ min: 0, max: 0x7fff_ffff }),
  payload: fc.uint8Array({ maxLength: 40 }),
})
const data = fc
  .record({
    ends: fc.boolean(),
    id: fc.integer({ min: 1, max: 9 }),
    content: fc.uint8Array({ maxLength: 40 }),
    pad: fc.option(fc.integer({ min: 0, max: 20 }), { nil: undefined }),
  })
  .map(({ ends, id, content, pad }): Frame => {
    const payload = pad === undefined ? content : Buffer.concat([Buffer.of(pad), content, Buffer.alloc(pad)])
    return { type: 0, flags: (ends ? 1 : 0) | (pad === undefined ? 0 : 8), id, payload }
  })

function read(chunks: readonly Buffer[]): string[] {
  const notes = new Notes()
  const reader = new FrameReader(notes, clientPreface)
  for (const chunk of chunks) assert.equal(reader.push(chunk), ErrorCode.none)
  assert.equal(reader.midway, false)
  return notes.list
}

test('frames are the same wherever the stream of bytes is cut, at every single place', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(control, data), { minLength: 1, maxLength: 6 }), (frames) => {
      const bytes = Buffer.concat([clientPreface, ...frames.map(bytesOf)])
      const whole = read([bytes])
      assert.equal(
        whole.length,
        frames.reduce((sum, { type }) => sum + (type === 0 ? 2 : 1), 0),
      )
      for (let at = 1; at < bytes.length; at++)
        assert.deepEqual(read([bytes.subarray(0, at), bytes.subarray(at)]), whole)
      assert.deepEqual(read([...bytes].map((byte) => Buffer.of(byte))), whole)
    }),
    { numRuns: 30 },
  )
})

test('content of DATA is passed on without being copied or waited for', () => {
  const chunk = Buffer.concat([clientPreface, bytesOf({ type: 0, flags: 0, id: 1, payload: Buffer.alloc(100, 'x') })])
  const parts: [Buffer, number, number][] = []
  const sink = new Notes()
  sink.onDataPart = (...part) => {
    parts.push(part)
    return ErrorCode.none
  }
  const reader = new FrameReader(sink, clientPreface)
  const early = chunk.subarray(0, 60)
  reader.push(early)
  assert.deepEqual(parts, [[early, 33, 60]])
})

test('nothing is called after an error, and the error is what the caller gets', () => {
  const notes = new Notes()
  const reader = new FrameReader(notes, Buffer.alloc(0))
  notes.onDataStart = () => ErrorCode.flowControl
  assert.equal(reader.push(bytesOf({ type: 0, flags: 0, id: 1, payload: Buffer.alloc(3) })), ErrorCode.flowControl)
  assert.deepEqual(notes.list, [])
})
