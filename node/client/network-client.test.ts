import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { systemClock as clock } from '../../core/clock.ts'
import { HashMismatchError } from '../protocol/errors.ts'
import type { SignedMessage } from '../protocol/message.ts'
import type { Signer } from '../protocol/signer.ts'
import { importFile } from '../protocol/unixfs.ts'
import {
  AnswerForgedError,
  ForgottenItemError,
  NetworkUnreachableError,
  UnknownItemError,
  WrongTypeError,
} from './errors.ts'
import { startFakeCcn } from './testing/fake-ccn.ts'
import { connect, eventually, owner, programContent, sign, stranger, text } from './testing/network.ts'

const { signal } = new AbortController()

test('a message is believed for its signature, never for what the node says about it', async () => {
  await using ccn = await startFakeCcn()
  await using client = connect([ccn])
  const message = await sign('POST', { type: 't', content: 'signed' })
  ccn.add(message)
  const read = await client.message(message.item_hash, signal)
  assert.deepEqual([read?.owner, read?.sender, read?.type], [owner.address, owner.address, 'POST'])
  assert.equal(read?.content.content, 'signed')
})

test('a node that alters, swaps or forges is caught, and the next one is asked', async () => {
  await using liar = await startFakeCcn()
  await using honest = await startFakeCcn()
  const message = await sign('POST', { type: 't', content: 'true' })
  const other = await sign('POST', { type: 't', content: 'other' })
  honest.add(message)
  liar.add(message)
  const swapped = JSON.stringify({ status: 'processed', message: other })
  for (const lie of [
    (_path: string, body: string) => body.replace('true', 'fake'),
    (_path: string, body: string) => body.replace(/0x[0-9a-f]{130}/, `0x${'11'.repeat(65)}`),
    () => swapped,
    () => 'not JSON',
  ]) {
    liar.lie = lie
    await using client = connect([liar, honest])
    assert.equal((await client.message(message.item_hash, signal))?.content.content, 'true')
    await using alone = connect([liar])
    await assert.rejects(alone.message(message.item_hash, signal), AnswerForgedError)
  }
})

test('a message that speaks for an owner who did not allow it is refused', async () => {
  await using ccn = await startFakeCcn()
  await using client = connect([ccn])
  const message = await sign('POST', { address: owner.address, type: 't', content: 1 }, { signer: stranger })
  ccn.add(message)
  await assert.rejects(client.message(message.item_hash, signal), AnswerForgedError)
})

test('a node that is down is passed over; when all are, the error says so', async () => {
  await using down = await startFakeCcn()
  await using up = await startFakeCcn()
  down.down = true
  const message = await sign('POST', { type: 't', content: 1 })
  up.add(message)
  await using client = connect([down, up])
  assert.ok(await client.message(message.item_hash, signal))
  await using alone = connect([down])
  await assert.rejects(alone.message(message.item_hash, signal), NetworkUnreachableError)
})

test('unknown, forgotten and other messages are told apart for a program', async () => {
  await using ccn = await startFakeCcn()
  await using client = connect([ccn])
  const program = await sign('PROGRAM', programContent('ab'.repeat(32)))
  const gone = await sign('PROGRAM', programContent('ac'.repeat(32)))
  const post = await sign('POST', { type: 't', content: 1 })
  for (const message of [program, gone, post]) ccn.add(message)
  ccn.statuses.set(gone.item_hash, 'forgotten')
  const read = await client.program(program.item_hash, signal)
  assert.deepEqual([read.owner, read.content.type], [owner.address, 'vm-function'])
  await assert.rejects(client.program('00'.repeat(32), signal), UnknownItemError)
  await assert.rejects(client.program('no hash', signal), UnknownItemError)
  await assert.rejects(client.program(gone.item_hash, signal), ForgottenItemError)
  await assert.rejects(client.program(post.item_hash, signal), WrongTypeError)
  assert.equal(await client.message(gone.item_hash, signal), undefined)
})

test('the newest update by the same owner counts; updates of others do not', async () => {
  await using ccn = await startFakeCcn()
  await using client = connect([ccn])
  const file = (text: string) => ccn.addFile(Buffer.from(text))
  const first = await sign('STORE', { item_type: 'storage', item_hash: file('1') })
  const third = await sign(
    'STORE',
    { item_type: 'storage', item_hash: file('3'), ref: first.item_hash },
    { time: 3_000 },
  )
  const second = await sign(
    'STORE',
    { item_type: 'storage', item_hash: file('2'), ref: first.item_hash },
    { time: 2_000 },
  )
  const foreign = await sign(
    'STORE',
    { item_type: 'storage', item_hash: file('x'), ref: first.item_hash },
    { signer: stranger, time: 9_000 },
  )
  const named = await sign('STORE', { item_type: 'storage', item_hash: file('n'), ref: 'name' })
  for (const message of [first, third, second, foreign, named]) ccn.add(message)
  assert.equal(await client.fileHash(first.item_hash, owner.address, true, signal), file('3'))
  assert.equal(await client.fileHash(first.item_hash, owner.address, false, signal), file('1'))
  assert.equal(await client.fileHash('name', owner.address, true, signal), file('n'))
  assert.equal(await client.fileHash(`${owner.address}/name`, stranger.address, true, signal), file('n'))
  await assert.rejects(client.fileHash('absent', owner.address, true, signal), UnknownItemError)
  await assert.rejects(client.fileHash('00'.repeat(32), owner.address, true, signal), UnknownItemError)
})

test('a verified file ends with an error when its bytes are not those of the hash', async () => {
  await using ccn = await startFakeCcn()
  await using client = connect([ccn])
  const hash = ccn.addFile(Buffer.from('good'))
  assert.equal(await text(client.verifiedFile(hash, signal)), 'good')
  ccn.files.set(hash, Buffer.from('evil'))
  await assert.rejects(text(client.verifiedFile(hash, signal)), HashMismatchError)
  assert.equal(await text(client.file(hash, signal)), 'evil', 'plain reading leaves the check to the reader')
})

test('blocks are checked, so that a node that gives others is passed over, and files by CID are whole', async () => {
  await using liar = await startFakeCcn()
  await using honest = await startFakeCcn()
  const bytes = Buffer.from('y'.repeat(600_000))
  const source = async function* () {
    yield bytes
  }
  const { cid } = await importFile(source(), async (name, block) => {
    honest.blocks.set(name, block)
    liar.blocks.set(name, Buffer.from('wrong'))
  })
  await using client = connect([liar, honest])
  assert.equal(await text(client.file(cid, signal)), bytes.toString())
  await using alone = connect([liar])
  await assert.rejects(alone.block(cid, signal), AnswerForgedError)
})

test('a domain entry comes from the newest signed element that names the host', async () => {
  await using ccn = await startFakeCcn()
  await using client = connect([ccn])
  const hash = (digit: string) => digit.repeat(64)
  const domains = (content: unknown, time: number, signer?: Signer) =>
    sign('AGGREGATE', { key: 'domains', content }, { time, ...(signer ? { signer } : {}) })
  const entry = (message_id: string) => ({ type: 'program', programType: 'program', message_id, updated_at: 1 })
  ccn.add(await domains({ 'new.example': entry(hash('b')), 'gone.example': null }, 3_000))
  ccn.add(
    await domains(
      { 'new.example': entry(hash('a')), 'old.example': entry(hash('c')), 'gone.example': entry(hash('a')) },
      1_000,
    ),
  )
  ccn.add(await domains({ 'new.example': entry(hash('d')) }, 9_000, stranger))
  assert.deepEqual(await client.domainEntry(owner.address, 'new.example', signal), {
    kind: 'program',
    itemHash: hash('b'),
  })
  assert.deepEqual(await client.domainEntry(owner.address, 'old.example', signal), {
    kind: 'program',
    itemHash: hash('c'),
  })
  assert.equal(await client.domainEntry(owner.address, 'gone.example', signal), undefined)
  assert.equal(await client.domainEntry(owner.address, '__proto__', signal), undefined)
})

test('hosts are the linked ones with a usable address, with score and what they run', async () => {
  await using ccn = await startFakeCcn()
  const program = await sign('PROGRAM', programContent('ab'.repeat(32)))
  ccn.add(program)
  await using warm = await startHost({ [program.item_hash]: { running: true } })
  await using cold = await startHost({})
  const node = (hash: string, address: string, more: Record<string, unknown> = {}) => ({
    hash,
    address,
    status: 'linked',
    score: 0.5,
    ...more,
  })
  const nodes = [
    node('warm', warm.url, { score: 0.75 }),
    node('cold', `${cold.url}/path/`, { score: 7 }),
    node('waiting', cold.url, { status: 'waiting' }),
    node('ftp', 'ftp://host.example'),
    node('secret', 'http://user:pass@127.0.0.1:1'),
    { nothing: true },
  ]
  ccn.add(await sign('AGGREGATE', { key: 'corechannel', content: { resource_nodes: nodes, nodes: [] } }))
  await using client = connect([ccn], {
    corechannelAddress: owner.address,
    allowPrivateHosts: true,
    executionsPollMs: 20,
  })
  assert.deepEqual(await client.hosts(program.item_hash, signal), [
    { id: 'warm', origin: warm.url, uptime: 0.75, running: true },
    { id: 'cold', origin: cold.url, uptime: 1, running: false },
  ])
  await warm[Symbol.asyncDispose]()
  await eventually(async () => {
    const [first] = await client.hosts(program.item_hash, signal)
    return first?.running === false && first.uptime < 0.5
  })
  await using strict = connect([ccn], { corechannelAddress: owner.address })
  assert.deepEqual(
    await strict.hosts(program.item_hash, signal),
    [],
    'loopback is no host outside a network of one’s own',
  )
})

test('a listener hears each verified message once, also those it missed while the connection was broken', async () => {
  await using ccn = await startFakeCcn()
  await using client = connect([ccn])
  const heard: string[] = []
  using _listening = client.onMessage((message) => heard.push(message.itemHash))
  await eventually(async () => ccn.asked.includes('/api/v0/messages.json'))
  const now = () => clock.nowMs() / 1_000
  const live = await sign('POST', { type: 't', content: 'live' }, { time: now() })
  const forged = { ...live, signature: `0x${'11'.repeat(65)}`, item_hash: 'ab'.repeat(32) }
  ccn.add(forged as SignedMessage)
  ccn.messages.pop()
  ccn.add(live)
  ccn.add(live)
  await eventually(async () => heard.length === 1)
  ccn.down = true
  ccn.cut()
  const missed = await sign('POST', { type: 't', content: 'missed' }, { time: now() })
  ccn.add(missed, false)
  ccn.down = false
  await eventually(async () => heard.length === 2)
  assert.deepEqual(heard, [live.item_hash, missed.item_hash])
})

test('a changed file is told by its own hash and by the hash that it updates', async () => {
  await using ccn = await startFakeCcn()
  await using client = connect([ccn])
  const heard: string[] = []
  using _listening = client.onFileChanged((ref) => heard.push(ref))
  const first = 'ab'.repeat(32)
  const update = await sign(
    'STORE',
    { item_type: 'storage', item_hash: 'ac'.repeat(32), ref: first },
    { time: clock.nowMs() / 1_000 },
  )
  await eventually(async () => ccn.asked.includes('/api/v0/messages.json'))
  ccn.add(update)
  await eventually(async () => heard.length === 2)
  assert.deepEqual(heard, [update.item_hash, first])
})

/** A compute host that says what it runs. */
async function startHost(executions: Record<string, unknown>): Promise<AsyncDisposable & { url: string }> {
  const server = createServer((request, response) => {
    if (request.url === '/v2/about/executions/list') response.end(JSON.stringify(executions))
    else response.writeHead(404).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
    },
  }
}

// One node could make a program disappear by calling it forgotten.
test('what one node calls forgotten is believed only when a second one does not have it either', async () => {
  await using liar = await startFakeCcn()
  await using honest = await startFakeCcn()
  const program = await sign('PROGRAM', programContent('ab'.repeat(32)))
  for (const ccn of [liar, honest]) ccn.add(program)
  for (const status of ['forgotten', 'removed', 'rejected', 'pending']) {
    liar.statuses.set(program.item_hash, status)
    await using client = connect([liar, honest])
    assert.equal((await client.program(program.item_hash, signal)).owner, owner.address, status)
  }
  liar.statuses.set(program.item_hash, 'forgotten')
  honest.statuses.set(program.item_hash, 'forgotten')
  await using client = connect([liar, honest])
  await assert.rejects(client.program(program.item_hash, signal), ForgottenItemError)
  honest.down = true
  await using cutOff = connect([liar, honest])
  await assert.rejects(cutOff.program(program.item_hash, signal), ForgottenItemError)
})
