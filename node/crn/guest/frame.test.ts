import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { LinkProtocolError } from '../errors.ts'
import { encodeFrame, type Frame, FrameDecoder, type FrameType, framePayloadBytesMax, frameTypes } from './frame.ts'

const frames = fc.array(
  fc.record({
    type: fc.constantFrom(...(Object.keys(frameTypes) as FrameType[])),
    stream: fc.nat(0xffff_ffff),
    payload: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
  }),
  { maxLength: 20 },
)

/** Cuts bytes at the given places, in any order and number. */
function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const at = [...new Set([0, ...places.map((place) => place % (bytes.length + 1)), bytes.length])].sort((a, b) => a - b)
  return at.slice(1).map((end, index) => bytes.subarray(at[index], end))
}

test('decoding undoes encoding, however the bytes are cut into pieces', () => {
  fc.assert(
    fc.property(frames, fc.array(fc.nat(), { maxLength: 30 }), (sent, places) => {
      const bytes = Buffer.concat(sent.map((frame) => encodeFrame(frame.type, frame.stream, frame.payload)))
      const decoder = new FrameDecoder()
      const got: Frame[] = []
      for (const piece of cut(bytes, places)) decoder.push(piece, (frame) => got.push(frame))
      assert.deepEqual(
        got,
        sent.map((frame) => ({ ...frame })),
      )
    }),
  )
})

test('any bytes give frames or a protocol error, and no frame exceeds the limit', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 200 })), (pieces) => {
      const decoder = new FrameDecoder()
      try {
        for (const piece of pieces) {
          decoder.push(Buffer.from(piece), (frame) => assert.ok(frame.payload.length <= framePayloadBytesMax))
        }
      } catch (error) {
        assert.ok(error instanceof LinkProtocolError)
      }
    }),
    { numRuns: 1_000 },
  )
})

test('a length over the limit is refused from the header alone', () => {
  const header = encodeFrame('data', 1)
  header.writeUInt32LE(framePayloadBytesMax + 1, 0)
  assert.throws(() => new FrameDecoder().push(header, () => assert.fail('no frame')), LinkProtocolError)
})

test('the largest frame passes', () => {
  const payload = Buffer.alloc(framePayloadBytesMax, 7)
  const got: Frame[] = []
  new FrameDecoder().push(encodeFrame('data', 3, payload), (frame) => got.push(frame))
  assert.deepEqual(got, [{ type: 'data', stream: 3, payload }])
})
