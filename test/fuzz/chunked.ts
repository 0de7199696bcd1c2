import assert from 'node:assert/strict'
import type { Random } from '../../core/random.ts'
import { ChunkedDecoder, lastChunk, writeChunkSize } from '../../gateway/http1/chunked.ts'
import { refusalTexts } from '../../gateway/http1/scan-fields.ts'
import { http1Words, makeChunks } from './http1/generate.ts'
import { nodeRequests } from './http1/node-oracle.ts'
import { mutate } from './mutate.ts'
import { Picker } from './pick.ts'
import type { FuzzTarget } from './target.ts'

const head = Buffer.from('POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n')

/** Chunked bodies: the same wherever they are cut, the same as `node:http` reads, and read back as they were written. */
export const target: FuzzTarget = {
  name: 'chunked',
  secondsMax: 10,
  make(random: Random, seeds: readonly Buffer[]): Buffer {
    const pick = new Picker(random)
    const data = pick.bytes(pick.below(pick.oneIn(8) ? 200 : 16)).toString('latin1')
    const made = (): Buffer => Buffer.from(makeChunks(pick, data, pick.oneIn(4) ? pick.of([-1, 1, 17]) : 0), 'latin1')
    const base = seeds.length > 0 && pick.oneIn(3) ? pick.of(seeds) : made()
    return pick.oneIn(3) ? base : mutate(pick, base, http1Words, seeds)
  },
  check(input) {
    const whole = decode([input])
    for (let at = 1; at < input.length; at++)
      assert.deepEqual(decode([input.subarray(0, at), input.subarray(at)]), whole, `cut at ${at}`)
    assert.deepEqual(decode(Array.from(input, (_, i) => input.subarray(i, i + 1))), whole, 'byte by byte')
    compareWithNode(input, whole)
    checkWriting(input)
    const end = whole.refusal < 0 ? (refusalTexts[whole.refusal] ?? whole.refusal) : whole.done ? 'whole' : 'more'
    return `${whole.body.length > 0 ? 'data ' : ''}${whole.trailers.length > 0 ? 'trailers ' : ''}${end}`
  },
}

interface Decoded {
  body: Buffer
  trailers: string[]
  done: boolean
  refusal: number
  /** Bytes used. */
  used: number
}

function decode(pieces: readonly Buffer[]): Decoded {
  const chunks = new ChunkedDecoder()
  const parts: Buffer[] = []
  let used = 0
  let refusal = 0
  for (const piece of pieces) {
    for (let at = 0; at < piece.length && !chunks.done && refusal === 0; ) {
      const next = chunks.step(piece, at, piece.length)
      if (next < 0) refusal = next
      else {
        assert.ok(next > at, 'a step takes at least a byte')
        if (chunks.dataEnd > chunks.dataStart) assert.ok(chunks.dataStart >= at && chunks.dataEnd <= next)
        parts.push(Buffer.from(piece.subarray(chunks.dataStart, chunks.dataEnd)))
        used += next - at
        at = next
      }
    }
  }
  const body = Buffer.concat(parts)
  // How much was used before a refusal depends on the pieces.
  return { body, trailers: chunks.trailers?.pairs() ?? [], done: chunks.done, refusal, used: refusal < 0 ? -1 : used }
}

function compareWithNode(input: Buffer, ours: Decoded): void {
  const node = nodeRequests(Buffer.concat([head, input]))
  const [theirs] = node.messages
  assert.ok(theirs, 'the head is accepted')
  if (ours.refusal < 0) return
  assert.deepEqual(theirs.body, ours.body)
  assert.equal(theirs.complete, ours.done)
  // What we wait for node:http may refuse already: it looks at a trailer before its section is complete.
  if (ours.done) assert.deepEqual(theirs.trailers, ours.trailers)
}

/** What we write is read back, by both. */
function checkWriting(data: Buffer): void {
  if (data.length === 0) return
  const line = Buffer.alloc(12)
  const size = line.subarray(0, writeChunkSize(line, 0, data.length))
  const written = Buffer.concat([size, data, Buffer.from('\r\n'), lastChunk])
  const read = decode([written])
  assert.deepEqual(read, { body: data, trailers: [], done: true, refusal: 0, used: written.length })
  compareWithNode(written, read)
}
