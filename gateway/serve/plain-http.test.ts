import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ask } from '../testing/client.ts'
import { FakeError } from '../testing/fakes.ts'
import { startTestGateway } from '../testing/test-gateway.ts'

test('plain HTTP tells the owner of a name why it has no certificate, and redirects once it has one', async () => {
  await using gateway = await startTestGateway()
  gateway.certificates.ready.delete('app.test')
  const asked = () =>
    ask({ port: gateway.httpPort, host: 'app.test', plain: true, headers: { accept: 'application/json' } })
  gateway.certificates.refused.set('app.test', new FakeError('CA_SAYS_NO', 422))
  const refused = await asked()
  assert.equal(refused.status, 422)
  assert.match(refused.body, /CA_SAYS_NO/)
  gateway.certificates.refused.clear()
  assert.equal((await asked()).status, 308)
})

test('a certificate source that throws takes no redirect away', async () => {
  await using gateway = await startTestGateway()
  gateway.certificates.find = () => {
    throw new FakeError('BROKEN', 500)
  }
  assert.equal((await ask({ port: gateway.httpPort, host: 'app.test', plain: true })).status, 308)
})
