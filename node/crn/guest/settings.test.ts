import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { framePayloadBytesMax } from './frame.ts'
import { encodeSettings, parsePairs } from './settings.ts'

const base = {
  hostname: 'h',
  volumes: [{ slot: 'b', mount: '/opt/code' }],
  workdir: '/opt/code',
  entry: { kind: 'asgi' as const, word: 'main:app' },
}

function pairsOf(payloads: readonly Buffer[]): [string, string][] {
  return payloads.flatMap((payload) => {
    const texts = payload.toString('utf8').split('\0')
    assert.equal(texts.pop(), '', 'a payload ends with a zero byte')
    return texts.flatMap((text, index): [string, string][] =>
      index % 2 === 0 ? [[text, texts[index + 1] as string]] : [],
    )
  })
}

test('every variable arrives whole, in frames of legal size, and the start comes last', () => {
  const name = fc.string({ unit: fc.constantFrom(...'ABCDEFXYZ_09'), minLength: 1, maxLength: 128 })
  fc.assert(
    fc.property(fc.dictionary(name, fc.string({ maxLength: 4_096 }), { maxKeys: 256 }), (env) => {
      const payloads = encodeSettings({ ...base, env })
      for (const payload of payloads) assert.ok(payload.length <= framePayloadBytesMax)
      const pairs = pairsOf(payloads)
      const wanted = Object.entries(env).map(([key, value]) => `${key}=${value.replaceAll('\0', '')}`)
      assert.deepEqual(
        pairs.filter(([key]) => key === 'env').map(([, value]) => value),
        wanted.map((text) => Buffer.from(text).toString()),
      )
      assert.deepEqual(pairs.at(-1), ['start', ''])
    }),
    { numRuns: 50 },
  )
})

test('the most variables that a message may hold need several frames', () => {
  const env = Object.fromEntries(Array.from({ length: 256 }, (_, index) => [`NAME_${index}`, 'x'.repeat(4_096)]))
  assert.ok(encodeSettings({ ...base, env }).length > 16)
})

test('volumes are mounted before anything else is said', () => {
  const pairs = pairsOf(encodeSettings({ ...base, env: {} }))
  assert.deepEqual(pairs.slice(0, 2), [
    ['hostname', 'h'],
    ['volume', 'b /opt/code'],
  ])
})

test('reading pairs never throws', () => {
  fc.assert(fc.property(fc.uint8Array(), (bytes) => void parsePairs(Buffer.from(bytes))))
  assert.deepEqual(
    [...parsePairs(Buffer.from('a\x001\0b\x002\0'))],
    [
      ['a', '1'],
      ['b', '2'],
    ],
  )
})
