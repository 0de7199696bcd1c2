import { systemClock } from '../../core/clock.ts'
import { memoryLog } from '../../core/log.ts'
import { createMetrics, type Metrics } from '../../core/metrics.ts'
import { seededRandom } from '../../core/random.ts'
import { type GatewayConfig, gatewayConfigSchema } from '../config.ts'
import { type GatewayPorts, type RunningGateway, startGateway } from '../gateway.ts'
import type { SiteCertificate } from '../ports.ts'
import { FakeBlocks, FakeCertificates, FakeHosts, FakeNames } from './fakes.ts'
import { selfSigned } from './self-signed.ts'

/** Hash of the program that `app.test` leads to. */
export const programHash = 'ab'.repeat(32)
export const zone = 'zone.test'

let certificate: SiteCertificate | undefined

/** One certificate for all names of the tests of a process: making one takes a while. */
export function testCertificate(): SiteCertificate {
  certificate ??= selfSigned(['*.test', '*.zone.test'])
  return certificate
}

export interface TestGateway extends RunningGateway {
  names: FakeNames
  certificates: FakeCertificates
  hosts: FakeHosts
  blocks: FakeBlocks
  metrics: Metrics
  log: ReturnType<typeof memoryLog>
  /** What it was started with. */
  config: GatewayConfig
}

/** A gateway on free loopback ports over fakes: `app.test` leads to a program, and has a certificate. `config` is merged over the defaults. */
export async function startTestGateway(
  config: Record<string, object> = {},
  ports: Partial<GatewayPorts> = {},
): Promise<TestGateway> {
  const names = new FakeNames().set('app.test', { kind: 'program', itemHash: programHash })
  const certificates = new FakeCertificates()
  for (const name of ['app.test', 'other.test', 'same.test', 'static.test', 'gone.test', zone])
    certificates.ready.set(name, testCertificate())
  const fakes = {
    names,
    certificates,
    hosts: new FakeHosts(),
    blocks: new FakeBlocks(),
    metrics: createMetrics(),
    log: memoryLog(),
  }
  const parsed = gatewayConfigSchema.parse({
    zone,
    publicHttpsPort: 0,
    // In this process, so that tests can reach into it; a fleet costs a second.
    workers: 0,
    ...config,
    listen: { ...config.listen, host: '127.0.0.1', httpPort: 0, httpsPort: 0 },
    admin: { host: '127.0.0.1', port: 0 },
    timeouts: { drainMs: 500, ...config.timeouts },
  })
  const gateway = await startGateway(parsed, { ...fakes, clock: systemClock, random: seededRandom(1), ...ports })
  return Object.assign(gateway, fakes, { config: parsed })
}
