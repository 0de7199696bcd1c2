import type { CertificateSource } from '../ports.ts'
import type { HostStatus, SiteStatus, WorkerStatus } from './worker-status.ts'

/** How one worker stands: what it told, or that it told nothing in time. */
export interface WorkerReport {
  /** Place among the workers, from 0. A replacement has the place of the one it replaces. */
  index: number
  pid: number
  state: 'starting' | 'serving' | 'draining' | 'silent'
  /** Absent while it starts, and when it is silent. */
  status?: WorkerStatus
}

const sitesShownMax = 1_000

/** The status of the whole gateway, for `/api/v0/status`: sums and unions over all workers that answered. */
export function gatewayStatus(
  reports: readonly WorkerReport[],
  gateway: { uptimeSeconds: number; draining: boolean; certificates: CertificateSource; nowMs: number },
): object {
  const told = reports.flatMap(({ status }) => (status ? [status] : []))
  const sites = mergeSites(told)
  return {
    uptimeSeconds: gateway.uptimeSeconds,
    requestsInFlight: sum(told, (status) => status.requestsInFlight),
    connections: sum(told, (status) => status.connections),
    draining: gateway.draining,
    silentWorkers: reports.flatMap(({ state, pid }) => (state === 'silent' ? [pid] : [])),
    workers: reports.map(({ index, pid, state, status }) => ({
      index,
      pid,
      state,
      ...(status && {
        uptimeSeconds: status.uptimeSeconds,
        connections: status.connections,
        requestsInFlight: status.requestsInFlight,
        rssBytes: status.rssBytes,
        eventLoopLagMs: status.eventLoopLagMs,
      }),
    })),
    // Workers that know more sites than they tell count with all of them; then the largest number is the best that is known.
    sitesKnown: Math.max(sites.length, ...told.map((status) => status.sitesKnown)),
    sites: sites.slice(0, sitesShownMax).map((site) => ({
      ...site,
      certificate: certificateOf(site.host, gateway.certificates, gateway.nowMs),
    })),
    hosts: mergeHosts(told),
  }
}

/** Each site once, with the answer that is believed longest. */
function mergeSites(told: readonly WorkerStatus[]): SiteStatus[] {
  const byHost = new Map<string, SiteStatus>()
  for (const site of told.flatMap(({ sites }) => sites)) {
    const known = byHost.get(site.host)
    if (!known || known.expiresInSeconds < site.expiresInSeconds) byHost.set(site.host, site)
  }
  return [...byHost.values()]
}

/** Each host once. It is up while any worker uses it: each worker sees it for itself, and finds out by itself. */
function mergeHosts(told: readonly WorkerStatus[]): object[] {
  const byId = new Map<string, HostStatus[]>()
  for (const host of told.flatMap(({ hosts }) => hosts)) byId.set(host.id, [...(byId.get(host.id) ?? []), host])
  return [...byId.values()].map((views) => {
    const { id, origin } = views[0] as HostStatus
    const measured = views.flatMap(({ firstByteMs }) => (firstByteMs === undefined ? [] : [firstByteMs]))
    return {
      id,
      origin,
      up: views.some(({ up }) => up),
      workersWithout: views.filter(({ up }) => !up).length,
      inFlight: sum(views, ({ inFlight }) => inFlight),
      firstByteMs:
        measured.length === 0 ? undefined : Math.round((sum(measured, (ms) => ms) * 10) / measured.length) / 10,
      failuresInRow: Math.max(...views.map(({ failuresInRow }) => failuresInRow)),
    }
  })
}

function sum<T>(values: readonly T[], of: (value: T) => number): number {
  return values.reduce((total, value) => total + of(value), 0)
}

function certificateOf(host: string, certificates: CertificateSource, nowMs: number): object | undefined {
  const certificate = certificates.find(host)
  return certificate && { id: certificate.id, expiresInDays: Math.floor((certificate.notAfterMs - nowMs) / 86_400_000) }
}
