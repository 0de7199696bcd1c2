import assert from 'node:assert/strict'
import type { Random } from '../../../core/random.ts'
import { ErrorCode } from '../../../gateway/http2/error-code.ts'
import { frame } from '../../../gateway/listen/http2/testing/raw-client.ts'
import { mutate } from '../mutate.ts'
import { Picker } from '../pick.ts'
import type { FuzzTarget } from '../target.ts'
import { assertSubset } from './compare.ts'
import { greeting, readFrames } from './frames.ts'
import { http2Words, makeFrames } from './generate.ts'
import { type Conversation, converse } from './memory-server.ts'
import { nodeHttp2Session } from './node-oracle.ts'

/** What a connection may send for so many bytes received; far more than any honest exchange needs. */
const outputBytesMax = (input: number): number => 16_384 + input * 64

/** Frames of a client, after preface and SETTINGS. */
export const target: FuzzTarget = {
  name: 'http2',
  secondsMax: 10,
  make(random: Random, seeds: readonly Buffer[]): Buffer {
    const pick = new Picker(random)
    const base = seeds.length > 0 && pick.oneIn(3) ? pick.of(seeds) : makeFrames(pick)
    return pick.oneIn(2) ? base : mutate(pick, base, http2Words, seeds)
  },
  async check(input) {
    const bytes = Buffer.concat([greeting, input])
    const whole = await converse([bytes])
    const error = checkConversation(whole, bytes.length)
    const cut = await converse(Array.from(bytes, (_, i) => bytes.subarray(i, i + 1)))
    const cutError = checkConversation(cut, bytes.length)
    // Whether a stream is over already when more comes for it is a matter of time.
    if (cutError !== ErrorCode.streamClosed && error !== ErrorCode.streamClosed)
      assert.equal(cutError, error, 'cut into bytes, the connection ends otherwise')
    // In one piece, what a client takes back at once is not shown to anybody.
    for (const request of whole.requests)
      assert.deepEqual(cut.requests.find(({ id }) => id === request.id)?.fields, request.fields, 'cut into bytes')
    assertSubset(whole, await nodeHttp2Session(Buffer.concat([greeting, forNode(input)])))
    return `${whole.requests.length > 0 ? 'requests ' : ''}${whole.refused.slice(0, 2).join(' ')} ${resets(whole)} ${error}`
  },
}

/**
 * Without what ends a session of `node:http2` alone. By RFC 9113 an answer to a PING that was never sent is no fault, and who says GOAWAY may
 * still send.
 */
function forNode(input: Buffer): Buffer {
  const { frames, rest } = readFrames(input)
  const kept = frames.filter(({ type, flags }) => type !== 7 && (type !== 6 || (flags & 1) === 0))
  return Buffer.concat([...kept.map(({ type, flags, id, payload }) => frame(type, flags, id, payload)), rest])
}

/** Checks what holds for every connection. Returns the error code that ended it, or -1. */
function checkConversation(seen: Conversation, inputBytes: number): number {
  assert.deepEqual(seen.failures, [], 'something threw')
  assert.equal(seen.hangs, false, 'the connection is there although all deadlines have passed')
  assert.equal(seen.left, 0, 'exchanges that never ended')
  const { frames, rest } = readFrames(seen.output)
  assert.equal(rest.length, 0, 'output that is no whole frame')
  assert.ok(seen.output.length <= outputBytesMax(inputBytes), `${seen.output.length} bytes for ${inputBytes}`)
  assert.equal(frames[0]?.type, 4, 'SETTINGS come first')
  const goaway = frames.findLast(({ type }) => type === 7)
  const code = goaway ? goaway.payload.readUInt32BE(4) : -1
  if (code > ErrorCode.none) assert.ok(seen.ended, 'after an error the connection ends')
  if (seen.ended) assert.ok(goaway, 'a connection that we end says why')
  return code
}

function resets({ output }: Conversation): string {
  const codes = readFrames(output)
    .frames.filter(({ type }) => type === 3)
    .map(({ payload }) => payload.readUInt32BE(0))
  return [...new Set(codes)].sort().join('/')
}
