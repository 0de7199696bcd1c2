import fastify from 'fastify'
import type { Clock } from '../../core/clock.ts'
import type { Metrics } from '../../core/metrics.ts'
import type { GatewayConfig } from '../config.ts'
import { gatewayStatus } from '../fleet/gateway-status.ts'
import type { Workers } from '../fleet/workers.ts'
import type { CertificateSource } from '../ports.ts'

export interface AdminPorts {
  metrics: Metrics
  workers: Workers
  certificates: CertificateSource
  clock: Clock
}

/**
 * The admin server: metrics, health, status of the gateway as a whole. Shows names of sites and hosts, which are public; nothing of
 * requesters is known here. Answers in bounded time also while a worker hangs, and says which.
 */
export async function startAdminServer(
  config: GatewayConfig['admin'],
  { metrics, workers, certificates, clock }: AdminPorts,
): Promise<AsyncDisposable & { port: number }> {
  const app = fastify({ logger: false, forceCloseConnections: true, bodyLimit: 65_536 })
  const startedMs = clock.monotonicMs()
  app.get('/metrics', async (_request, reply) =>
    reply.type(metrics.contentType).send(await metrics.text(await workers.metrics())),
  )
  app.get('/healthz', async (_request, reply) =>
    workers.serving ? { status: 'ok' } : reply.code(503).send({ status: 'draining' }),
  )
  app.get('/api/v0/status', async () =>
    gatewayStatus(await workers.reports(), {
      uptimeSeconds: Math.round((clock.monotonicMs() - startedMs) / 1_000),
      draining: !workers.serving,
      certificates,
      nowMs: clock.nowMs(),
    }),
  )
  await app.listen({ host: config.host, port: config.port })
  const address = app.server.address()
  return {
    port: typeof address === 'object' && address ? address.port : config.port,
    [Symbol.asyncDispose]: () => app.close(),
  }
}
