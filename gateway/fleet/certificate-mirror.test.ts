import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SiteCertificate } from '../ports.ts'
import { CertificateMirror, type RemoteCertificates } from './certificate-mirror.ts'

const { signal } = new AbortController()

function certificate(id: string): SiteCertificate {
  return { id, certificatePem: `chain of ${id}`, keyPem: `key of ${id}`, notAfterMs: Number.MAX_SAFE_INTEGER }
}

/** The primary's certificates, by name; counts what it is asked. */
class FakeRemote implements RemoteCertificates {
  readonly ready = new Map<string, SiteCertificate>()
  asked = 0
  /** Runs while an answer is on its way. */
  meanwhile = (): void => {}
  down = false

  async load(serverName: string): Promise<SiteCertificate | undefined> {
    this.asked++
    if (this.down) throw new Error('gone')
    const found = this.ready.get(serverName)
    this.meanwhile()
    // As after a crossing: never the same object twice.
    return found && { ...found }
  }
  async obtain(serverName: string): Promise<SiteCertificate> {
    return certificate(`${serverName} 1`)
  }
  async refusal(): Promise<undefined> {}
  async httpChallenge(): Promise<undefined> {}
  async alpnChallenge(): Promise<undefined> {}
}

function mirrorOf(ready: Record<string, string>): { mirror: CertificateMirror; remote: FakeRemote } {
  const remote = new FakeRemote()
  for (const [name, id] of Object.entries(ready)) remote.ready.set(name, certificate(id))
  return { remote, mirror: new CertificateMirror(remote) }
}

test('what was loaded or obtained once is found at once, and names of one certificate share it', async () => {
  const { mirror, remote } = mirrorOf({ 'a.zone.test': 'wild', 'b.zone.test': 'wild' })
  assert.equal(mirror.find('a.zone.test'), undefined)
  for (const name of ['a.zone.test', 'b.zone.test']) assert.equal((await mirror.load(name, signal))?.id, 'wild')
  assert.equal(mirror.find('a.zone.test'), mirror.find('b.zone.test'))
  assert.equal((await mirror.obtain('own.test', signal)).id, 'own.test 1')
  assert.equal(mirror.find('own.test')?.id, 'own.test 1')
  assert.equal(remote.asked, 2)
  assert.equal(await mirror.load('nobody.test', signal), undefined)
})

test('a change of a name, or of the wildcard above it, is heeded by the next handshake, and by no other name', async () => {
  const names = ['a.zone.test', 'b.zone.test', 'deep.a.zone.test', 'other.test']
  const { mirror } = mirrorOf(Object.fromEntries(names.map((name) => [name, name])))
  for (const name of names) await mirror.load(name, signal)
  const kept = (): string[] => names.filter((name) => mirror.find(name))
  mirror.changed('other.test')
  assert.deepEqual(kept(), names.slice(0, 3))
  mirror.changed('*.zone.test')
  assert.deepEqual(kept(), ['deep.a.zone.test'])
})

test('an answer that was on its way while the certificate changed is not kept', async () => {
  const { mirror, remote } = mirrorOf({ 'app.test': 'old' })
  remote.meanwhile = () => {
    remote.meanwhile = () => {}
    remote.ready.set('app.test', certificate('new'))
    mirror.changed('app.test')
  }
  assert.equal((await mirror.load('app.test', signal))?.id, 'old')
  assert.equal(mirror.find('app.test'), undefined)
  assert.equal((await mirror.load('app.test', signal))?.id, 'new')
  assert.equal(mirror.find('app.test')?.id, 'new')
})

test('a certificate that is no longer there is forgotten; while the primary cannot be asked the last one serves', async () => {
  const { mirror, remote } = mirrorOf({ 'app.test': 'one' })
  await mirror.load('app.test', signal)
  mirror.changed('app.test')
  remote.down = true
  assert.equal((await mirror.load('app.test', signal))?.id, 'one')
  await assert.rejects(mirror.load('never.test', signal), /gone/)
  remote.down = false
  remote.ready.clear()
  assert.equal(await mirror.load('app.test', signal), undefined)
  remote.down = true
  await assert.rejects(mirror.load('app.test', signal), /gone/)
})

test('whoever listens is told of changes until they leave', () => {
  const { mirror } = mirrorOf({})
  const told: string[] = []
  const watch = mirror.onChange((name) => told.push(name))
  mirror.changed('*.zone.test')
  watch[Symbol.dispose]()
  mirror.changed('app.test')
  assert.deepEqual(told, ['*.zone.test'])
})
