import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deflateRawSync } from 'node:zlib'
import fc from 'fast-check'
import { BadArchiveError } from '../errors.ts'
import { packZip } from '../table-network.ts'
import { readZip } from './zip.ts'

const limits = { filesMax: 100, bytesMax: 1_000_000 }
const name = fc
  .string({ unit: fc.constantFrom(...'abcXYZ09_-.é'), minLength: 1, maxLength: 20 })
  .filter((text) => text !== '.' && text !== '..')

test('unpacking undoes packing', () => {
  fc.assert(
    fc.property(fc.dictionary(name, fc.uint8Array({ maxLength: 500 }), { maxKeys: 20 }), (files) => {
      const entries = readZip(packZip(files), limits)
      assert.deepEqual(
        Object.fromEntries(entries.map((entry) => [entry.path, entry.read()])),
        Object.fromEntries(Object.entries(files).map(([path, bytes]) => [path, Buffer.from(bytes)])),
      )
    }),
  )
})

test('an archive with any bytes changed is read, or refused with a bad-archive error', () => {
  const whole = packZip({ 'a.py': 'print(1)\n', 'folder/b.txt': 'b'.repeat(100) })
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 }),
      (changes) => {
        const bytes = Buffer.from(whole)
        for (const [at, value] of changes) bytes[at] = value
        try {
          for (const entry of readZip(bytes, limits)) entry.read()
        } catch (error) {
          assert.ok(error instanceof BadArchiveError, String(error))
        }
      },
    ),
    { numRuns: 2_000 },
  )
})

for (const path of ['../outside', '/etc/passwd', 'a/../../b', 'a\\..\\..\\b', '..']) {
  test(`the path ${path} is refused`, () => {
    assert.throws(() => readZip(packZip({ [path]: 'x' }), limits), BadArchiveError)
  })
}

test('a link is refused, whatever it points to', () => {
  const bytes = packZip({ link: '/etc/passwd' })
  bytes.writeUInt16LE(0o120_777, bytes.indexOf('PK\x01\x02', 0, 'latin1') + 40)
  assert.throws(() => readZip(bytes, limits), /neither a file nor a folder/)
})

test('what unpacks to more than is allowed is refused before it is unpacked', () => {
  assert.throws(
    () => readZip(packZip({ big: Buffer.alloc(2_000) }), { filesMax: 10, bytesMax: 1_000 }),
    /more than 1000 bytes/,
  )
  assert.throws(() => readZip(packZip({ a: '', b: '', c: '' }), { filesMax: 2, bytesMax: 1_000 }), /3 entries/)
})

test('a compressed file that is larger than the directory says is not inflated further', () => {
  const bomb = deflateRawSync(Buffer.alloc(10_000_000))
  const bytes = packZip({ bomb })
  const directory = bytes.indexOf('PK\x01\x02', 0, 'latin1')
  bytes.writeUInt16LE(8, directory + 10)
  bytes.writeUInt32LE(1_000, directory + 24)
  const [entry] = readZip(bytes, limits)
  assert.throws(() => entry?.read(), /cannot be inflated/)
})

test('the same name twice is refused', () => {
  const bytes = packZip({ aa: '1', ab: '2' })
  const second = bytes.indexOf('ab', bytes.indexOf('PK\x01\x02', 0, 'latin1'))
  bytes.write('aa', second)
  assert.throws(() => readZip(bytes, limits), /twice/)
})
