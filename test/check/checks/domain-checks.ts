import assert from 'node:assert/strict'
import { json, refusal, type SampleAnswer } from '../expect.ts'
import type { Check } from '../run-checks.ts'
import type { World } from '../world.ts'

/** Names under the gateway's own zone and custom domains: certificates, redirects, refusals. */
export const domainChecks: Check<World>[] = [
  {
    name: 'label.https',
    async run({ client, network, program }) {
      const python = program('python')
      const answer = await client.ask(`https://${python.label}.${network.zone}/`)
      const { bootId, language } = json<SampleAnswer>(answer)
      assert.equal(language, 'python')
      assert.match(bootId, /^[0-9a-f-]{36}$/)
      const names = answer.certificate?.subjectaltname ?? ''
      assert.ok(names.includes(`DNS:*.${network.zone}`), `the certificate is for ${names}`)
      assert.ok(network.acme.requests('/order-plz') > 0, 'the CA saw an order')
      return `boot id ${bootId.slice(0, 8)} from inside the guest, wildcard by DNS-01, issued by ${answer.certificate?.issuer.CN}`
    },
  },
  {
    name: 'domain.https',
    async run({ client, connectApp }) {
      const host = connectApp()
      const first = await client.ask(`https://${host}/`)
      assert.equal(json<SampleAnswer>(first).language, 'python')
      assert.ok(first.certificate?.subjectaltname?.includes(`DNS:${host}`))
      let session: Buffer | undefined
      const agentless = await client.connectTls(host)
      agentless.on('session', (ticket: Buffer) => {
        session = ticket
      })
      agentless.write(`GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)
      for await (const _chunk of agentless);
      assert.ok(session, 'the gateway gives session tickets')
      const second = await client.connectTls(host, { session })
      const resumed = second.isSessionReused()
      second.destroy()
      assert.ok(resumed, 'the second connection resumes the TLS session')
      return `first request with a new certificate in ${(first.ms / 1_000).toFixed(2)} s, the next one resumes`
    },
  },
  {
    name: 'domain.http',
    async run({ client, network, connectApp }) {
      const host = connectApp()
      assert.equal((await client.ask(`https://${host}/`)).status, 200)
      const answer = await client.ask(`http://${host}/path?x=1`)
      assert.equal(answer.status, 308)
      assert.equal(answer.headers.location, `https://${host}:${network.gatewayPorts.https}/path?x=1`)
      // The CA asked this path to issue the certificate. A token that nobody ordered is 404, not a redirect.
      const challenge = await client.ask(`http://${host}/.well-known/acme-challenge/no-such-token`)
      assert.equal(challenge.status, 404)
      const asked = network.acme.process
        .output()
        .includes(`http://${host}:${network.gatewayPorts.http}/.well-known/acme-challenge/`)
      assert.ok(asked, 'the CA validated the name over the challenge path')
      return '308 to https; the CA was answered at the challenge path, an unknown token gets 404'
    },
  },
  {
    name: 'domain.unproven',
    async run({ client, network, program }) {
      const host = `unproven.${network.customZone}`
      network.records.set(host, 'CNAME', [network.zone])
      network.records.set(`_aleph-id.${host}`, 'TXT', [program('python').itemHash])
      return refusedName(client, host, 'RESOLVER_DOMAIN_NOT_PROVEN', `_control.${host}`, ['(none)'])
    },
  },
  {
    name: 'domain.conflict',
    async run({ client, network, program, owner }) {
      const host = `conflict.${network.customZone}`
      network.records.set(host, 'CNAME', [network.zone])
      network.records.set(`_control.${host}`, 'TXT', [owner])
      const both = [program('python').itemHash, program('node').itemHash]
      network.records.set(`_aleph-id.${host}`, 'TXT', both)
      return refusedName(client, host, 'RESOLVER_DOMAIN_CONFLICT', `_aleph-id.${host}`, both)
    },
  },
  {
    name: 'domain.typo',
    async run({ client, network, program, owner }) {
      const host = `typo.${network.customZone}`
      network.records.set(host, 'CNAME', [network.zone])
      network.records.set(`_control.${host}`, 'TXT', [owner])
      const short = program('python').itemHash.slice(0, 63)
      network.records.set(`_aleph-id.${host}`, 'TXT', [short])
      const line = await refusedName(client, host, 'RESOLVER_DOMAIN_NOT_PROVEN', `_aleph-id.${host}`, [short])
      const { body } = await client.ask(`http://${host}/`)
      assert.match(body.toString(), /64 hex digits.* 63/, 'the advice counts the digits')
      return `${line}, and count its 63 digits`
    },
  },
  {
    name: 'ens.https',
    async run({ client, network, program }) {
      const url = `https://app.eth.${network.zone}/`
      // Both run already, so that the time below is that of the name, not of a start.
      for (const language of ['python', 'node'] as const) await client.ask(program(language).url)
      await network.chain.registerName('app.eth', { vm: program('python').itemHash })
      assert.equal(json<SampleAnswer>(await client.ask(url)).language, 'python')
      await network.chain.setVm('app.eth', program('node').itemHash)
      const changedAt = performance.now()
      for (;;) {
        if (json<SampleAnswer>(await client.ask(url)).language === 'node') break
        assert.ok(
          performance.now() - changedAt < network.ensTtlMs * 2 + 2_000,
          'the changed record is served within its TTL',
        )
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
      const tookMs = performance.now() - changedAt
      return `python, then after the record changed node: ${tookMs.toFixed(0)} ms (TTL ${network.ensTtlMs} ms)`
    },
  },
]

/** A name that must get no certificate and no traffic; page and JSON must name `record`, all that was `found`, and what to write. */
async function refusedName(
  client: World['client'],
  host: string,
  code: string,
  record: string,
  found: readonly string[],
): Promise<string> {
  await assert.rejects(client.ask(`https://${host}/`), 'the TLS handshake is refused')
  const answer = await client.ask(`http://${host}/`, { headers: { accept: 'application/json' } })
  assert.ok(answer.status >= 400, `status ${answer.status}`)
  const { details } = refusal(answer, answer.status, code)
  const findings = (details as { record: string; expected?: unknown; found?: unknown }[]).filter(
    (entry) => entry.record === record,
  )
  assert.ok(findings[0]?.expected, `the details say what to write at ${record}: ${JSON.stringify(details)}`)
  for (const value of found)
    assert.ok(JSON.stringify(findings).includes(value), `the details show ${value}: ${JSON.stringify(details)}`)
  const page = (await client.ask(`http://${host}/`, { headers: { accept: 'text/html' } })).body.toString()
  assert.ok(page.includes(record) && /<html/i.test(page), 'the page names the record')
  return `${answer.status} ${code}; no certificate; page and JSON name ${record}`
}
