import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { blockKey, parseCid, rawCid, verifyBlock } from './cid.ts'
import { blockLinks } from './dag-pb.ts'
import { HashMismatchError, InvalidCidError, MalformedBlockError } from './errors.ts'

const emptyDirectory = parseCid('QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn')

test('a block is checked against its CID, version 0 and 1 alike', () => {
  const bytes = Uint8Array.of(0x0a, 0x02, 0x08, 0x01)
  verifyBlock(emptyDirectory, bytes)
  verifyBlock(emptyDirectory.toV1(), bytes)
  assert.equal(blockKey(emptyDirectory), blockKey(emptyDirectory.toV1()))
  assert.throws(() => verifyBlock(emptyDirectory, Uint8Array.of(1)), HashMismatchError)
})

test('a text that is no CID, or uses another hash function, is refused', () => {
  const blake = 'bafk2bzacea73ycjnxe2qov7cvnhx52lzfp6nf5jcblnfus6gqreh6ygganbws'
  for (const text of ['', 'Qm', 'x'.repeat(200), blake]) assert.throws(() => parseCid(text), InvalidCidError, text)
})

test('links of a directory block are read with name and size', () => {
  const child = rawCid(Buffer.from('hello'))
  const link = `${field(1, child.bytes) + field(2, Buffer.from('a.txt'))}1805`
  const block = Buffer.from(`${field(2, Buffer.from(link, 'hex'))}0a020801`, 'hex')
  const [found] = blockLinks(emptyDirectory, block)
  assert.deepEqual([found?.cid.toString(), found?.name, found?.sizeBytes], [child.toString(), 'a.txt', 5])
  assert.deepEqual(blockLinks(rawCid(block), block), [], 'raw blocks have no links')
})

test('whatever a block holds, reading its links ends with links or MalformedBlockError', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      try {
        blockLinks(emptyDirectory, bytes)
      } catch (error) {
        assert.ok(error instanceof MalformedBlockError, String(error))
      }
    }),
  )
})

function field(number: number, bytes: Uint8Array): string {
  return Buffer.concat([Buffer.from([number * 8 + 2, bytes.length]), bytes]).toString('hex')
}
