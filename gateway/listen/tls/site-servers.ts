import { constants, createHash, X509Certificate } from 'node:crypto'
import tls, { type TlsOptions } from 'node:tls'
import { UnusableCertificateError, UnusableClientCaError } from '../../errors.ts'
import type { SiteCertificate } from '../../ports.ts'
import { createCache } from '../../recent-cache.ts'
import type { SessionTickets } from './session-tickets.ts'
import { ticketLifeMs } from './ticket-rotation.ts'

/** The authorities whose client certificates a site takes. */
export interface ClientCa {
  /** Changes whenever the content does. */
  id: string
  /** One or more certificates, PEM. */
  pem: string
}

/** TLS for one certificate, or for one name where clients must show theirs. */
export interface SiteServer {
  /** Never listens: connections are given to it. It holds the context and makes the TLS sockets. */
  readonly server: tls.Server
  readonly kind: 'site' | 'mutual' | 'challenge'
  /** Takes over changed ticket keys. */
  readonly rekey: () => void
}

/** TLS 1.2 with authenticated encryption and forward secrecy only, then TLS 1.3. No CBC, no plain RSA. */
const ciphers = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':')

/**
 * Key exchange, hybrid post-quantum first. One list without preference groups: a client that sends a share for any of these gets its answer
 * at once. OpenSSL's own list would ask a client that supports the hybrid, but sent only X25519, for a second ClientHello: one round trip
 * and a second key generation more.
 */
const wantedGroups = 'X25519MLKEM768:X25519:P-256:P-384'

/** A server costs some tens of KiB; beyond this the least used are made anew when they are needed. */
const serversMax = 4_000

/**
 * How long a session of a site with client certificates may be resumed, seconds. Shorter than elsewhere: a resumed handshake looks at what
 * the first one verified.
 */
const mutualTicketSeconds = 3_600

/** A CA never resumes, so its tickets need no length of life. */
const protocols = { site: ['h2', 'http/1.1'], mutual: ['h2', 'http/1.1'], challenge: ['acme-tls/1'] }

/**
 * The TLS servers of the sites, made when they are first needed. A changed certificate has another id and therefore another server; the old
 * one serves the connections that it has.
 */
export class SiteServers {
  readonly #cache = createCache<string, SiteServer>(serversMax)
  readonly #tickets: SessionTickets
  readonly #prepare: (site: SiteServer) => void

  /** @param prepare - adds listeners to a new server */
  constructor(tickets: SessionTickets, prepare: (site: SiteServer) => void) {
    this.#tickets = tickets
    this.#prepare = prepare
  }

  /** The server of a certificate; with client authorities, the one that asks clients of this name for theirs. */
  site(serverName: string, certificate: SiteCertificate, clientCa: ClientCa | undefined): SiteServer {
    if (clientCa) return this.#mutual(serverName, certificate, clientCa)
    return this.#cache.get(certificate.id) ?? this.#make('site', certificate.id, serverName, certificate, undefined)
  }

  /** The server that shows a challenge's certificate (RFC 8737), and speaks nothing else. */
  challenge(serverName: string, certificate: SiteCertificate): SiteServer {
    const key = `challenge ${certificate.id}`
    return this.#cache.get(key) ?? this.#make('challenge', key, serverName, certificate, undefined)
  }

  rekey(): void {
    for (const site of this.#cache.values()) site.rekey()
  }

  #mutual(serverName: string, certificate: SiteCertificate, clientCa: ClientCa): SiteServer {
    const key = `mutual ${certificate.id} ${clientCa.id} ${serverName}`
    return this.#cache.get(key) ?? this.#make('mutual', key, serverName, certificate, clientCa)
  }

  #make(
    kind: SiteServer['kind'],
    key: string,
    serverName: string,
    certificate: SiteCertificate,
    clientCa: ClientCa | undefined,
  ): SiteServer {
    const ca = clientCa ? certificatesOf(serverName, clientCa) : []
    const server = createServer(kind, serverName, certificate, ca)
    const rekey = this.#tickets.install(server, ticketScope(kind, serverName, certificate, ca))
    const site: SiteServer = { server, kind, rekey }
    this.#prepare(site)
    this.#cache.set(key, site)
    return site
  }
}

function createServer(
  kind: SiteServer['kind'],
  serverName: string,
  { certificatePem, keyPem }: SiteCertificate,
  ca: string[],
): tls.Server {
  const mutual = kind === 'mutual'
  const options: TlsOptions = {
    ciphers,
    ecdhCurve: groups(),
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.3',
    honorCipherOrder: true,
    // Renegotiation would let a connection change after we have judged it, and HTTP/2 forbids it. A client that puts ChaCha20 first has no
    // AES in hardware.
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION | (constants.SSL_OP_PRIORITIZE_CHACHA ?? 0),
    ALPNProtocols: protocols[kind],
    // Equal in all processes, since its default would differ; other than a plain site's where clients show certificates.
    sessionIdContext: mutual ? 'lastmile-gateway-mutual' : 'lastmile-gateway',
    sessionTimeout: mutual ? mutualTicketSeconds : ticketLifeMs / 1_000,
    // Given even when empty: else all root authorities of the system are attached, and searched for a chain.
    ca,
    requestCert: mutual,
    rejectUnauthorized: mutual,
  }
  try {
    return tls.createServer({ ...options, cert: certificatePem, key: keyPem })
  } catch (cause) {
    throw new UnusableCertificateError(serverName, { cause })
  }
}

/**
 * Within which tickets resume: one certificate (RFC 8446 §4.6.1 wants it valid for both names), and with client certificates also one name
 * and one set of authorities. From the content, so that it is the same in all processes and instances.
 */
function ticketScope(kind: string, serverName: string, { certificatePem }: SiteCertificate, ca: string[]): string {
  const hash = createHash('sha256').update(certificatePem)
  if (kind === 'mutual') hash.update(`\0${serverName}\0${ca.join('')}`)
  return `${kind} ${hash.digest('hex')}`
}

/** Node passes over what it cannot read, which would leave a site that refuses everybody and does not say why. */
function certificatesOf(serverName: string, { pem }: ClientCa): string[] {
  const found = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  try {
    for (const one of found) new X509Certificate(one)
  } catch (cause) {
    throw new UnusableClientCaError(serverName, { cause })
  }
  if (found.length === 0) throw new UnusableClientCaError(serverName)
  return found
}

let knownGroups: string | undefined

/** A Node that is built on an older OpenSSL does not know the hybrid group, and gets that library's own list. */
function groups(): string {
  if (knownGroups !== undefined) return knownGroups
  try {
    tls.createSecureContext({ ecdhCurve: wantedGroups, ca: [] })
    knownGroups = wantedGroups
  } catch {
    knownGroups = 'auto'
  }
  return knownGroups
}
