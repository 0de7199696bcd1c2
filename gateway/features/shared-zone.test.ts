import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ask } from '../testing/client.ts'
import { startFakeHost } from '../testing/fake-host.ts'
import { programHash, startTestGateway, testCertificate, zone } from '../testing/test-gateway.ts'

test('only a site below the zone loses cookies for the whole zone; a name that merely ends alike is another domain', async () => {
  await using host = await startFakeHost((_, response) => {
    response.setHeader('Set-Cookie', ['own=1', `all=1; Domain=${zone}`])
    response.end()
  })
  await using gateway = await startTestGateway()
  gateway.hosts.add('one', host.origin)
  const below = `label.${zone}`
  const alike = `evil${zone}`
  for (const name of [below, alike]) {
    gateway.names.set(name, { kind: 'program', itemHash: programHash })
    gateway.certificates.ready.set(name, testCertificate())
  }
  const cookies = async (name: string) => (await ask({ port: gateway.httpsPort, host: name })).headers['set-cookie']
  assert.deepEqual(await cookies(below), ['own=1'])
  assert.deepEqual(await cookies(alike), ['own=1', `all=1; Domain=${zone}`])
})
