import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import type { SiteCertificate } from '../../ports.ts'
import { connectTls } from '../../testing/client.ts'
import { selfSigned } from '../../testing/self-signed.ts'
import { probeTickets } from './probe-tickets.ts'
import { bareSession, FakeTicketKeys, secret, startTestListener, visit, visitInTurn } from './test-listener.ts'

const certificate = selfSigned(['*.test'])
const versions = ['TLSv1.2', 'TLSv1.3'] as const
const only = (version: (typeof versions)[number]) => ({ minVersion: version, maxVersion: version }) as const

async function startSite() {
  const started = await startTestListener()
  started.certificates.ready.set('app.test', certificate)
  return started
}

test('this Node renews session tickets', async () => {
  assert.equal(await probeTickets(), true)
})

for (const version of versions) {
  test(`a client that uses each ticket once resumes every time but the first (${version})`, async () => {
    await using site = await startSite()
    const resumed = await visitInTurn([site.port], 'app.test', 40, only(version))
    assert.ok(resumed >= 38, `${resumed} of 40`)
    assert.equal(resumed, 39)
    assert.match(await site.metrics.text(), /gateway_tls_handshakes_total\{kind="resumed"\} 39/)
  })

  test(`sessions resume in whichever process the next connection comes to (${version})`, async () => {
    const processes = [startProcess(), startProcess()]
    try {
      const ports = await Promise.all(processes.map(({ port }) => port))
      const resumed = await visitInTurn(ports, 'app.test', 40, only(version))
      assert.ok(resumed >= 38, `${resumed} of 40`)
    } finally {
      for (const { stop } of processes) await stop()
    }
  })

  test(`a resumed session knows its server name (${version})`, async () => {
    await using site = await startSite()
    await visitInTurn([site.port], 'app.test', 2, only(version))
    const expected = { protocol: 'http/1.1', serverName: 'app.test', clientVerified: false }
    assert.deepEqual(site.infos, [
      { ...expected, resumed: false },
      { ...expected, resumed: true },
    ])
  })

  test(`a ticket outlives one change of keys and not two, and is replaced by one under the new keys (${version})`, async () => {
    await using site = await startSite()
    const options = only(version)
    const first = await visit(site.port, 'app.test', options)
    site.ticketKeys.set({ current: secret(2), previous: secret(1) })
    const second = await visit(site.port, 'app.test', { ...options, session: first.session })
    assert.equal(second.resumed, true)
    site.ticketKeys.set({ current: secret(3), previous: secret(2) })
    assert.equal((await visit(site.port, 'app.test', { ...options, session: first.session })).resumed, false)
    assert.equal((await visit(site.port, 'app.test', { ...options, session: second.session })).resumed, true)
    site.ticketKeys.set({ current: secret(4), previous: undefined })
    assert.equal((await visit(site.port, 'app.test', { ...options, session: second.session })).resumed, false)
  })

  test(`a ticket of one site resumes under no other, though the keys are the same (${version})`, async () => {
    await using site = await startSite()
    site.certificates.ready.set('other.test', selfSigned(['other.test']))
    const options = only(version)
    const first = await visit(site.port, 'app.test', options)
    const session = bareSession(first.session)
    const other = await visit(site.port, 'other.test', { ...options, session })
    assert.equal(other.resumed, false)
    assert.notEqual(other.fingerprint, first.fingerprint)
    assert.equal((await visit(site.port, 'app.test', { ...options, session })).resumed, true)
  })

  test(`a changed certificate ends the sessions made under the old one (${version})`, async () => {
    await using site = await startSite()
    const { session } = await visit(site.port, 'app.test', only(version))
    site.certificates.ready.set('app.test', selfSigned(['app.test']))
    assert.equal((await visit(site.port, 'app.test', { ...only(version), session })).resumed, false)
  })

  test(`a damaged ticket leads to a full handshake (${version})`, async () => {
    await using site = await startSite()
    const { session, ticket } = await visit(site.port, 'app.test', only(version))
    const whole = bareSession(session)
    assert.ok(ticket)
    const start = whole.indexOf(ticket)
    for (const at of [0, 20, 60, ticket.length - 1]) {
      const damaged = Buffer.from(whole)
      damaged[start + at] = (damaged[start + at] as number) ^ 1
      const { resumed, text } = await visit(site.port, 'app.test', { ...only(version), session: damaged })
      assert.deepEqual([resumed, text], [false, 'ok'], `byte ${at}`)
    }
  })
}

test('a full TLS 1.3 handshake gives two tickets, a resumed one gives one', async () => {
  await using site = await startSite()
  const first = await visit(site.port, 'app.test', only('TLSv1.3'))
  const second = await visit(site.port, 'app.test', { ...only('TLSv1.3'), session: first.session })
  assert.deepEqual([first.tickets, second.tickets], [2, 1])
})

test('a change of keys drops no connection', async () => {
  await using site = await startSite()
  const open = await connectTls(site.port, 'app.test')
  site.ticketKeys.set({ current: secret(9), previous: undefined })
  open.write('x')
  assert.equal(String((await once(open, 'data'))[0]), 'ok')
})

test('where Node cannot renew tickets, sessions still resume in other processes, and one line says what is lost', async () => {
  const probe = { probeTickets: async () => false }
  const keys = new FakeTicketKeys()
  await using one = await startTestListener({ ports: { ...probe, ticketKeys: keys } })
  await using two = await startTestListener({ ports: { ...probe, ticketKeys: keys } })
  for (const { certificates } of [one, two]) certificates.ready.set('app.test', certificate)
  for (const version of versions) {
    const { session } = await visit(one.port, 'app.test', only(version))
    assert.equal((await visit(two.port, 'app.test', { ...only(version), session })).resumed, true)
    keys.set({ current: secret(version === 'TLSv1.2' ? 2 : 3), previous: undefined })
    assert.equal((await visit(two.port, 'app.test', { ...only(version), session })).resumed, false)
  }
  assert.equal(one.log.lines.filter(({ message }) => message.includes('cannot renew session tickets')).length, 1)
})

function startProcess(): { port: Promise<number>; stop(): Promise<void> } {
  const child = fork(new URL('listener-process.ts', import.meta.url))
  const port = once(child, 'message').then(([number]) => number as number)
  child.send(certificate satisfies SiteCertificate)
  const stop = async (): Promise<void> => {
    const ended = once(child, 'exit')
    child.disconnect()
    await ended
  }
  return { port, stop }
}
