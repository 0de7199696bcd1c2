import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { InvalidFormatError, InvalidSignatureError, UnknownChainError } from './errors.ts'
import { evmChains } from './ethereum.ts'
import { sha256Hex } from './item-hash.ts'
import { itemContentCharsMax, parseContentText, parseMessage, type SignedMessage } from './message.ts'
import { verifySignature } from './signature.ts'
import { ethereumSigner, type Signer, signMessage, solanaSigner } from './signer.ts'

const key = Buffer.alloc(32, 0x11)
const signers: Signer[] = [...[...evmChains].map((chain) => ethereumSigner(key, chain)), solanaSigner(key)]
const draft = {
  type: 'POST',
  content: { address: 'a', time: 1, type: 't', content: { text: 'ü€😀' } },
  time: 1,
} as const

test('a key has the address that the network’s SDK gives it', () => {
  assert.equal(ethereumSigner(key).address, '0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A')
})

test('a message signed for any EVM chain or Solana parses and verifies', async () => {
  for (const signer of signers) verifySignature(parseMessage(JSON.stringify(await signMessage(signer, draft))))
})

test('a change to any signed member, or to one character of the signature, is refused with network error 1', async () => {
  for (const signer of [ethereumSigner(key), solanaSigner(key)]) {
    const good = await signMessage(signer, draft)
    const other =
      signer.chain === 'SOL' ? solanaSigner(Buffer.alloc(32, 7)).address : ethereumSigner(Buffer.alloc(32, 7)).address
    const forged = [
      { sender: other },
      { type: 'STORE' },
      { item_hash: sha256Hex('x') },
      { signature: altered(good.signature) },
    ]
    for (const change of forged) {
      assert.throws(() => verifySignature({ ...good, ...change }), InvalidSignatureError, JSON.stringify(change))
    }
  }
})

test('the same signature in its high-s form is refused, so that a message has one signature', async () => {
  const good = await signMessage(ethereumSigner(key), draft)
  const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n
  const s = order - BigInt(`0x${good.signature.slice(66, 130)}`)
  const v = good.signature.endsWith('1b') ? '1c' : '1b'
  const twin = good.signature.slice(0, 66) + s.toString(16).padStart(64, '0') + v
  assert.throws(() => verifySignature({ ...good, signature: twin }), /low-s/)
})

test('a chain without a verifier is refused with network error 0, known ones with what is missing', () => {
  const fields = { sender: 'a', type: 'POST', item_hash: sha256Hex(''), signature: 'x' }
  assert.throws(
    () => verifySignature({ ...fields, chain: 'TEZOS' }),
    /TEZOS is known, but its verification is not built in yet/,
  )
  assert.throws(() => verifySignature({ ...fields, chain: 'BNB' }), UnknownChainError)
  assert.throws(
    () => verifySignature({ ...fields, chain: 'AURORA' }),
    (error) => error instanceof UnknownChainError && error.errorCode === 0,
  )
})

test('output members of a node and a missing item_type are accepted', async () => {
  const good = await signMessage(ethereumSigner(key), draft)
  const { item_type: _, ...rest } = good
  const output = { ...rest, content: {}, size: 1, confirmed: true, confirmations: [], _id: {}, hash_type: 'sha256' }
  assert.deepEqual(parseMessage(output), good)
  assert.equal(parseMessage({ ...good, time: '1970-01-01T00:00:01Z' }).time, 1)
})

test('each limit of the envelope is kept, with the member named', async () => {
  const good: SignedMessage = await signMessage(ethereumSigner(key), draft)
  const wrong: [string, Record<string, unknown>][] = [
    ['item_content', inline('x'.repeat(itemContentCharsMax + 1))],
    ['item_content', inline('\ud800')],
    ['item_hash', { item_hash: 'A'.repeat(64) }],
    ['item_hash', { item_hash: `${good.item_hash}0` }],
    ['item_content', { item_type: 'storage' }],
    ['item_content', { item_content: null }],
    ['type', { type: 'V-PROGRAM' }],
    ['chain', { chain: 5 }],
    ['sender', { sender: '' }],
    ['signature', { signature: null }],
    ['signature', { signature: 'x'.repeat(5_000) }],
    ['time', { time: -1 }],
    ['time', { time: 'soon' }],
    ['time', { time: null }],
    ['channel', { channel: 'x'.repeat(129) }],
  ]
  for (const [member, change] of wrong) {
    assert.throws(
      () => parseMessage({ ...good, ...change }),
      (error) => error instanceof InvalidFormatError && error.message.includes(member),
      `${member} ${JSON.stringify(change).slice(0, 60)}`,
    )
  }
  assert.throws(
    () => parseMessage({ ...good, item_content: `${good.item_content} ` }),
    /is not the SHA-256 of item_content/,
  )
})

test('the longest content allowed is accepted', () => {
  const content = 'x'.repeat(itemContentCharsMax)
  const fields = { chain: 'ETH', sender: 'a', type: 'POST', signature: 's', time: 0, ...inline(content) }
  assert.equal(parseMessage(fields).item_content, content)
})

test('content with an escaped NUL, or that is no object, is refused', () => {
  for (const text of ['{"a":"\\u0000"}', '[]', 'null', '3', '{', ''])
    assert.throws(() => parseContentText(text), InvalidFormatError)
})

test('whatever arrives, parsing gives a message or InvalidFormatError', () => {
  const members = fc.record(
    {
      chain: fc.anything(),
      sender: fc.oneof(fc.string(), fc.anything()),
      type: fc.oneof(fc.constantFrom('POST', 'STORE', 'V-PROGRAM'), fc.anything()),
      item_hash: fc.oneof(fc.constant(sha256Hex('x')), fc.string(), fc.anything()),
      item_type: fc.oneof(fc.constantFrom('inline', 'storage', 'ipfs'), fc.anything()),
      item_content: fc.oneof(fc.constant('x'), fc.string(), fc.anything()),
      signature: fc.oneof(fc.string(), fc.anything()),
      time: fc.oneof(fc.double(), fc.string(), fc.anything()),
      channel: fc.anything(),
    },
    { requiredKeys: [] },
  )
  fc.assert(
    fc.property(fc.oneof(members, fc.anything(), fc.json()), (value) => {
      try {
        const message = parseMessage(value)
        assert.deepEqual(parseMessage(JSON.stringify(message)), message)
      } catch (error) {
        assert.ok(error instanceof InvalidFormatError, String(error))
      }
    }),
  )
})

test('whatever stands in the signature, verifying gives one of the documented errors', () => {
  fc.assert(
    fc.property(fc.constantFrom('ETH', 'SOL', 'TEZOS', 'XX'), fc.oneof(fc.string(), fc.json()), (chain, signature) => {
      assert.throws(
        () => verifySignature({ chain, sender: 'a', type: 'POST', item_hash: sha256Hex(''), signature }),
        (error) => error instanceof InvalidSignatureError || error instanceof UnknownChainError,
      )
    }),
  )
})

function inline(content: string): { item_type: 'inline'; item_content: string; item_hash: string } {
  return { item_type: 'inline', item_content: content, item_hash: sha256Hex(content) }
}

/** Changes one character inside the signature proper. */
function altered(signature: string): string {
  const at = signature.startsWith('{') ? 20 : 10
  const other = signature[at] === '2' ? '3' : '2'
  return signature.slice(0, at) + other + signature.slice(at + 1)
}
