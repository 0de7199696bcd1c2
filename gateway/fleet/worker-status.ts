import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Clock } from '../../core/clock.ts'
import type { Resolution } from '../ports.ts'
import type { RunningWorker } from '../worker.ts'

/** What one worker tells of itself. Names of sites and hosts are public; nothing of requesters is in it. Plain data. */
export interface WorkerStatus {
  pid: number
  uptimeSeconds: number
  rssBytes: number
  /** The longest time that the event loop was late since this was asked last. */
  eventLoopLagMs: number
  connections: number
  requestsInFlight: number
  draining: boolean
  sitesKnown: number
  /** At most `sitesMax`, most recently used first. */
  sites: SiteStatus[]
  hosts: HostStatus[]
}

export interface SiteStatus {
  host: string
  via: Resolution['via']
  target: Resolution['target']
  expiresInSeconds: number
}

export interface HostStatus {
  id: string
  origin: string
  up: boolean
  inFlight: number
  firstByteMs: number | undefined
  failuresInRow: number
}

/** Sites told by one worker: a status is for people, and crosses a process boundary. */
const sitesMax = 1_000
const lagResolutionMs = 50

/** Watches a worker of this process. Disposing ends the measurement of the event loop. */
export function watchWorker(worker: RunningWorker, clock: Clock): Disposable & { status(): WorkerStatus } {
  const startedMs = clock.monotonicMs()
  const lag = monitorEventLoopDelay({ resolution: lagResolutionMs })
  lag.enable()
  const status = (): WorkerStatus => {
    const sites = worker.routes.snapshot()
    const eventLoopLagMs = lagOf(lag.max)
    lag.reset()
    return {
      pid: process.pid,
      uptimeSeconds: Math.round((clock.monotonicMs() - startedMs) / 1_000),
      rssBytes: process.memoryUsage.rss(),
      eventLoopLagMs,
      connections: worker.drain.connections,
      requestsInFlight: worker.drain.open,
      draining: worker.drain.draining,
      sitesKnown: sites.length,
      sites: sites.slice(0, sitesMax).map(({ host, resolution, expiresAtMs }) => ({
        host,
        via: resolution.via,
        target: resolution.target,
        expiresInSeconds: Math.round((expiresAtMs - clock.nowMs()) / 1_000),
      })),
      hosts: worker.health.all().map(({ id, origin, inFlight, latencyMs, ejected, failuresInRow }) => ({
        id,
        origin,
        up: !ejected,
        inFlight,
        firstByteMs: latencyMs === undefined ? undefined : Math.round(latencyMs * 10) / 10,
        failuresInRow,
      })),
    }
  }
  return { status, [Symbol.dispose]: () => void lag.disable() }
}

/** The runtime measures from one look to the next, so a punctual loop shows the resolution itself. */
function lagOf(nanoseconds: number): number {
  return Math.max(0, Math.round(nanoseconds / 1e6 - lagResolutionMs))
}
