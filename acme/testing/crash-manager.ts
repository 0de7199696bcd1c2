import { systemClock } from '../../core/clock.ts'
import { silentLog } from '../../core/log.ts'
import { createMetrics } from '../../core/metrics.ts'
import { systemRandom } from '../../core/random.ts'
import { createDns01 } from '../challenge/dns-01.ts'
import { acmeConfigSchema } from '../config.ts'
import { startCertificateManager } from '../manager.ts'
import { openDirectoryStore } from '../store/directory-store.ts'

// Run as a program by pebble.test.ts: orders a certificate and is gone by kill -9, at its challenge or once it has the certificate.
const { directoryUrl, caFile, storeDir, managementUrl, name, when } = JSON.parse(process.argv[2] as string) as Record<
  string,
  string
>
const die = (): never => {
  process.kill(process.pid, 'SIGKILL')
  throw new Error('unreachable')
}
const zone = {
  addTxt: async (host: string, value: string) => {
    await fetch(`${managementUrl}/set-txt`, { method: 'POST', body: JSON.stringify({ host: `${host}.`, value }) })
    if (when === 'challenge') die()
  },
  removeTxt: async () => {},
}
const store = await openDirectoryStore(storeDir as string)
const manager = await startCertificateManager(
  acmeConfigSchema.parse({ directoryUrl, caFile, termsOfServiceAgreed: true, pollMs: 20, lockHoldMs: 1_000 }),
  {
    store,
    responders: [createDns01(zone, { zones: [name as string] })],
    policy: { check: async () => {} },
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    metrics: createMetrics(),
  },
)
await manager.ensure([name as string])
die()
