import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type CarBlock, carBlockBytesMax, encodeCarBlock, encodeCarHeader, readCar } from './car.ts'
import { parseCid, rawCid } from './cid.ts'
import { MalformedCarError } from './errors.ts'

const root = parseCid('QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn')

test('reading a CAR undoes writing it, however its bytes are cut into chunks', async () => {
  const blocks = fc.array(fc.uint8Array({ maxLength: 400 }), { maxLength: 8 })
  await fc.assert(
    fc.asyncProperty(blocks, fc.integer({ min: 1, max: 97 }), async (contents, size) => {
      const car = Buffer.concat([
        encodeCarHeader(root),
        ...contents.map((bytes) => encodeCarBlock(rawCid(bytes), bytes)),
      ])
      const read = await readWhole(cut(car, size))
      assert.deepEqual(read.roots, [root.toString()])
      assert.deepEqual(
        read.blocks.map(({ cid, bytes }) => [cid.toString(), [...bytes]]),
        contents.map((bytes) => [rawCid(bytes).toString(), [...bytes]]),
      )
    }),
    { numRuns: 50 },
  )
})

test('a CAR that ends early is refused, wherever it ends', async () => {
  const bytes = Buffer.from('block')
  const header = encodeCarHeader(root)
  const car = Buffer.concat([header, encodeCarBlock(rawCid(bytes), bytes)])
  for (let length = 0; length < car.length; length++) {
    if (length === header.length) continue
    await assert.rejects(readWhole(cut(car.subarray(0, length), 7)), MalformedCarError, `${length} bytes`)
  }
})

test('another version, an empty section and a section above the limit are refused', async () => {
  const header = Buffer.from(encodeCarHeader(root))
  const version2 = Buffer.from(header)
  version2[version2.length - 1] = 2
  const huge = Buffer.concat([header, Buffer.from([0xff, 0xff, 0xff, 0x7f])])
  assert.ok(carBlockBytesMax < 0x0f_ff_ff_ff)
  for (const car of [
    version2,
    Buffer.concat([header, Buffer.from([0])]),
    huge,
    Buffer.concat([header, Buffer.alloc(9, 0xff)]),
  ]) {
    await assert.rejects(readWhole(cut(car, 1_000)), MalformedCarError)
  }
})

test('whatever bytes arrive, reading ends with blocks or MalformedCarError', async () => {
  const header = encodeCarHeader(root)
  const garbage = fc.uint8Array({ maxLength: 200 })
  const behindHeader = garbage.map((bytes) => Buffer.concat([header, bytes]))
  const flipped = fc.tuple(fc.nat(header.length - 1), fc.nat(255)).map(([at, value]) => {
    const bytes = Buffer.from(header)
    bytes[at] = value
    return bytes
  })
  await fc.assert(
    fc.asyncProperty(fc.oneof(garbage, behindHeader, flipped), async (bytes) => {
      try {
        await readWhole(cut(bytes, 13))
      } catch (error) {
        assert.ok(error instanceof MalformedCarError, String(error))
      }
    }),
    { numRuns: 300 },
  )
})

async function* cut(bytes: Uint8Array, size: number): AsyncIterable<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

async function readWhole(source: AsyncIterable<Uint8Array>): Promise<{ roots: string[]; blocks: CarBlock[] }> {
  const { roots, blocks } = await readCar(source)
  const all: CarBlock[] = []
  for await (const block of blocks) all.push(block)
  return { roots: roots.map(String), blocks: all }
}
