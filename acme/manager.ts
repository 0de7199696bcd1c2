import type { Clock } from '../core/clock.ts'
import type { AppError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { Metrics } from '../core/metrics.ts'
import type { Random } from '../core/random.ts'
import type { AcmeConfig } from './config.ts'
import { Issuer } from './issue/issuer.ts'
import { Keeper } from './issue/keeper.ts'
import { openClient } from './issue/open-client.ts'
import { Records } from './issue/records.ts'
import type { CertificateStatus } from './issue/status.ts'
import { createAcmeMetrics } from './metrics.ts'
import type { CertificateStore, ChallengeResponder, IssuancePolicy, ServedCertificate } from './ports.ts'

/** What a manager works with. */
export interface ManagerPorts {
  store: CertificateStore
  /** In order of preference. */
  responders: readonly ChallengeResponder[]
  policy: IssuancePolicy
  clock: Clock
  random: Random
  log: Log
  metrics: Metrics
}

/** Certificates of one CA: kept, renewed, and obtained on demand. Satisfies the gateway's CertificateSource. */
export interface CertificateManager extends AsyncDisposable {
  /** A certificate that is valid now, from memory: the exact name first, then the wildcard. Never throws. */
  find(serverName: string): ServedCertificate | undefined
  /** @throws AppError that says why there is none; the signal's reason when the caller stops waiting (the order goes on) */
  obtain(serverName: string, signal: AbortSignal): Promise<ServedCertificate>
  httpChallenge(host: string, token: string): string | undefined
  alpnChallenge(serverName: string): ServedCertificate | undefined
  /**
   * Keeps one certificate over `names` (wildcards allowed) from now on: obtained now if the store has none, renewed before it ends.
   * Resolves with the first; when that fails it throws, and goes on trying behind.
   */
  ensure(names: readonly string[], signal?: AbortSignal): Promise<ServedCertificate>
  /** Why the last attempt at a certificate for this name failed, while that still stands. Never throws. */
  refusal(serverName: string): AppError | undefined
  /** All name sets with their state, the refused ones last. */
  status(): CertificateStatus[]
  /** Calls `listener` with each name (or wildcard) whose certificate changes or goes. It must not throw. Disposing ends it. */
  onChange(listener: (name: string) => void): Disposable
}

/**
 * Starts the manager: loads the store's certificates, resumes orders left behind, and renews from then on. Does not need the CA
 * to be up.
 * @throws StoreDownError when the store cannot be read
 */
export async function startCertificateManager(config: AcmeConfig, ports: ManagerPorts): Promise<CertificateManager> {
  const { clock } = ports
  const metrics = createAcmeMetrics(ports.metrics)
  const records = new Records(ports.store, config.directoryUrl)
  const stop = new AbortController()
  const opened = await openClient(config, { records, clock, metrics, signal: stop.signal })
  const issuer = new Issuer(config, { ...ports, client: opened.client, records, metrics })
  const keeper = new Keeper(config, { ...ports, issuer, records, client: opened.client, counts: metrics, stop })
  await keeper.load()
  return {
    find: (serverName) => keeper.find(serverName),
    obtain: (serverName, signal) => keeper.obtain(serverName, signal),
    httpChallenge: (host, token) => firstOf(ports.responders, (responder) => responder.httpChallenge?.(host, token)),
    alpnChallenge: (serverName) => firstOf(ports.responders, (responder) => responder.alpnChallenge?.(serverName)),
    ensure: (names, signal) => keeper.ensure(names, signal),
    refusal: (serverName) => keeper.refusal(serverName),
    status: () => keeper.status(),
    onChange: (listener) => keeper.onChange(listener),
    async [Symbol.asyncDispose]() {
      await keeper.close()
      opened[Symbol.dispose]()
    },
  }
}

function firstOf<T, R>(items: readonly T[], pick: (item: T) => R | undefined): R | undefined {
  for (const item of items) {
    const found = pick(item)
    if (found !== undefined) return found
  }
  return undefined
}
