import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connectTls } from '../../testing/client.ts'
import { selfSigned } from '../../testing/self-signed.ts'
import { startTestListener } from './test-listener.ts'

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`a TLS-ALPN-01 challenge of a name that has no certificate yet is answered (${version})`, async () => {
    await using site = await startTestListener()
    site.certificates.alpn.set('fresh.test', selfSigned(['fresh.test']))
    const socket = await connectTls(site.port, 'fresh.test', {
      ALPNProtocols: ['acme-tls/1'],
      minVersion: version,
      maxVersion: version,
    })
    assert.equal(socket.alpnProtocol, 'acme-tls/1')
    socket.destroy()
  })
}
