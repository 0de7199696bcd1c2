/**
 * The gateway as a program of its own over a fixed name table and fixed hosts. Usage: gateway-program.ts SETUP-JSON
 * SIGHUP reloads: another configuration, and a new table of names in which every site is a new object.
 */
import { readFileSync } from 'node:fs'
import { systemClock } from '../../core/clock.ts'
import { AppError } from '../../core/errors.ts'
import { runUntilStopped } from '../../core/lifecycle.ts'
import { stderrLog } from '../../core/log.ts'
import { createMetrics } from '../../core/metrics.ts'
import { systemRandom } from '../../core/random.ts'
import { type GatewayConfig, gatewayConfigSchema } from '../../gateway/config.ts'
import { type GatewayPorts, type RunningGateway, startGateway } from '../../gateway/gateway.ts'
import type { Resolution, SiteCertificate } from '../../gateway/ports.ts'
import { programHash, siteName } from './content.ts'

/** The one argument, as JSON. */
export interface GatewaySetup {
  httpPort: number
  httpsPort: number
  adminPort: number
  /** Origins of the hosts that run the program. */
  origins: string[]
  certificateFile: string
  keyFile: string
  /** How long a name is believed before it is asked for again. */
  nameTtlMs: number
}

/** One client address sends all the load, which in the world would be an attack: these limits are lifted, not switched off. */
const liftedLimits = { connectionsMax: 20_000 }
const most = 10_000_000
const liftedClients = {
  connectionsPerAddressMax: most,
  handshakesPerSecond: most,
  handshakesBurst: most,
  requestsPerSecond: most,
  requestsBurst: most,
}

class NoSuchNameError extends AppError {
  readonly code = 'BENCH_NO_SUCH_NAME'
  readonly fault = 'caller'
  override readonly status = 404
}

const setup = JSON.parse(process.argv[2] as string) as GatewaySetup
/** @param reloads - how often the configuration was reloaded; every time something in it differs */
const configAfter = (reloads: number): GatewayConfig =>
  gatewayConfigSchema.parse({
    zone: 'zone.test',
    workers: 1,
    publicHttpsPort: setup.httpsPort,
    listen: { host: '127.0.0.1', httpPort: setup.httpPort, httpsPort: setup.httpsPort, plainSites: true },
    admin: { host: '127.0.0.1', port: setup.adminPort },
    limits: liftedLimits,
    clients: liftedClients,
    timeouts: { keepAliveMs: 65_000 + reloads, drainMs: 500 },
  })

let names = nameTable()
let gateway: RunningGateway | undefined
let reloads = 0

/** A refusal ends the program, and shows in what its clients get. */
async function reload(): Promise<void> {
  names = nameTable()
  await gateway?.reload(configAfter(++reloads))
}

function nameTable(): Map<string, Resolution> {
  const target = { kind: 'program', itemHash: programHash } as const
  return new Map([[siteName, { target, via: 'dns', ttlMs: setup.nameTtlMs }]])
}

const certificate: SiteCertificate = {
  id: 'bench',
  certificatePem: readFileSync(setup.certificateFile, 'utf8'),
  keyPem: readFileSync(setup.keyFile, 'utf8'),
  notAfterMs: Date.now() + 86_000_000,
}
const unknown = (host: string): never => {
  throw new NoSuchNameError(`The name "${host}" is not part of the benchmark.`, { hint: `Use ${siteName}.` })
}
const ports: GatewayPorts = {
  names: { resolve: async (host) => names.get(host) ?? unknown(host) },
  certificates: {
    find: (host) => (host === siteName ? certificate : undefined),
    obtain: async (host) => unknown(host),
    httpChallenge: () => undefined,
    alpnChallenge: () => undefined,
  },
  hosts: {
    hosts: async () => setup.origins.map((origin, at) => ({ id: `host-${at}`, origin, uptime: 1, running: true })),
  },
  blocks: { block: async (cid) => unknown(cid) },
  clock: systemClock,
  random: systemRandom,
  log: stderrLog('warn', 'text'),
  metrics: createMetrics(),
}

process.on('SIGHUP', () => void reload())
await runUntilStopped(async () => {
  gateway = await startGateway(configAfter(0), ports)
  return gateway
})
