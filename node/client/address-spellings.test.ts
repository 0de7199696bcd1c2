import assert from 'node:assert/strict'
import { test } from 'node:test'
import { solanaSigner } from '../protocol/signer.ts'
import { addressSpellings } from './address-spellings.ts'
import { startFakeCcn } from './testing/fake-ccn.ts'
import { connect, owner, programContent, sign, stranger } from './testing/network.ts'

const { signal } = new AbortController()
const lower = owner.address.toLowerCase()

test('an Ethereum address is looked for as given, with its check sum and in lower case; others as given only', () => {
  const shouted = `0x${lower.slice(2).toUpperCase()}`
  assert.deepEqual(addressSpellings(shouted), [shouted, owner.address, lower])
  assert.deepEqual(addressSpellings(owner.address), [owner.address, lower])
  const { address } = solanaSigner(Buffer.alloc(32, 0x11))
  assert.deepEqual(addressSpellings(address), [address])
  assert.deepEqual(addressSpellings('0xabc'), ['0xabc'])
})

// A domain whose TXT record names its owner in lower case found none of the owner's entries.
test('an owner is the same account in whatever case their address is written', async () => {
  await using ccn = await startFakeCcn()
  await using client = connect([ccn], { allowPrivateHosts: true, corechannelAddress: lower })
  const [first, second, entry] = ['a', 'b', 'c'].map((digit) => digit.repeat(64)) as [string, string, string]
  const original = await sign('STORE', { item_type: 'storage', item_hash: first }, { time: 1_000 })
  const update = await sign(
    'STORE',
    { address: lower, item_type: 'storage', item_hash: second, ref: original.item_hash },
    { time: 2_000 },
  )
  const domains = { key: 'domains', content: { 'a.example': { type: 'program', message_id: entry } } }
  const program = await sign('PROGRAM', programContent('ab'.repeat(32)))
  const node = { hash: 'n', address: 'http://127.0.0.1:1', status: 'linked', score: 1 }
  const corechannel = { key: 'corechannel', content: { resource_nodes: [node] } }
  const named = await sign('STORE', { item_type: 'storage', item_hash: second, ref: 'site' })
  for (const message of [original, update, named, program]) ccn.add(message)
  for (const content of [domains, corechannel]) ccn.add(await sign('AGGREGATE', content))
  assert.equal(await client.fileHash(original.item_hash, owner.address, true, signal), second)
  assert.equal(await client.fileHash(`${lower}/site`, owner.address, true, signal), second)
  assert.deepEqual(await client.domainEntry(lower, 'a.example', signal), { kind: 'program', itemHash: entry })
  assert.equal((await client.hosts(program.item_hash, signal)).length, 1)
})

test('a right counts in whatever case the owner wrote themselves and the delegate', async () => {
  await using ccn = await startFakeCcn()
  await using client = connect([ccn])
  const authorizations = [{ address: stranger.address.toLowerCase() }]
  ccn.add(await sign('AGGREGATE', { key: 'security', content: { authorizations } }))
  const program = await sign('PROGRAM', { address: lower, ...programContent('ab'.repeat(32)) }, { signer: stranger })
  ccn.add(program)
  assert.equal((await client.program(program.item_hash, signal)).owner, lower)
})
