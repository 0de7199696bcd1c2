import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FakeClock } from '../../core/clock.ts'
import type { LogLine } from '../../core/log.ts'
import { memoryLog } from '../../core/log.ts'
import { createMetrics, type Metrics } from '../../core/metrics.ts'
import { type Random, seededRandom } from '../../core/random.ts'
import { createHttp01 } from '../challenge/http-01.ts'
import { acmeConfigSchema } from '../config.ts'
import { type CertificateManager, startCertificateManager } from '../manager.ts'
import type { CertificateStore, ChallengeResponder, IssuancePolicy } from '../ports.ts'
import { createMemoryStore } from '../store/memory-store.ts'
import { type FakeCa, startFakeCa } from './fake-ca.ts'

/** A fake CA and managers beside it, on one fake clock. Everything stops with it. */
export interface TestIssuing extends AsyncDisposable {
  clock: FakeClock
  ca: FakeCa
  store: CertificateStore
  /** Starts a manager; several share the store, as the instances of a fleet do. Disposed with the rest unless before. */
  manager(options?: ManagerOptions): Promise<TestManager>
}

export interface ManagerOptions {
  config?: Record<string, unknown>
  store?: CertificateStore
  policy?: IssuancePolicy['check']
  responders?: readonly ChallengeResponder[]
  random?: Random
}

export type TestManager = CertificateManager & { lines: readonly LogLine[]; metrics: Metrics }

/** Starts the fake CA with an empty store in memory. */
export async function startTestIssuing(): Promise<TestIssuing> {
  const stack = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'lastmile-acme-'))
  stack.defer(() => rm(folder, { recursive: true, force: true }))
  const clock = new FakeClock()
  const ca = stack.use(await startFakeCa(clock, folder))
  const store = createMemoryStore({ clock })
  const start = async (options: ManagerOptions = {}): Promise<TestManager> => {
    const log = memoryLog()
    const metrics = createMetrics()
    const { directoryUrl, caFile } = ca
    const config = acmeConfigSchema.parse({ directoryUrl, caFile, termsOfServiceAgreed: true, ...options.config })
    const manager = await startCertificateManager(config, {
      store: options.store ?? store,
      responders: options.responders ?? [createHttp01()],
      policy: { check: options.policy ?? (async () => {}) },
      clock,
      random: options.random ?? seededRandom(1),
      log,
      metrics,
    })
    return Object.assign(manager, { lines: log.lines, metrics })
  }
  return {
    clock,
    ca,
    store,
    manager: async (options) => stack.use(await start(options)),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}
