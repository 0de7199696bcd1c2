import type { AppError } from '../../core/errors.ts'
import type { CertificateSource, SiteCertificate } from '../ports.ts'
import { createCache } from '../recent-cache.ts'

/** The certificates of the primary, asked across processes. */
export interface RemoteCertificates {
  load(serverName: string, signal: AbortSignal): Promise<SiteCertificate | undefined>
  obtain(serverName: string, signal: AbortSignal): Promise<SiteCertificate>
  refusal(serverName: string): Promise<AppError | undefined>
  httpChallenge(host: string, token: string): Promise<string | undefined>
  alpnChallenge(serverName: string): Promise<SiteCertificate | undefined>
}

interface Copy {
  certificate: SiteCertificate
  /** False once the primary has told that the certificate changed: then it is asked again. */
  fresh: boolean
}

/** Names whose certificate is kept. A name is some 100 bytes: names of one certificate share it. */
const namesMax = 20_000
/** Certificates (4 KiB each) that names may share; as many as there are TLS contexts. */
const certificatesMax = 4_000

/**
 * Certificates at hand in a worker. What it has once got is found at once; what the primary tells to have changed is asked for again at
 * the next handshake, and until the answer comes nothing old is shown.
 */
export class CertificateMirror implements CertificateSource {
  readonly #remote: RemoteCertificates
  readonly #names = createCache<string, Copy>(namesMax)
  readonly #byId = createCache<string, SiteCertificate>(certificatesMax)
  readonly #listeners = new Set<(serverName: string) => void>()
  /** Grows with each change told, so that an answer that was on its way meanwhile is not kept as fresh. */
  #changes = 0

  constructor(remote: RemoteCertificates) {
    this.#remote = remote
  }

  find(serverName: string): SiteCertificate | undefined {
    const copy = this.#names.get(serverName)
    return copy?.fresh ? copy.certificate : undefined
  }

  async load(serverName: string, signal: AbortSignal): Promise<SiteCertificate | undefined> {
    const changes = this.#changes
    try {
      const certificate = await this.#remote.load(serverName, signal)
      if (certificate) return this.#keep(serverName, certificate, changes)
      this.#names.delete(serverName)
      return undefined
    } catch (error) {
      // The primary is busy or just gone: what was valid a moment ago still is, as far as its dates say.
      const copy = this.#names.peek(serverName)
      if (copy) return copy.certificate
      throw error
    }
  }

  async obtain(serverName: string, signal: AbortSignal): Promise<SiteCertificate> {
    const changes = this.#changes
    return this.#keep(serverName, await this.#remote.obtain(serverName, signal), changes)
  }

  refusal(serverName: string): Promise<AppError | undefined> {
    return this.#remote.refusal(serverName)
  }

  httpChallenge(host: string, token: string): Promise<string | undefined> {
    return this.#remote.httpChallenge(host, token)
  }

  alpnChallenge(serverName: string): Promise<SiteCertificate | undefined> {
    return this.#remote.alpnChallenge(serverName)
  }

  onChange(listener: (serverName: string) => void): Disposable {
    this.#listeners.add(listener)
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) }
  }

  /** The primary says that this name, or every name below `*.`, has another certificate now. */
  changed(serverName: string): void {
    this.#changes++
    const parent = serverName.startsWith('*.') ? serverName.slice(1) : undefined
    if (parent === undefined) this.#outdate(serverName)
    else for (const name of [...this.#names.keys()]) if (name.slice(name.indexOf('.')) === parent) this.#outdate(name)
    for (const listener of this.#listeners) listener(serverName)
  }

  #outdate(serverName: string): void {
    const copy = this.#names.peek(serverName)
    if (copy) copy.fresh = false
  }

  #keep(serverName: string, certificate: SiteCertificate, changes: number): SiteCertificate {
    const shared = this.#byId.get(certificate.id) ?? certificate
    this.#byId.set(shared.id, shared)
    this.#names.set(serverName, { certificate: shared, fresh: changes === this.#changes })
    return shared
  }
}
