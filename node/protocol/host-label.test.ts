import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { decodeHostLabel, encodeHostLabel } from './host-label.ts'

const hash = 'd2b74aa29898457bde0560e47f7cdd4e77287e9f1f7a1456161d2fd7d5c855d7'
const label = '2k3uviuytbcxxxqfmdsh67g5jz3sq7u7d55bivqwdux5pvoikxlq'
const anyHash = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes).toString('hex'))

test('the hash of the network’s diagnostic program has the label that the network uses', () => {
  assert.equal(encodeHostLabel(hash), label)
  assert.equal(decodeHostLabel(label), hash)
  assert.equal(decodeHostLabel(label.toUpperCase()), hash)
})

test('decoding undoes encoding for every hash', () => {
  fc.assert(fc.property(anyHash, (value) => assert.equal(decodeHostLabel(encodeHostLabel(value)), value)))
})

test('a text that is no label decodes to nothing, and a hash has one label only', () => {
  for (const wrong of ['', 'www', `${label}a`, label.slice(1), `1${label.slice(1)}`, `${label.slice(0, -1)}r`]) {
    assert.equal(decodeHostLabel(wrong), undefined, wrong)
  }
  fc.assert(
    fc.property(fc.string({ maxLength: 80 }), (text) => {
      const decoded = decodeHostLabel(text)
      if (decoded !== undefined) assert.equal(encodeHostLabel(decoded), text.toLowerCase())
    }),
  )
})
