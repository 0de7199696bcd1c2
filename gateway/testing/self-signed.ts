import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { isIP } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SiteCertificate } from '../ports.ts'

/** A self-signed P-256 certificate for the names, valid for a day, made by the openssl program. For tests only. */
export function selfSigned(names: readonly string[]): SiteCertificate {
  const folder = mkdtempSync(join(tmpdir(), 'gateway-certificate-'))
  try {
    const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
    const san = `subjectAltName=${names.map((name) => `${isIP(name) === 0 ? 'DNS' : 'IP'}:${name}`).join(',')}`
    const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1']
    execFileSync('openssl', [...request, '-keyout', key, '-out', cert, '-subj', '/CN=test', '-addext', san], {
      stdio: 'ignore',
    })
    const certificatePem = readFileSync(cert, 'utf8')
    const id = createHash('sha256').update(certificatePem).digest('hex').slice(0, 16)
    return { id, certificatePem, keyPem: readFileSync(key, 'utf8'), notAfterMs: Date.now() + 86_000_000 }
  } finally {
    rmSync(folder, { recursive: true })
  }
}
