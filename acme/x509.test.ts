import assert from 'node:assert/strict'
import { createHash, X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import { createTlsAlpn01 } from './challenge/tls-alpn-01.ts'
import { createCsr, createKeyPem, createLocalIssuer, createSelfSigned, readLeaf, renewalIdOf } from './x509.ts'

test('the validation certificate carries the digest of the key authorization in a critical extension (RFC 8737 §3)', async () => {
  const responder = createTlsAlpn01()
  await responder.present('app.example.test', 'token', 'token.thumbprint')
  const { certificatePem, keyPem } = responder.alpnChallenge('APP.example.test')!
  const certificate = new X509Certificate(certificatePem)
  const digest = createHash('sha256').update('token.thumbprint').digest('hex')
  // OID 1.3.6.1.5.5.7.1.31, critical TRUE, OCTET STRING wrapping an OCTET STRING of 32 bytes.
  assert.ok(certificate.raw.toString('hex').includes(`06082b0601050507011f0101ff04220420${digest}`))
  assert.equal(certificate.subjectAltName, 'DNS:app.example.test')
  assert.ok(readLeaf(certificatePem).matchesKey(keyPem))
  assert.equal(certificate.publicKey.asymmetricKeyDetails?.namedCurve, 'prime256v1')
  await responder.clean('app.example.test', 'another token', '')
  assert.ok(responder.alpnChallenge('app.example.test'), 'a stale clean-up takes nothing away')
  await responder.clean('app.example.test', 'token', 'token.thumbprint')
  assert.equal(responder.alpnChallenge('app.example.test'), undefined)
})

test('the renewal identifier holds the issuer key and the serial as in the DER, sign byte included', async () => {
  const issuer = await createLocalIssuer({ notBeforeMs: 0, notAfterMs: Date.UTC(2099, 0, 1) })
  const keyPem = await createKeyPem()
  const csr = await createCsr(['a.test'], keyPem)
  for (let turn = 0; turn < 8; turn++) {
    const chain = await issuer.issue(csr, ['a.test'], { notBeforeMs: Date.now(), notAfterMs: Date.now() + 60_000 })
    const der = new X509Certificate(chain).raw.toString('hex')
    const [keyId, serial] = renewalIdOf(chain)!
      .split('.')
      .map((part) => Buffer.from(part, 'base64url').toString('hex')) as [string, string]
    assert.ok(
      der.includes(`02${(serial.length / 2).toString(16).padStart(2, '0')}${serial}`),
      'the integer as it stands in the certificate',
    )
    assert.ok(
      der.includes(`80${(keyId.length / 2).toString(16).padStart(2, '0')}${keyId}`),
      'the key identifier as it stands in the extension',
    )
  }
})

test('a certificate that names no issuer key has no renewal identifier', async () => {
  assert.equal(renewalIdOf((await createSelfSigned(['a.test'])).certificatePem), undefined)
})

test('a leaf shows its names and whether a key is its own', async () => {
  const { certificatePem, keyPem, id } = await createSelfSigned(['A.test', '*.b.test', '127.0.0.1'])
  const leaf = readLeaf(certificatePem)
  assert.deepEqual([leaf.id, leaf.names], [id, ['a.test', '*.b.test']])
  assert.deepEqual([leaf.matchesKey(keyPem), leaf.matchesKey(await createKeyPem())], [true, false])
})
