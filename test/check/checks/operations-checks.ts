import assert from 'node:assert/strict'
import { unreachableForCa } from '../../../cli/dev/dev-dns.ts'
import { eventually, json, refusal, type SampleAnswer } from '../expect.ts'
import type { Check } from '../run-checks.ts'
import type { World } from '../world.ts'

const acknowledgedBeforeCrash = 40

/** Upgrades, crashes, errors with advice, metrics. */
export const operationsChecks: Check<World>[] = [
  {
    name: 'upgrade',
    async run(world) {
      const program = await world.publishProgram('python', 'before')
      assert.equal(json<SampleAnswer>(await world.client.ask(program.url)).version, 'before')
      let asking = true
      const statuses: number[] = []
      const load = (async () => {
        while (asking) statuses.push((await world.client.ask(program.url)).status)
      })()
      let tookMs: number
      try {
        await world.amendProgram(program, 'python', 'after')
        const amendedAt = performance.now()
        await eventually('the new version is served', 30_000, async () =>
          json<SampleAnswer>(await world.client.ask(program.url)).version === 'after' ? true : undefined,
        )
        tookMs = performance.now() - amendedAt
      } finally {
        asking = false
        await load
      }
      const lost = statuses.filter((status) => status !== 200).length
      assert.equal(lost, 0, `${lost} of ${statuses.length} requests failed during the upgrade`)
      return `new version after ${tookMs.toFixed(0)} ms; 0 of ${statuses.length} requests lost on the way`
    },
  },
  {
    name: 'crash.ccn',
    async run(world) {
      const acknowledged: string[] = []
      let killed: Promise<void> | undefined
      const publisher = async (number: number): Promise<void> => {
        for (let index = 0; !killed; index++) {
          acknowledged.push(await world.publishPost(`before the crash ${number} ${index}`))
          // At once with an acknowledgement: what a node leaves for after it is then still to be done.
          if (acknowledged.length === acknowledgedBeforeCrash) killed = world.network.ccn.kill()
        }
      }
      await Promise.allSettled([1, 2, 3, 4].map(publisher))
      assert.ok(killed, `only ${acknowledged.length} messages were acknowledged`)
      await killed
      await world.network.ccn.start()
      for (const itemHash of [...acknowledged, world.program('python').itemHash]) {
        const answer = await fetch(`${world.network.ccnUrl}/api/v0/messages/${itemHash}`)
        assert.equal(((await answer.json()) as { status: string }).status, 'processed', itemHash)
      }
      return `all ${acknowledged.length} messages acknowledged before kill -9 are there`
    },
  },
  {
    name: 'crash.gateway',
    async run(world) {
      const { network, client, program } = world
      const host = world.connectApp()
      const serial = (await client.ask(`https://${host}/`)).certificate?.serialNumber
      const before = network.acme.requests('/order-plz')
      await network.gateway.kill()
      await network.gateway.start()
      const custom = await client.ask(`https://${host}/`)
      assert.equal(custom.status, 200)
      assert.equal(custom.certificate?.serialNumber, serial, 'the certificate from before the crash is served')
      assert.equal((await client.ask(program('python').url)).status, 200)
      const orders = network.acme.requests('/order-plz') - before
      assert.equal(orders, 0, `${orders} new orders after the restart`)
      return 'same certificate after kill -9, no second order'
    },
  },
  {
    name: 'crash.crn',
    async run(world) {
      const { network, client } = world
      for (const host of network.hosts) await host.role.kill()
      const down = await client.ask(world.program('node').url, { headers: { accept: 'application/json' } })
      assert.ok(down.status >= 502 && down.status <= 504, `while all hosts are down: ${down.status}`)
      for (const host of network.hosts) await host.role.start()
      const answer = await eventually(
        'the program answers again',
        60_000,
        async () => {
          const answer = await client.ask(world.program('node').url)
          return answer.status === 200 ? answer : undefined
        },
        500,
      )
      assert.equal(json<SampleAnswer>(answer).language, 'node')
      return `${down.status} while both hosts were down; both serve again after kill -9 and restart`
    },
  },
  {
    name: 'errors.unknown-hash',
    async run({ client, network, labelOf }) {
      const url = `https://${labelOf('ab'.repeat(32))}.${network.zone}/`
      const answer = await client.ask(url, { headers: { accept: 'application/json' } })
      return refusal(answer, 404, 'RESOLVER_TARGET_UNKNOWN').hint
    },
  },
  {
    name: 'errors.bad-label',
    async run({ client, network }) {
      const answer = await client.ask(`https://too-short.${network.zone}/`, { headers: { accept: 'application/json' } })
      return refusal(answer, 404, 'RESOLVER_LABEL_INVALID').detail
    },
  },
  {
    name: 'errors.host-full',
    async run(world) {
      const answer = await world.withFullHosts(async () => {
        const program = await world.publishProgram('python', 'one-too-many')
        return world.client.ask(program.url, { headers: { accept: 'application/json' } })
      })
      const { hint } = refusal(answer, 503, 'GATEWAY_HOSTS_FULL')
      assert.ok(answer.headers['retry-after'], 'tells when to try again')
      return `503 GATEWAY_HOSTS_FULL, Retry-After ${answer.headers['retry-after']}: ${hint}`
    },
  },
  {
    name: 'errors.ca-refusing',
    async run(world) {
      const { network, client, program, owner } = world
      // For us the name leads to the gateway; the CA, looking from elsewhere, is led to an address where nobody listens.
      const host = `${unreachableForCa}.${network.customZone}`
      network.records.set(host, 'A', ['127.0.0.1'])
      network.records.set(`_control.${host}`, 'TXT', [owner])
      network.records.set(`_aleph-id.${host}`, 'TXT', [program('python').itemHash])
      await assert.rejects(client.connectTls(host), 'no certificate, so no handshake')
      const answer = await client.ask(`http://${host}/`, { headers: { accept: 'application/json' } })
      assert.ok(answer.status >= 400, `status ${answer.status}`)
      const problem = json<{ code: string; detail: string; hint?: string }>(answer, answer.status)
      assert.match(problem.code, /^ACME_/)
      assert.ok(problem.hint, 'says what to do')
      return `no handshake; plain HTTP tells why: ${answer.status} ${problem.code}, ${problem.hint}`
    },
  },
  {
    name: 'errors.host-garbage',
    async run(world) {
      const answer = await world.withGarbageHost(async (program) =>
        world.client.ask(program.url, { headers: { accept: 'application/json' } }),
      )
      return refusal(answer, 502, 'GATEWAY_BAD_UPSTREAM_ANSWER').detail
    },
  },
  {
    name: 'errors.bad-program',
    async run(world) {
      const program = await world.publishBrokenProgram()
      const answer = await world.client.ask(program.url, { headers: { accept: 'application/json' } })
      assert.equal(answer.status, 502, answer.body.toString())
      const text = answer.body.toString()
      assert.ok(!text.includes('Traceback'), 'the traceback stays with the owner')
      return `502 ${json<{ code: string }>(answer, 502).code} in ${answer.ms.toFixed(0)} ms, no traceback to the visitor`
    },
  },
  {
    name: 'metrics',
    async run(world) {
      const { network } = world
      const places = {
        gateway: network.metricsUrls.gateway,
        ccn: network.metricsUrls.ccn,
        'crn-1': network.metricsUrls.crns[0],
        'crn-2': network.metricsUrls.crns[1],
      }
      const counts: string[] = []
      for (const [name, url] of Object.entries(places)) {
        const response = await fetch(url as string)
        assert.equal(response.status, 200, name)
        const text = await response.text()
        const samples = parsePrometheus(text)
        assert.ok(samples > 10, `${name} shows ${samples} samples`)
        for (const secret of [
          network.customZone,
          network.zone,
          world.program('python').itemHash,
          world.program('python').label,
          '/digest',
          '203.0.113.9',
        ]) {
          assert.ok(!text.includes(secret), `the metrics of ${name} hold "${secret}"`)
        }
        counts.push(`${name} ${samples}`)
      }
      return `samples: ${counts.join(', ')}; no name, hash, path or address`
    },
  },
]

const sampleLine =
  /^[a-zA-Z_:][a-zA-Z0-9_:]*(\{([a-zA-Z_][a-zA-Z0-9_]*="(\\.|[^"\\])*",?)*\})? (NaN|[+-]Inf|[-+0-9.eE]+)( \d+)?$/

/** Counts the samples of a Prometheus text; throws at the first line that is none, nor a comment. */
function parsePrometheus(text: string): number {
  let samples = 0
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('# HELP ') || line.startsWith('# TYPE ')) continue
    assert.match(line, sampleLine)
    samples++
  }
  return samples
}
