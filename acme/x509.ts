import 'reflect-metadata'
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPair,
  X509Certificate as NodeCertificate,
  webcrypto,
} from 'node:crypto'
import { promisify } from 'node:util'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  Extension,
  type JsonGeneralName,
  KeyUsageFlags,
  KeyUsagesExtension,
  Pkcs10CertificateRequestGenerator,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509'
import type { ServedCertificate } from './ports.ts'

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const pem = { type: 'pkcs8', format: 'pem' } as const
const dayMs = 86_400_000

/** Makes a P-256 key, PKCS #8 PEM. One key type everywhere: see the SNI trap in docs/decisions/acme-client.md. */
export async function createKeyPem(): Promise<string> {
  const { privateKey } = await promisify(generateKeyPair)('ec', { namedCurve: 'P-256' })
  return privateKey.export(pem).toString()
}

/** A certificate request (PKCS #10, DER) for `names` as subject alternative names, without a common name. */
export async function createCsr(names: readonly string[], keyPem: string): Promise<Uint8Array> {
  const csr = await Pkcs10CertificateRequestGenerator.create({
    keys: await keyPairOf(keyPem),
    signingAlgorithm: algorithm,
    extensions: [subjectNames(names)],
  })
  return new Uint8Array(csr.rawData)
}

/** The self-signed certificate that answers TLS-ALPN-01: the digest of the key authorization in a critical extension. @see RFC 8737 §3 */
export async function createAlpnCertificate(name: string, keyAuthorization: string): Promise<ServedCertificate> {
  const digest = createHash('sha256').update(keyAuthorization).digest()
  const octetString = Buffer.concat([Buffer.from([0x04, digest.length]), digest])
  const identifier = new Extension('1.3.6.1.5.5.7.1.31', true, octetString)
  return selfSigned([subjectNames([name], true), identifier], 7 * dayMs)
}

/** A self-signed server certificate that can be trusted as a root; for a local CA's own HTTPS. `names` may hold IP addresses. */
export async function createSelfSigned(
  names: readonly string[],
  lifeMs: number = 365 * dayMs,
): Promise<ServedCertificate> {
  const usages = KeyUsageFlags.digitalSignature | KeyUsageFlags.keyCertSign
  return selfSigned(
    [subjectNames(names), new BasicConstraintsExtension(true, undefined, true), new KeyUsagesExtension(usages, true)],
    lifeMs,
  )
}

/** What a downloaded chain says of its leaf. Times are Unix milliseconds. */
export interface LeafFacts {
  /** SHA-256 fingerprint, lower-case hex. */
  id: string
  names: string[]
  notBeforeMs: number
  notAfterMs: number
  matchesKey(keyPem: string): boolean
}

/** Reads the first certificate of a PEM chain. @throws Error when it is none */
export function readLeaf(chainPem: string): LeafFacts {
  const leaf = new NodeCertificate(chainPem)
  return {
    id: leaf.fingerprint256.replaceAll(':', '').toLowerCase(),
    names: [...(leaf.subjectAltName ?? '').matchAll(/DNS:([^,\s"]+)/g)].map((match) =>
      (match[1] as string).toLowerCase(),
    ),
    notBeforeMs: Date.parse(leaf.validFrom),
    notAfterMs: Date.parse(leaf.validTo),
    matchesKey: (keyPem) => leaf.checkPrivateKey(createPrivateKey(keyPem)),
  }
}

/**
 * The identifier of a certificate for renewal information: key identifier of its issuer and its serial number.
 * @returns undefined when the certificate names no issuer key
 * @see RFC 9773 §4.1
 */
export function renewalIdOf(chainPem: string): string | undefined {
  const leaf = new X509Certificate(new NodeCertificate(chainPem).raw)
  const keyId = leaf.getExtension(AuthorityKeyIdentifierExtension)?.keyId
  if (keyId === undefined) return undefined
  // The serial as in the DER integer: a leading zero byte stands where the first bit would read as a sign.
  const digits = leaf.serialNumber.length % 2 ? `0${leaf.serialNumber}` : leaf.serialNumber
  const serial = Number.parseInt(digits.slice(0, 2), 16) >= 0x80 ? `00${digits}` : digits
  return `${base64Url(keyId)}.${base64Url(serial)}`
}

/** An issuer for tests and local use: signs leaves for the public key and the names of a request. */
export interface LocalIssuer {
  rootPem: string
  issue(
    csrDer: Uint8Array,
    names: readonly string[],
    validity: { notBeforeMs: number; notAfterMs: number },
  ): Promise<string>
}

/** Makes a root and signs with it. The request's signature is not checked: a stand-in for a CA, not a CA. */
export async function createLocalIssuer(validity: { notBeforeMs: number; notAfterMs: number }): Promise<LocalIssuer> {
  const keys = await keyPairOf(await createKeyPem())
  const root = await X509CertificateGenerator.createSelfSigned({
    name: 'CN=local test root',
    keys,
    signingAlgorithm: algorithm,
    notBefore: new Date(validity.notBeforeMs),
    notAfter: new Date(validity.notAfterMs),
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return {
    rootPem: root.toString('pem'),
    async issue(csrDer, names, { notBeforeMs, notAfterMs }) {
      const { Pkcs10CertificateRequest } = await import('@peculiar/x509')
      const leaf = await X509CertificateGenerator.create({
        issuer: root.subject,
        publicKey: new Pkcs10CertificateRequest(Buffer.from(csrDer)).publicKey,
        signingKey: keys.privateKey,
        signingAlgorithm: algorithm,
        notBefore: new Date(notBeforeMs),
        notAfter: new Date(notAfterMs),
        extensions: [subjectNames(names, true), await AuthorityKeyIdentifierExtension.create(keys.publicKey)],
      })
      return `${leaf.toString('pem')}\n${root.toString('pem')}\n`
    },
  }
}

async function selfSigned(extensions: Extension[], lifeMs: number): Promise<ServedCertificate> {
  const keyPem = await createKeyPem()
  const notAfterMs = Date.now() + lifeMs
  const certificate = await X509CertificateGenerator.createSelfSigned({
    keys: await keyPairOf(keyPem),
    signingAlgorithm: algorithm,
    // A day back: the peer's clock may be behind ours.
    notBefore: new Date(Date.now() - dayMs),
    notAfter: new Date(notAfterMs),
    extensions,
  })
  const certificatePem = certificate.toString('pem')
  return { id: readLeaf(certificatePem).id, certificatePem, keyPem, notAfterMs }
}

function subjectNames(names: readonly string[], critical = false): SubjectAlternativeNameExtension {
  const entries = names.map((value): JsonGeneralName => ({ type: /^[\d.]+$|:/.test(value) ? 'ip' : 'dns', value }))
  return new SubjectAlternativeNameExtension(entries, critical)
}

async function keyPairOf(keyPem: string): Promise<CryptoKeyPair> {
  const privateDer = createPrivateKey(keyPem).export({ type: 'pkcs8', format: 'der' })
  const publicDer = createPublicKey(keyPem).export({ type: 'spki', format: 'der' })
  const subtle = webcrypto.subtle
  return {
    privateKey: await subtle.importKey('pkcs8', privateDer, algorithm, true, ['sign']),
    publicKey: await subtle.importKey('spki', publicDer, algorithm, true, ['verify']),
  }
}

type CryptoKeyPair = webcrypto.CryptoKeyPair

function base64Url(hex: string): string {
  return Buffer.from(hex, 'hex').toString('base64url')
}
