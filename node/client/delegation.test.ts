import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AnswerForgedError } from './errors.ts'
import { startFakeCcn } from './testing/fake-ccn.ts'
import { connect, owner, programContent, sign, stranger } from './testing/network.ts'

const { signal } = new AbortController()
const accomplice = stranger
const grant = (...addresses: string[]) => ({
  key: 'security',
  content: { authorizations: addresses.map((address) => ({ address })) },
})
const program = () =>
  sign('PROGRAM', { address: owner.address, ...programContent('ab'.repeat(32)) }, { signer: stranger })

// A node used to be asked for the merged `security` aggregate, which nobody signs: one lying node could speak for any owner.
test('a node cannot make up a right to speak for an owner', async () => {
  await using liar = await startFakeCcn()
  await using client = connect([liar])
  const forged = await program()
  const hosts = { address: owner.address, key: 'corechannel', content: { resource_nodes: ['evil'] } }
  liar.add(forged)
  liar.add(await sign('AGGREGATE', hosts, { signer: stranger }))
  liar.aggregates.set(owner.address, { security: grant(stranger.address).content })
  await assert.rejects(client.program(forged.item_hash, signal), AnswerForgedError)
  const nodes = client.aggregateMember(owner.address, 'corechannel', 'resource_nodes', signal)
  assert.notDeepEqual(await nodes.catch(() => undefined), ['evil'])
})

test('a right that the owner signed counts, until a newer element of theirs takes it back', async () => {
  await using ccn = await startFakeCcn()
  const delegated = await program()
  ccn.add(delegated)
  ccn.add(await sign('AGGREGATE', grant(stranger.address), { time: 1_000 }))
  await using before = connect([ccn])
  assert.equal((await before.program(delegated.item_hash, signal)).owner, owner.address)
  ccn.messages.unshift(await sign('AGGREGATE', grant(), { time: 2_000 }))
  await using after = connect([ccn])
  await assert.rejects(after.program(delegated.item_hash, signal), AnswerForgedError)
})

test('a delegate cannot hand out rights, whatever their own', async () => {
  await using ccn = await startFakeCcn()
  await using client = connect([ccn])
  const delegated = await program()
  ccn.add(delegated)
  ccn.add(await sign('AGGREGATE', { address: owner.address, ...grant(accomplice.address) }, { signer: accomplice }))
  await assert.rejects(client.program(delegated.item_hash, signal), AnswerForgedError)
})

test('a right to one aggregate key does not reach another one, also when the key is written as an object', async () => {
  await using ccn = await startFakeCcn()
  const limited = { authorizations: [{ address: stranger.address, types: ['AGGREGATE'], aggregate_keys: ['profile'] }] }
  ccn.add(await sign('AGGREGATE', { key: 'security', content: limited }))
  const element = (key: unknown) =>
    sign('AGGREGATE', { address: owner.address, key, content: { name: 'x' } }, { signer: stranger })
  const [allowed, wrapped, other] = [
    await element('profile'),
    await element({ name: 'profile' }),
    await element('domains'),
  ]
  for (const message of [allowed, wrapped, other]) ccn.add(message)
  await using client = connect([ccn])
  assert.ok(await client.message(allowed.item_hash, signal))
  assert.ok(await client.message(wrapped.item_hash, signal))
  await assert.rejects(client.message(other.item_hash, signal), AnswerForgedError)
})
