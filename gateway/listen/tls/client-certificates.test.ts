import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ConnectionOptions } from 'node:tls'
import { type Clock, systemClock } from '../../../core/clock.ts'
import { connectTls } from '../../testing/client.ts'
import { selfSigned } from '../../testing/self-signed.ts'
import type { ClientCa } from './site-servers.ts'
import { bareSession, startTestListener, visit, visitInTurn } from './test-listener.ts'

const certificate = { ...selfSigned(['*.test']), notAfterMs: Date.now() + 10 * 86_400_000 }
/** Self-signed, so each is its own authority. */
const [member, stranger] = [selfSigned(['member']), selfSigned(['stranger'])]
const ca: ClientCa = { id: 'members', pem: member.certificatePem }
const shows = ({ certificatePem, keyPem }: typeof member) => ({ cert: certificatePem, key: keyPem })

/** `private.test` takes members only, everybody may come to `open.test`; both have the same certificate. */
async function startSites(clock: Clock = systemClock, authority: () => ClientCa = () => ca) {
  const clientCaFor = (name: string): ClientCa | undefined => (name === 'private.test' ? authority() : undefined)
  const sites = await startTestListener({ ports: { clientCaFor, clock } })
  for (const name of ['private.test', 'open.test']) sites.certificates.ready.set(name, certificate)
  return sites
}

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  const only = { minVersion: version, maxVersion: version } as const
  /** Whether a visit comes to anything: over TLS 1.3 a client learns of its refusal only after its own handshake is done. */
  const isServed = (port: number, name: string, options: ConnectionOptions): Promise<boolean> =>
    visit(port, name, { ...only, ...options }).then(
      ({ text }) => text === 'ok',
      () => false,
    )

  test(`a site with client authorities serves those who show a certificate of theirs, and nobody else (${version})`, async () => {
    await using sites = await startSites()
    assert.equal(await isServed(sites.port, 'private.test', shows(member)), true)
    assert.equal(await isServed(sites.port, 'private.test', {}), false)
    assert.equal(await isServed(sites.port, 'private.test', shows(stranger)), false)
    assert.deepEqual(sites.infos, [
      { protocol: 'http/1.1', serverName: 'private.test', resumed: false, clientVerified: true },
    ])
    assert.match(await sites.metrics.text(), /gateway_tls_handshakes_total\{kind="failed"\} 2/)
  })

  test(`other sites do not ask for a client's certificate (${version})`, async () => {
    await using sites = await startSites()
    assert.equal(await isServed(sites.port, 'open.test', {}), true)
    assert.equal(await isServed(sites.port, 'open.test', shows(member)), true)
    assert.deepEqual(
      sites.infos.map(({ clientVerified }) => clientVerified),
      [false, false],
    )
  })

  test(`a session of a verified client resumes, and stays verified (${version})`, async () => {
    await using sites = await startSites()
    const resumed = await visitInTurn([sites.port], 'private.test', 10, { ...only, ...shows(member) })
    assert.equal(resumed, 9)
    assert.ok(sites.infos.every(({ clientVerified }) => clientVerified))
  })

  test(`a session of an open site opens no site with client authorities, and the other way round (${version})`, async () => {
    await using sites = await startSites()
    const open = bareSession((await visit(sites.port, 'open.test', only)).session)
    assert.equal(await isServed(sites.port, 'private.test', { session: open }), false)
    const closed = bareSession((await visit(sites.port, 'private.test', { ...only, ...shows(member) })).session)
    const back = await visit(sites.port, 'open.test', { ...only, session: closed })
    assert.deepEqual([back.resumed, back.text], [false, 'ok'])
    assert.equal(sites.infos.at(-1)?.clientVerified, false)
  })

  test(`a session of one private site does not open another, though authorities and certificate are the same (${version})`, async () => {
    await using sites = await startTestListener({ ports: { clientCaFor: () => ca } })
    for (const name of ['one.test', 'two.test']) sites.certificates.ready.set(name, certificate)
    const session = bareSession((await visit(sites.port, 'one.test', { ...only, ...shows(member) })).session)
    assert.equal(await isServed(sites.port, 'two.test', { session }), false)
  })

  test(`when the authorities of a site change, sessions under the old ones are over (${version})`, async () => {
    let authority = ca
    await using sites = await startSites(systemClock, () => authority)
    const { session } = await visit(sites.port, 'private.test', { ...only, ...shows(member) })
    authority = { id: 'others', pem: stranger.certificatePem }
    assert.equal(
      await isServed(sites.port, 'private.test', { ...shows(member), ...(session ? { session } : {}) }),
      false,
    )
    assert.equal(await isServed(sites.port, 'private.test', shows(stranger)), true)
  })

  test(`a session is over when the client's certificate has expired (${version})`, async () => {
    let aheadMs = 0
    await using sites = await startSites({ ...systemClock, nowMs: () => Date.now() + aheadMs })
    const { session } = await visit(sites.port, 'private.test', { ...only, ...shows(member) })
    const resume = (): Promise<boolean> =>
      isServed(sites.port, 'private.test', { ...shows(member), ...(session ? { session } : {}) })
    assert.equal(await resume(), true)
    aheadMs = 2 * 86_400_000
    assert.equal(await resume(), false)
  })
}

test('authorities that cannot be read close the site, and the log says so', async () => {
  for (const pem of ['', 'rubbish', member.certificatePem.replace('MII', 'AAA')]) {
    await using sites = await startSites(systemClock, () => ({ id: pem, pem }))
    await assert.rejects(connectTls(sites.port, 'private.test', shows(member)), /internal error/)
    assert.match(sites.log.lines.map(({ message }) => message).join(), /GATEWAY_UNUSABLE_CLIENT_CA/)
    assert.equal((await visit(sites.port, 'open.test')).text, 'ok')
  }
})

test('a file may hold several authorities', async () => {
  const both = { id: 'both', pem: `# members\n${member.certificatePem}\n# strangers\n${stranger.certificatePem}` }
  await using sites = await startSites(systemClock, () => both)
  for (const client of [member, stranger])
    assert.equal((await visit(sites.port, 'private.test', shows(client))).text, 'ok')
})
