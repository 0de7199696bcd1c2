import type { Clock } from '../../../core/clock.ts'
import { CertificateWaitError, OverloadedError } from '../../errors.ts'
import type { GatewayMetrics } from '../../metrics.ts'
import type { CertificateSource, SiteCertificate } from '../../ports.ts'
import type { Settings } from '../listen-context.ts'

export interface CertificateWaitPorts {
  certificates: CertificateSource
  /** Throws when the name leads nowhere, so that a handshake for it orders nothing. */
  checkName(serverName: string): Promise<void>
  clock: Clock
  metrics: GatewayMetrics
}

/** The wait of handshakes for certificates that are not there yet: at most `handshakesWaitingMax` of them, each for `certificateWaitMs`. */
export class CertificateWait {
  readonly #settings: Settings
  readonly #ports: CertificateWaitPorts
  #waiting = 0

  constructor(settings: Settings, ports: CertificateWaitPorts) {
    this.#settings = settings
    this.#ports = ports
  }

  /** Gets a certificate from another process or by an order. @throws AppError when there is none */
  async obtain(serverName: string): Promise<SiteCertificate> {
    const { limits, timeouts } = this.#settings.config
    if (this.#waiting >= limits.handshakesWaitingMax)
      throw new OverloadedError('handshakes', limits.handshakesWaitingMax)
    const { clock, metrics } = this.#ports
    const startedMs = clock.monotonicMs()
    const late = new CertificateWaitError(serverName, timeouts.certificateWaitMs)
    const abort = new AbortController()
    using _timer = clock.schedule(timeouts.certificateWaitMs, () => abort.abort(late))
    const tooLate = new Promise<never>((_, reject) => abort.signal.addEventListener('abort', () => reject(late)))
    let outcome = 'refused'
    this.#waiting++
    try {
      const certificate = await Promise.race([this.#ask(serverName, abort.signal), tooLate])
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

  async #ask(serverName: string, signal: AbortSignal): Promise<SiteCertificate> {
    const { certificates, checkName, clock } = this.#ports
    const loaded = await certificates.load?.(serverName, signal)
    if (loaded && loaded.notAfterMs > clock.nowMs()) return loaded
    await checkName(serverName)
    return certificates.obtain(serverName, signal)
  }
}
