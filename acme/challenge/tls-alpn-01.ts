import type { ChallengeResponder, ServedCertificate } from '../ports.ts'
import { createAlpnCertificate } from '../x509.ts'

/**
 * TLS-ALPN-01 (RFC 8737): keeps one validation certificate per name for the listener on port 443 to show to clients that offer
 * ALPN `acme-tls/1` alone. Made when presented, since the lookup happens inside a handshake and must not wait.
 */
export function createTlsAlpn01(): ChallengeResponder & Required<Pick<ChallengeResponder, 'alpnChallenge'>> {
  const answers = new Map<string, { token: string; certificate: ServedCertificate }>()
  return {
    type: 'tls-alpn-01',
    async present(name, token, keyAuthorization) {
      answers.set(name, { token, certificate: await createAlpnCertificate(name, keyAuthorization) })
    },
    async clean(name, token) {
      if (answers.get(name)?.token === token) answers.delete(name)
    },
    alpnChallenge: (serverName) => answers.get(serverName.toLowerCase())?.certificate,
  }
}
