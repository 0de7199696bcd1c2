import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { buffer } from 'node:stream/consumers'
import { systemClock } from '../../../core/clock.ts'
import { silentLog } from '../../../core/log.ts'
import { systemRandom } from '../../../core/random.ts'
import { createNetworkClient, type NetworkClient } from '../../../node/client/network-client.ts'
import { sha256Hex } from '../../../node/protocol/item-hash.ts'
import type { PublishedBySdk } from '../../sdk/sdk-client.ts'
import { eventually } from '../expect.ts'
import type { Check } from '../run-checks.ts'
import type { Language, World } from '../world.ts'

/** Publishing with the network's own SDK, and what the CCN makes of messages. */
export const publishChecks: Check<World>[] = [
  ...(['python', 'node'] as const).map(
    (language: Language): Check<World> => ({
      name: `publish.${language}`,
      async run(world) {
        const program = await world.publishSample(language)
        await using reader = readerOf(world)
        await verified(world, reader, program.itemHash, 'PROGRAM')
        const store = await verified(world, reader, program.codeRef, 'STORE')
        const code = await fileOf(reader, String(store.content.item_hash))
        assert.ok(code.length > 0, 'the stored code has bytes')
        return `program ${program.itemHash.slice(0, 12)}… and its ${code.length} bytes of code read back; hashes and signatures verified by our client`
      },
    }),
  ),
  {
    name: 'publish.static',
    async run(world) {
      const site = await world.publishSampleSite()
      await using reader = readerOf(world)
      await verified(world, reader, site.itemHash, 'STORE')
      for (const [name, cid] of Object.entries(site.fileCids))
        assert.deepEqual(await fileOf(reader, cid), readFileSync(`${world.siteFolder}/${name}`), name)
      return `site ${site.cid.slice(0, 16)}… pinned by a verified STORE, its ${Object.keys(site.fileCids).length} files read back`
    },
  },
  {
    name: 'ccn.messages',
    async run(world) {
      const accepted: string[] = []
      for (const sdk of [world.ethereum, world.solana]) {
        const post = await sdk.post({ text: 'hello' })
        const messages = [
          post,
          await sdk.aggregate('profile', { name: 'check' }),
          await sdk.store(Buffer.from([0, 255, 128, 7])),
          await sdk.program({ code: Buffer.from('PK\x05\x06'.padEnd(22, '\0'), 'latin1'), entrypoint: 'main:app' }),
          await sdk.instance(),
          await sdk.forget(post.item_hash),
        ]
        for (const message of messages) {
          const status = await messageStatus(world, message.item_hash)
          const expected = message === post ? 'forgotten' : 'processed'
          assert.equal(status, expected, `${message.chain} ${message.type}`)
        }
        accepted.push(`${messages.length} of ${post.chain}`)
      }
      const refused = await refusals(world)
      return `accepted ${accepted.join(' and ')}, one of each type; altered ones refused: ${refused.join(', ')}`
    },
  },
  {
    name: 'ccn.subscribe',
    async run(world) {
      const socket = world.ethereum.subscribe()
      try {
        await eventually('the subscription is open', 5_000, async () => (socket.getIsOpen() ? true : undefined), 5)
        const startedAt = performance.now()
        const itemHash = await world.publishPost(`seen by a subscriber ${Date.now()}`)
        const seen = (): boolean =>
          (socket.getData() as { item_hash: string }[]).some((message) => message.item_hash === itemHash)
        await eventually('the subscriber sees the message', 1_000, async () => (seen() ? true : undefined), 5)
        const tookMs = performance.now() - startedAt
        assert.ok(tookMs < 1_000, `${tookMs.toFixed(0)} ms`)
        return `seen ${tookMs.toFixed(0)} ms after the SDK began to publish it`
      } finally {
        socket.closeSocket()
      }
    },
  },
]

/** Our own client, which believes nothing that it has not verified. */
function readerOf(world: World): NetworkClient {
  return createNetworkClient({
    ccnUrls: [world.network.ccnUrl],
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
  })
}

/** Reads a message back: it must be there, of this type, and the world's own. */
async function verified(
  world: World,
  reader: NetworkClient,
  itemHash: string,
  type: string,
): Promise<{ content: Record<string, unknown> }> {
  const message = await reader.message(itemHash, AbortSignal.timeout(10_000))
  assert.equal(message?.type, type)
  assert.equal(message?.owner.toLowerCase(), world.owner.toLowerCase())
  return message
}

/** Reads a file back; rejects when its bytes are not those of its hash. */
function fileOf(reader: NetworkClient, hash: string): Promise<Buffer> {
  return buffer(reader.verifiedFile(hash, AbortSignal.timeout(10_000)))
}

async function messageStatus(world: World, itemHash: string): Promise<string> {
  const answer = await fetch(`${world.network.ccnUrl}/api/v0/messages/${itemHash}`)
  return ((await answer.json()) as { status: string }).status
}

/** Sends altered forms of a good message; each must be refused with its documented error code (protocol 1.6). */
async function refusals(world: World): Promise<string[]> {
  const good = await world.ethereum.post({ text: 'original' })
  const content = String(good.item_content)
  const forged = content.replace('original', `forged ${good.item_hash}`)
  const flipped = `${good.signature.slice(0, 20)}${good.signature[20] === 'a' ? 'b' : 'a'}${good.signature.slice(21)}`
  const cases: [name: string, alter: (message: PublishedBySdk) => object, code: number][] = [
    ['content', (m) => ({ ...m, item_content: content.replace('original', 'replaced') }), 0],
    ['hash', (m) => ({ ...m, item_hash: m.item_hash.replace(/^./, m.item_hash[0] === '0' ? '1' : '0') }), 0],
    ['signature', (m) => ({ ...m, signature: flipped }), 1],
    // Its hash is right and new to the node: only the signature tells.
    ['forged', (m) => ({ ...m, item_content: forged, item_hash: sha256Hex(forged) }), 1],
    ['sender', (m) => ({ ...m, sender: '0x000000000000000000000000000000000000dEaD' }), 1],
    ['chain', (m) => ({ ...m, chain: 'AURORA' }), 0],
    [
      'oversize',
      (m) => ({ ...m, item_content: JSON.stringify({ ...JSON.parse(content), content: 'x'.repeat(200_001) }) }),
      0,
    ],
  ]
  const names: string[] = []
  for (const [name, alter, code] of cases) {
    const { item_hash, item_type, item_content, sender, chain, signature, type, time, channel } = good
    const message = alter({ item_hash, item_type, item_content, sender, chain, signature, type, time, channel })
    const answer = await fetch(`${world.network.ccnUrl}/api/v0/messages`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ sync: true, message }),
    })
    const body = (await answer.json()) as { error_code?: number; details?: unknown }
    assert.equal(answer.status, 422, `${name}: ${JSON.stringify(body).slice(0, 200)}`)
    assert.equal(body.error_code, code, `${name}: ${JSON.stringify(body).slice(0, 200)}`)
    names.push(name)
  }
  return names
}
