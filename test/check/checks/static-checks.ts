import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { eventually, refusal } from '../expect.ts'
import type { Check } from '../run-checks.ts'
import type { World } from '../world.ts'

/** Static sites by content identifier. */
export const staticChecks: Check<World>[] = [
  {
    name: 'static.https',
    async run(world) {
      const host = await world.connectSite('www', world.site().cid)
      const page = await world.client.ask(`https://${host}/`)
      assert.equal(page.status, 200, page.body.toString())
      assert.match(String(page.headers['content-type']), /^text\/html/)
      assert.deepEqual(page.body, readFileSync(`${world.siteFolder}/index.html`))
      const style = await world.client.ask(`https://${host}/style.css`)
      assert.match(String(style.headers['content-type']), /^text\/css/)
      assert.deepEqual(style.body, readFileSync(`${world.siteFolder}/style.css`))
      const again = await world.client.ask(`https://${host}/`, {
        headers: { 'if-none-match': String(page.headers.etag) },
      })
      assert.equal(again.status, 304)
      const missing = await world.client.ask(`https://${host}/no-such-page`)
      assert.equal(missing.status, 404)
      return `index, stylesheet, 304 and 404 from ${world.site().cid.slice(0, 16)}…`
    },
  },
  {
    name: 'static.tampered',
    async run(world) {
      const site = await world.publishSite({
        'index.html': `<!doctype html><p>Tampered with: ${'secret '.repeat(40)}</p>\n`,
      })
      const host = await world.connectSite('tampered', site.cid)
      await world.network.tamperBlock(site.fileCids['index.html'] as string)
      const answer = await eventually('an answer', 20_000, () =>
        world.client.ask(`https://${host}/`, { headers: { accept: 'application/json' } }),
      )
      // The network client checks blocks as they come, and finds that no node has the right one; the gateway checks them again.
      refusal(answer, 502, 'CLIENT_ANSWER_FORGED')
      assert.ok(!answer.body.toString().includes('secret'), 'no byte of the wrong block reached the client')
      return 'a store with a wrong block is caught: 502, none of its bytes'
    },
  },
]
