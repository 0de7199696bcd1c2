import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls'
import type { Clock } from '../../core/clock.ts'
import type { GatewayConfig } from '../config.ts'
import { CertificateWaitError, OverloadedError, UnusableCertificateError } from '../errors.ts'
import type { GatewayMetrics } from '../metrics.ts'
import type { CertificateSource, SiteCertificate } from '../ports.ts'
import { createCache } from '../recent-cache.ts'

/** TLS 1.2 with authenticated encryption and forward secrecy only, then TLS 1.3. No CBC, no plain RSA. */
export const ciphers = [
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

/** A context costs some tens of KiB; beyond this the least used are rebuilt when they are needed. */
const contextsMax = 4_000

export interface SiteContextsPorts {
  certificates: CertificateSource
  /** Throws when the name leads nowhere, so that a handshake for it orders nothing. */
  checkName(serverName: string): Promise<void>
  clock: Clock
  metrics: GatewayMetrics
}

/** The TLS contexts of the sites, one per certificate, and the wait for certificates that do not exist yet. */
export class SiteContexts {
  readonly #config: GatewayConfig
  readonly #ports: SiteContextsPorts
  readonly #shared: SecureContextOptions
  readonly #contexts = createCache<string, SecureContext>(contextsMax)
  #waiting = 0

  /** @param shared - options that must be equal in every context, or session tickets do not resume */
  constructor(config: GatewayConfig, ports: SiteContextsPorts, shared: SecureContextOptions) {
    this.#config = config
    this.#ports = ports
    this.#shared = shared
  }

  /** The context for a name, at once or after an order. @throws AppError when there is none */
  async find(serverName: string): Promise<SecureContext> {
    const ready = this.#ready(serverName)
    return ready ? this.#contextOf(serverName, ready) : this.#contextOf(serverName, await this.#wait(serverName))
  }

  /** The context that answers a TLS-ALPN-01 challenge, or undefined. */
  challenge(serverName: string): SecureContext | undefined {
    const certificate = this.#ports.certificates.alpnChallenge(serverName)
    return certificate && this.#contextOf(serverName, certificate)
  }

  #ready(serverName: string): SiteCertificate | undefined {
    const certificate = this.#ports.certificates.find(serverName)
    return certificate && certificate.notAfterMs > this.#ports.clock.nowMs() ? certificate : undefined
  }

  async #wait(serverName: string): Promise<SiteCertificate> {
    const { handshakesWaitingMax } = this.#config.limits
    if (this.#waiting >= handshakesWaitingMax) throw new OverloadedError('handshakes', handshakesWaitingMax)
    const { clock, metrics } = this.#ports
    const { certificateWaitMs } = this.#config.timeouts
    const startedMs = clock.monotonicMs()
    const late = new CertificateWaitError(serverName, certificateWaitMs)
    const abort = new AbortController()
    using _timer = clock.schedule(certificateWaitMs, () => abort.abort(late))
    const tooLate = new Promise<never>((_, reject) => abort.signal.addEventListener('abort', () => reject(late)))
    let outcome = 'refused'
    this.#waiting++
    try {
      const certificate = await Promise.race([this.#obtain(serverName, abort.signal), tooLate])
      outcome = 'obtained'
      return certificate
    } catch (error) {
      if (error === late) outcome = 'late'
      throw error
    } finally {
      this.#waiting--
      metrics.certificateWaitSeconds.observe((clock.monotonicMs() - startedMs) / 1_000, { outcome })
    }
  }

  async #obtain(serverName: string, signal: AbortSignal): Promise<SiteCertificate> {
    await this.#ports.checkName(serverName)
    return this.#ports.certificates.obtain(serverName, signal)
  }

  #contextOf(serverName: string, { id, certificatePem, keyPem }: SiteCertificate): SecureContext {
    const known = this.#contexts.get(id)
    if (known) return known
    try {
      const context = createSecureContext({ ...this.#shared, cert: certificatePem, key: keyPem })
      this.#contexts.set(id, context)
      return context
    } catch (cause) {
      throw new UnusableCertificateError(serverName, { cause })
    }
  }
}
