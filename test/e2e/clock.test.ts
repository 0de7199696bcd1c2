/** Time in the whole network, moved by hand. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { OutsideClient } from '../check/outside-client.ts'
import { World } from '../check/world.ts'
import { startNetworkOnFakeClock } from '../network.ts'

test('a changed ENS record is served when what was known has expired, and not before', async () => {
  await using running = await startNetworkOnFakeClock()
  const { network, clock } = running
  const world = new World(network)
  const sites = [
    await world.publishSite({ 'index.html': '<p>first</p>\n' }),
    await world.publishSite({ 'index.html': '<p>second</p>\n' }),
  ] as const
  await network.chain.registerName('site.eth', { contentCid: sites[0].cid })
  const client: OutsideClient = world.client
  const read = async (): Promise<string> =>
    (await client.ask(`https://site.eth.${network.zone}/`)).body.toString().trim()
  assert.equal(await read(), '<p>first</p>')
  await network.chain.setContent('site.eth', sites[1].cid)
  await clock.advance(network.ensTtlMs / 2)
  assert.equal(await read(), '<p>first</p>', 'still believed')
  await clock.advance(network.ensTtlMs)
  assert.equal(await read(), '<p>second</p>')
})
