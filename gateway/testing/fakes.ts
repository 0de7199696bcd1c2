import { AppError } from '../../core/errors.ts'
import type {
  BlockSource,
  CertificateSource,
  HostCandidate,
  HostSource,
  NameSource,
  Resolution,
  SiteCertificate,
  Target,
} from '../ports.ts'

/** A failure as another module would throw it. */
export class FakeError extends AppError {
  readonly code: string
  readonly fault
  override readonly status: number
  constructor(code: string, status: number, details?: unknown, message = `It failed with ${code}.`) {
    super(message, { hint: 'Write the record shown below.', details })
    this.code = code
    this.status = status
    this.fault = status < 500 ? ('caller' as const) : ('upstream' as const)
  }
}

/** Names from a table; counts lookups. A value that is an error is thrown. */
export class FakeNames implements NameSource {
  readonly table = new Map<string, Resolution | Error>()
  lookups = 0

  set(host: string, target: Target, options: Partial<Resolution> = {}): this {
    this.table.set(host, { target, via: 'dns', ttlMs: 60_000, ...options })
    return this
  }

  async resolve(host: string): Promise<Resolution> {
    this.lookups++
    const found = this.table.get(host)
    if (found instanceof Error) throw found
    if (!found) throw new FakeError('NAME_UNKNOWN', 404, undefined, `The name "${host}" is not served here.`)
    return found
  }
}

/** Certificates from a table of names; `onDemand` are handed out after `delayMs` when they are asked for. */
export class FakeCertificates implements CertificateSource {
  readonly ready = new Map<string, SiteCertificate>()
  readonly onDemand = new Map<string, SiteCertificate>()
  readonly challenges = new Map<string, string>()
  readonly alpn = new Map<string, SiteCertificate>()
  readonly refused = new Map<string, AppError>()
  obtained = 0
  delayMs = 30
  readonly #listeners = new Set<(serverName: string) => void>()

  find(serverName: string): SiteCertificate | undefined {
    return this.ready.get(serverName)
  }

  async obtain(serverName: string): Promise<SiteCertificate> {
    this.obtained++
    await new Promise((resolve) => setTimeout(resolve, this.delayMs))
    const found = this.onDemand.get(serverName)
    if (!found) throw new FakeError('CERT_REFUSED', 403)
    this.ready.set(serverName, found)
    return found
  }

  refusal(serverName: string): AppError | undefined {
    return this.refused.get(serverName)
  }

  onChange(listener: (serverName: string) => void): Disposable {
    this.#listeners.add(listener)
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) }
  }

  /** Sets another certificate for a name and tells whoever listens. */
  replace(serverName: string, certificate: SiteCertificate): void {
    this.ready.set(serverName, certificate)
    for (const listener of this.#listeners) listener(serverName)
  }

  httpChallenge(host: string, token: string): string | undefined {
    return this.challenges.get(`${host} ${token}`)
  }

  alpnChallenge(serverName: string): SiteCertificate | undefined {
    return this.alpn.get(serverName)
  }
}

/** The same hosts for every program, changeable while it runs. */
export class FakeHosts implements HostSource {
  list: HostCandidate[] = []

  add(id: string, origin: string, options: Partial<HostCandidate> = {}): this {
    this.list.push({ id, origin, uptime: 1, running: true, ...options })
    return this
  }

  async hosts(): Promise<readonly HostCandidate[]> {
    return this.list
  }
}

/** Blocks from a map by CID text. */
export class FakeBlocks implements BlockSource {
  readonly map = new Map<string, Uint8Array>()
  fetched = 0

  async block(cid: string): Promise<Uint8Array> {
    this.fetched++
    const block = this.map.get(cid)
    if (!block) throw new FakeError('BLOCK_NOT_FOUND', 404)
    return block
  }
}
