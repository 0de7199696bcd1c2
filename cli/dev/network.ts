import { createHash, randomBytes } from 'node:crypto'
import { existsSync, globSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CID } from 'multiformats/cid'
import { type Pebble, startPebble } from '../../acme/pebble.ts'
import { type Clock, systemClock } from '../../core/clock.ts'
import { AppError } from '../../core/errors.ts'
import { freePort } from '../../core/free-port.ts'
import { type Log, silentLog } from '../../core/log.ts'
import { createMetrics } from '../../core/metrics.ts'
import { systemRandom } from '../../core/random.ts'
import { ethereumSigner, type Signer } from '../../node/protocol/signer.ts'
import { type EnsChain, startEnsChain } from './chain/ens-chain.ts'
import { type DevDns, startDevDns } from './dev-dns.ts'
import { createHostRegistry } from './host-registry.ts'
import { startRoleInProcess } from './role-in-process.ts'
import { type RoleOptions, type RoleProcess, startRoleProcess } from './role-process.ts'

/** The folder for the development network holds files of somebody else; it would be emptied. */
export class StateFolderTakenError extends AppError {
  readonly code = 'CLI_STATE_FOLDER_TAKEN'
  readonly fault = 'caller'
  constructor(stateDir: string) {
    super(`The folder ${stateDir} holds files that are not of a development network. Nothing was touched.`, {
      hint: 'Name an empty or a new folder with --state: a development network empties its folder at each start.',
    })
  }
}

export interface NetworkOptions {
  /** Everything the network writes goes here. Emptied first: a development network begins anew at each start. */
  stateDir: string
  /** `usual`: the well-known ports where they are free; `any`: free ones, so that several networks fit on a machine. */
  ports: 'usual' | 'any'
  /** Guests booted ahead on each host, for each runtime. */
  poolSize?: number
  /** Programs that a host runs at the same time. */
  vmsMax?: number
  /** Compute hosts. Default 2. */
  hostCount?: number
  /** Runs CCN, CRNs and gateway inside this process on this clock, for tests that move time. Default: processes of their own. */
  clock?: Clock
  log?: Log
  /** Told what is being started, and when it stands. */
  onProgress?: (step: string, state: 'starting' | 'ready') => void
}

export interface NetworkHost {
  /** Node hash in the host registry. */
  readonly id: string
  readonly url: string
  readonly role: RoleProcess
}

/** A whole network on loopback: chain with ENS, DNS, ACME CA, one CCN, two CRNs, the gateway. Disposing stops all of it. */
export interface Network extends AsyncDisposable {
  readonly stateDir: string
  /** The gateway's zone. */
  readonly zone: string
  /** The zone in which custom domains live. */
  readonly customZone: string
  readonly ccnUrl: string
  readonly ccn: RoleProcess
  readonly hosts: readonly NetworkHost[]
  readonly gateway: RoleProcess
  readonly gatewayPorts: { http: number; https: number; admin: number; dns: number }
  readonly metricsUrls: { gateway: string; ccn: string; crns: readonly string[] }
  readonly dns: { host: string; port: number }
  /** The records of `customZone`. */
  readonly records: Pick<DevDns, 'set'>
  readonly chain: EnsChain
  readonly acme: Pebble
  /** Root of the certificates, as PEM and as a file. */
  readonly rootPem: string
  readonly caFile: string
  /** Longest time for which an ENS answer is believed here. */
  readonly ensTtlMs: number
  /** Publishes new uptimes of the hosts, in their order, and waits until the gateway can know them. */
  setUptimes(uptimes: readonly number[]): Promise<void>
  /** Replaces one host's address in the registry; for trying a host that misbehaves. `undefined`: the real ones again. */
  setHostAddresses(addresses: readonly string[] | undefined): Promise<void>
  /** Resolves when every host has a booted guest of that runtime waiting. */
  poolsReady(runtime: 'python' | 'node'): Promise<void>
  /** Overwrites a block in the CCN's store with other bytes of the same length. */
  tamperBlock(cid: string): Promise<void>
}

const zone = 'gw.test'
const customZone = 'example.test'
/** ENS and host answers are believed for a short time, so that a change shows at once. */
const ensTtlMs = 2_000
const shortMs = 500

const root = new URL('../..', import.meta.url).pathname
/** Where deploy/setup puts the guest images and the contract artefacts. */
const guestDir = join(root, '.lastmile/guest')
const toolchainDir = join(root, '.lastmile/toolchain')

interface Ports {
  dns: number
  gatewayDns: number
  ccn: number
  crns: number[]
  http: number
  https: number
  admin: number
  chain: number
}

/** Starts the network; resolves when all of it serves and the pools have their first guests. */
export async function startNetwork(options: NetworkOptions): Promise<Network> {
  const log = options.log ?? silentLog
  const progress = options.onProgress ?? (() => {})
  const { stateDir, vmsMax = 12 } = options
  emptyStateDir(stateDir)
  const ports = await choosePorts(options.ports, options.hostCount ?? 2)
  const operator = ethereumSigner(randomBytes(32))
  const ccnUrl = `http://127.0.0.1:${ports.ccn}`
  const { clock } = options
  const startRole = clock ? (role: RoleOptions) => startRoleInProcess(role, clock) : startRoleProcess
  await using stack = new AsyncDisposableStack()
  const step = async <T extends AsyncDisposable>(name: string, start: Promise<T>): Promise<T> => {
    progress(name, 'starting')
    const started = stack.use(await start)
    progress(name, 'ready')
    return started
  }
  const role = (name: string, kind: string, config: Readonly<Record<string, unknown>>): Promise<RoleProcess> =>
    step(name, startRole({ name, role: kind, config, configFile: join(stateDir, `${name}.json`), log }))

  const dns = await step(
    'DNS',
    startDevDns(
      { zone: customZone, port: ports.dns, gatewayDnsPort: ports.gatewayDns },
      { clock: systemClock, random: systemRandom, log, metrics: createMetrics() },
    ),
  )
  const dnsServer = `127.0.0.1:${dns.port}`
  const [chain, acme, ccn] = await settleAll([
    step('chain with ENS', startEnsChain({ toolchainDir, port: ports.chain, log })),
    step(
      'ACME CA',
      startPebble({
        httpPort: ports.http,
        tlsPort: ports.https,
        dnsServer: `127.0.0.1:${dns.caPort}`,
        stateDir: join(stateDir, 'pebble'),
      }),
    ),
    role('ccn', 'ccn', ccnConfig(stateDir, ports.ccn)),
  ])
  const listed = ports.crns.map((port, index) => {
    const name = `crn-${index + 1}`
    return { name, port, id: createHash('sha256').update(name).digest('hex'), url: `http://127.0.0.1:${port}` }
  })
  const registry = createHostRegistry(ccnUrl, operator, listed)
  await registry.publish()
  const [gateway, ...hosts] = await settleAll([
    role('gateway', 'gateway', gatewayConfig({ stateDir, ports, ccnUrl, dnsServer, operator, chain, acme })),
    ...listed.map(async ({ name, port, id, url }): Promise<NetworkHost> => {
      const config = crnConfig(join(stateDir, name), port, ccnUrl, { ...options, vmsMax })
      return { id, url, role: await role(name, 'crn', config) }
    }),
  ] as const)
  const rootPem = await acme.root()
  const caFile = join(stateDir, 'ca.pem')
  writeFileSync(caFile, rootPem)
  const poolsReady = (runtime: string): Promise<void> => waitForPools(hosts, runtime)
  progress('guests booted ahead', 'starting')
  await Promise.all([poolsReady('python'), poolsReady('node')])
  progress('guests booted ahead', 'ready')
  const moved = stack.move()
  return {
    stateDir,
    zone,
    customZone,
    ccnUrl,
    ccn,
    hosts,
    gateway,
    gatewayPorts: { http: ports.http, https: ports.https, admin: ports.admin, dns: ports.gatewayDns },
    metricsUrls: {
      gateway: `http://127.0.0.1:${ports.admin}/metrics`,
      ccn: `${ccnUrl}/metrics`,
      crns: hosts.map(({ url }) => `${url}/metrics`),
    },
    dns: { host: '127.0.0.1', port: dns.port },
    records: dns,
    chain,
    acme,
    rootPem,
    caFile,
    ensTtlMs,
    setUptimes: registry.setUptimes,
    setHostAddresses: registry.setHostAddresses,
    poolsReady,
    tamperBlock: (cid) => tamperBlock(join(stateDir, 'ccn'), cid),
    [Symbol.asyncDispose]: () => moved.disposeAsync(),
  }
}

/** Tells that a folder was made by a development network, and may be emptied by the next one. */
const stateMark = 'LASTMILE-DEV-NETWORK'

/** Empties the folder, or makes it. Only a folder of ours, or an empty one: `--state` may name anything. @throws StateFolderTakenError */
function emptyStateDir(stateDir: string): void {
  const names = existsSync(stateDir) ? readdirSync(stateDir) : []
  if (names.length > 0 && !names.includes(stateMark)) throw new StateFolderTakenError(stateDir)
  rmSync(stateDir, { recursive: true, force: true })
  mkdirSync(stateDir, { recursive: true, mode: 0o755 })
  writeFileSync(join(stateDir, stateMark), 'Made by "lastmile dev", which empties this folder at each start.\n')
}

async function choosePorts(choice: NetworkOptions['ports'], hostCount: number): Promise<Ports> {
  const taken = new Set<number>()
  // One after the other, and never the same twice: a port is free again as soon as it was tried.
  const pick = async (usual: number): Promise<number> => {
    for (;;) {
      const port = await freePort(choice === 'usual' && !taken.has(usual) ? usual : 0)
      if (taken.has(port)) continue
      taken.add(port)
      return port
    }
  }
  const crns: number[] = []
  for (let index = 0; index < hostCount; index++) crns.push(await pick(4_030 + index))
  return {
    dns: await pick(5_300),
    gatewayDns: await pick(5_301),
    ccn: await pick(4_024),
    crns,
    http: await pick(8_080),
    https: await pick(8_443),
    admin: await pick(9_090),
    chain: await pick(8_545),
  }
}

function ccnConfig(stateDir: string, port: number): Record<string, unknown> {
  return { port, stateDir: join(stateDir, 'ccn') }
}

function crnConfig(stateDir: string, port: number, ccnUrl: string, options: NetworkOptions): Record<string, unknown> {
  return {
    listen: { port },
    stateDir,
    guestDir,
    domain: 'localhost',
    vmsMax: options.vmsMax,
    pool: { python: options.poolSize ?? 1, node: options.poolSize ?? 1 },
    // So that a sample that nobody asks any more makes room for the next.
    evictIdleMs: 2_000,
    network: { ccnUrls: [ccnUrl] },
  }
}

interface GatewayParts {
  stateDir: string
  ports: Ports
  ccnUrl: string
  dnsServer: string
  operator: Signer
  chain: EnsChain
  acme: Pebble
}

function gatewayConfig(parts: GatewayParts): Record<string, unknown> {
  const { ports, chain } = parts
  return {
    zone,
    stateDir: join(parts.stateDir, 'gateway'),
    publicAddresses: ['127.0.0.1'],
    publicHttpsPort: ports.https,
    listen: { host: '127.0.0.1', httpPort: ports.http, httpsPort: ports.https },
    admin: { port: ports.admin },
    nameServer: { port: ports.gatewayDns },
    resolver: {
      dns: { upstreams: [parts.dnsServer] },
      cache: { ttlMsMin: shortMs, negativeTtlMsMin: shortMs, negativeTtlMsMax: shortMs, failureTtlMsMin: shortMs },
      ens: {
        rpcUrl: chain.rpcUrl,
        chainId: chain.chainId,
        registry: chain.addresses.registry,
        universalResolver: chain.addresses.universalResolver,
      },
      targets: { ttlMsMin: shortMs, ensTtlMs },
    },
    acme: {
      directoryUrl: parts.acme.directoryUrl,
      caFile: parts.acme.caFile,
      termsOfServiceAgreed: true,
      lockHoldMs: 3_000,
    },
    network: {
      ccnUrls: [parts.ccnUrl],
      corechannelAddress: parts.operator.address,
      allowPrivateHosts: true,
      executionsPollMs: shortMs,
      hostsKeepMs: shortMs,
    },
  }
}

const poolTimeoutMs = 120_000

/** Asks each host how many booted guests wait. */
async function waitForPools(hosts: readonly NetworkHost[], runtime: string): Promise<void> {
  const endMs = performance.now() + poolTimeoutMs
  for (const { url, role } of hosts) {
    for (;;) {
      const capability = (await (await fetch(`${url}/about/capability`)).json()) as {
        pools?: Record<string, { ready: number }>
      }
      if ((capability.pools?.[runtime]?.ready ?? 0) > 0) break
      if (performance.now() > endMs)
        throw new Error(`${role.name} has no ${runtime} guest ready after ${poolTimeoutMs} ms`)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
}

/** Waits for all, also when one fails, so that nothing is started behind the back of a stop; then throws the first failure. */
async function settleAll<const T extends readonly Promise<unknown>[]>(
  work: T,
): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  const results = await Promise.allSettled(work)
  for (const result of results) if (result.status === 'rejected') throw result.reason
  return results.map((result) => (result as PromiseFulfilledResult<unknown>).value) as {
    -readonly [K in keyof T]: Awaited<T[K]>
  }
}

/** Finds the file that holds the block, whatever its folder, and flips the bits of its middle byte. */
async function tamperBlock(stateDir: string, cid: string): Promise<void> {
  const digest = Buffer.from(CID.parse(cid).multihash.digest).toString('hex')
  const path = globSync(`files/{blocks,files}/**/*${digest}*`, { cwd: stateDir }).map((name) => join(stateDir, name))[0]
  if (path === undefined) throw new Error(`the CCN keeps no file for the block ${cid}`)
  const bytes = readFileSync(path)
  const middle = bytes.length >> 1
  bytes[middle] = (bytes[middle] as number) ^ 0xff
  writeFileSync(path, bytes)
}
