import { timingSafeEqual } from 'node:crypto'
import { statfs } from 'node:fs/promises'
import type { RequestListener, Server } from 'node:http'
import os from 'node:os'
import fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import { toProblem } from '../../../core/errors.ts'
import type { Metrics } from '../../../core/metrics.ts'
import type { CrnConfig } from '../config.ts'
import { NotHereError, NotOperatorError } from '../errors.ts'
import type { Execution, Executions } from '../executions.ts'
import type { GuestPool } from '../pool.ts'
import { serverHeader } from './problem.ts'

export interface ApiPorts {
  config: CrnConfig
  executions: Executions
  pool: GuestPool
  metrics: Metrics
  hypervisor: { name: string; detail: string }
  /** Makes the server that fastify's listener is part of. */
  makeServer: (api: RequestListener) => Server
}

const version = '0.1.0'
/** What /about/capability says of a backend's wall between guest and host. */
const isolation: Record<string, string> = {
  uml: 'A guest kernel inside an unprivileged, jailed host process. No hardware isolation: a bug in that kernel yields that process.',
  fake: 'No guest kernel: an unprivileged, jailed host process. For development only.',
}

/** The API of a compute host as the network knows it, without the programs themselves (protocol reference 5.1). */
export function createApi(ports: ApiPorts): FastifyInstance {
  const { config, executions, pool } = ports
  const api = fastify({
    serverFactory: (handler) => ports.makeServer(handler as RequestListener),
    forceCloseConnections: true,
    bodyLimit: 65_536,
  }) as unknown as FastifyInstance
  api.addHook('onSend', async (_request, reply) => void reply.header('Server', serverHeader))
  api.setNotFoundHandler((_request, reply) =>
    sendError(reply, new NotHereError('There is nothing under this host and path.')),
  )
  api.setErrorHandler((error, _request, reply) => sendError(reply, error))

  // The network's scoring expects this refusal.
  api.get('/about/login', (_request, reply) => reply.code(401).send({ success: false }))
  api.get('/about/executions/list', async () => byHash(executions, listed))
  api.get('/v2/about/executions/list', async () => byHash(executions, listedV2))
  api.get('/about/usage/system', () => systemUsage(config.stateDir))
  api.get('/about/capability', async () => ({
    backend: ports.hypervisor.name,
    reason: ports.hypervisor.detail,
    isolation: isolation[ports.hypervisor.name] ?? '',
    interfaces: ['asgi', 'binary'],
    runtimes: ['python', 'node'],
    pools: {
      python: { ready: pool.ready('python'), wanted: config.pool.python },
      node: { ready: pool.ready('node'), wanted: config.pool.node },
    },
    vms: { running: executions.list().length, max: config.vmsMax },
  }))
  api.get('/status/config', async () => publicConfig(config))
  api.get('/healthz', async () => ({ status: 'ok' }))
  api.get('/metrics', async (_request, reply) => reply.type(ports.metrics.contentType).send(await ports.metrics.text()))
  api.get<{ Params: { ref: string } }>('/control/machine/:ref/logs', async (request, reply) => {
    if (!isOperator(request.headers.authorization, config.operatorToken)) throw new NotOperatorError()
    const text = executions.logs(request.params.ref)
    if (text === undefined) throw new NotHereError('This program has not run here since the host started.')
    return reply.type('text/plain; charset=utf-8').send(text)
  })
  return api
}

function sendError(reply: FastifyReply, error: unknown): FastifyReply {
  const problem = toProblem(error)
  return reply.code(problem.status).type('application/problem+json').send(JSON.stringify(problem))
}

function byHash<T>(executions: Executions, shape: (execution: Execution) => T): Record<string, T> {
  return Object.fromEntries(executions.list().map((execution) => [execution.itemHash, shape(execution)]))
}

const vmType = 'microvm'

function listed(): unknown {
  return { networking: { ipv4: null, ipv6: null }, vm_type: vmType, awaiting_confidential_init: false }
}

function listedV2(execution: Execution): unknown {
  const time = (ms: number): string => new Date(ms).toISOString()
  return {
    // Guests have no network of their own: requests reach them through this host only.
    networking: {
      ipv4_network: null,
      host_ipv4: null,
      ipv6_network: null,
      ipv6_ip: null,
      ipv4_ip: null,
      mapped_ports: {},
    },
    status: {
      defined_at: time(execution.definedAtMs),
      preparing_at: time(execution.definedAtMs),
      prepared_at: time(execution.startedAtMs),
      starting_at: time(execution.startedAtMs),
      started_at: time(execution.startedAtMs),
      stopping_at: null,
      stopped_at: null,
    },
    running: !execution.guest.isGone,
    awaiting_confidential_init: false,
    vm_type: vmType,
  }
}

async function systemUsage(folder: string): Promise<unknown> {
  const cpus = os.cpus()
  const disk = await statfs(folder)
  const [load1 = 0, load5 = 0, load15 = 0] = os.loadavg()
  const speeds = cpus.map((cpu) => cpu.speed)
  const kib = (bytes: number): number => Math.floor(bytes / 1_024)
  return {
    cpu: {
      count: cpus.length,
      load_average: { load1, load5, load15 },
      core_frequencies: { min: Math.min(...speeds), max: Math.max(...speeds) },
    },
    mem: { total_kB: kib(os.totalmem()), available_kB: kib(os.freemem()) },
    disk: { total_kB: kib(disk.blocks * disk.bsize), available_kB: kib(disk.bavail * disk.bsize) },
    period: { start_timestamp: new Date().toISOString(), duration_seconds: 60 },
    properties: { cpu: { architecture: os.arch() === 'x64' ? 'x86_64' : os.arch(), vendor: null, features: [] } },
    gpu: { devices: [], available_devices: [] },
    active: true,
  }
}

function publicConfig(config: CrnConfig): unknown {
  return {
    DOMAIN_NAME: config.domain,
    version,
    references: {
      NODE_HASH: config.nodeHash || null,
      OWNER_ADDRESS: config.ownerAddress || null,
      PAYMENT_RECEIVER_ADDRESS: null,
    },
    security: { USE_JAILER: true },
    networking: {},
    computing: { ENABLE_QEMU_SUPPORT: false, ENABLE_CONFIDENTIAL_COMPUTING: false, ENABLE_GPU_SUPPORT: false },
    debug: {},
  }
}

function isOperator(header: string | undefined, token: string): boolean {
  const given = Buffer.from(header ?? '')
  const wanted = Buffer.from(`Bearer ${token}`)
  return token !== '' && given.length === wanted.length && timingSafeEqual(given, wanted)
}
