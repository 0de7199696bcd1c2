import fastify from 'fastify'
import type { Clock } from '../../core/clock.ts'
import type { Metrics } from '../../core/metrics.ts'
import type { HostHealth } from '../balance/host-health.ts'
import type { GatewayConfig } from '../config.ts'
import type { Drain } from '../listen/drain.ts'
import type { CertificateSource } from '../ports.ts'
import type { Routes } from '../route/routes.ts'

export interface AdminPorts {
  metrics: Metrics
  routes: Routes
  health: HostHealth
  drain: Drain
  certificates: CertificateSource
  clock: Clock
}

const sitesShownMax = 1_000

/** The admin server: metrics, health, status. Shows names of sites and hosts, which are public; nothing of requesters is known here. */
export async function startAdminServer(
  config: GatewayConfig['admin'],
  ports: AdminPorts,
): Promise<AsyncDisposable & { port: number }> {
  const app = fastify({ logger: false, forceCloseConnections: true, bodyLimit: 65_536 })
  const startedMs = ports.clock.nowMs()
  app.get('/metrics', async (_request, reply) => reply.type(ports.metrics.contentType).send(await ports.metrics.text()))
  app.get('/healthz', async (_request, reply) => {
    const { draining } = ports.drain
    return reply.code(draining ? 503 : 200).send({ status: draining ? 'draining' : 'ok' })
  })
  app.get('/api/v0/status', async () => status(startedMs, ports))
  await app.listen({ host: config.host, port: config.port })
  const address = app.server.address()
  return {
    port: typeof address === 'object' && address ? address.port : config.port,
    [Symbol.asyncDispose]: () => app.close(),
  }
}

function status(startedMs: number, { routes, health, drain, certificates, clock }: AdminPorts): object {
  const sites = routes.snapshot()
  const nowMs = clock.nowMs()
  return {
    uptimeSeconds: Math.round((nowMs - startedMs) / 1_000),
    requestsInFlight: drain.open,
    draining: drain.draining,
    sitesKnown: sites.length,
    sites: sites.slice(0, sitesShownMax).map(({ host, resolution, expiresAtMs }) => ({
      host,
      via: resolution.via,
      target: resolution.target,
      expiresInSeconds: Math.round((expiresAtMs - nowMs) / 1_000),
      certificate: certificateOf(host, certificates, nowMs),
    })),
    hosts: health.all().map(({ id, origin, inFlight, latencyMs, ejected, failuresInRow }) => ({
      id,
      origin,
      up: !ejected,
      inFlight,
      firstByteMs: latencyMs === undefined ? undefined : Math.round(latencyMs * 10) / 10,
      failuresInRow,
    })),
  }
}

function certificateOf(host: string, certificates: CertificateSource, nowMs: number): object | undefined {
  const certificate = certificates.find(host)
  return certificate && { id: certificate.id, expiresInDays: Math.floor((certificate.notAfterMs - nowMs) / 86_400_000) }
}
