import { setTimeout as sleep } from 'node:timers/promises'
import { AppError, describeError } from '../../core/errors.ts'
import { keepTotals, type MetricsSnapshot } from '../../core/metrics.ts'
import type { GatewayConfig } from '../config.ts'
import type { WorkerPorts } from '../worker.ts'
import { claimPort } from './claim-ports.ts'
import type { WorkerReport } from './gateway-status.ts'
import { type FleetMetrics, fleetMetrics } from './metrics.ts'
import { type DeathRecord, restartPauseMs } from './restart-pause.ts'
import { WorkerProcess } from './worker-process.ts'
import type { Workers } from './workers.ts'

/** A worker that was replaced may finish long answers: nobody waits for it. */
const recycleDrainMs = 600_000

/**
 * Starts `count` worker processes that listen on the same ports, and keeps that many from then on. Resolves when all of them serve.
 * @throws Error with code EADDRINUSE or EACCES when a port cannot be bound, WorkerStartError
 */
export async function startFleet(config: GatewayConfig, count: number, ports: WorkerPorts): Promise<Workers> {
  const { host, httpPort, httpsPort } = config.listen
  for (const port of [httpPort, httpsPort]) if (port !== 0) await claimPort(host, port)
  const fleet = new Fleet(config, count, ports)
  try {
    await fleet.start()
  } catch (error) {
    await fleet[Symbol.asyncDispose]()
    throw error
  }
  return fleet
}

class Fleet implements Workers {
  httpPort: number
  httpsPort: number
  #config: GatewayConfig
  readonly #ports: WorkerPorts
  readonly #metrics: FleetMetrics
  /** Who serves, by place. A place is empty while its worker is being replaced. */
  readonly #places: (WorkerProcess | undefined)[]
  readonly #deaths: DeathRecord[]
  /** Every process that has not ended: starting, serving, draining. */
  readonly #alive = new Set<WorkerProcess>()
  #kept: MetricsSnapshot = []
  readonly #stop = new AbortController()
  readonly #certificateChanges: Disposable | undefined
  /** Reloads and recycles, one after the other. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(config: GatewayConfig, count: number, ports: WorkerPorts) {
    this.#config = config
    this.#ports = ports
    this.#metrics = fleetMetrics(ports.metrics)
    this.#places = new Array(count).fill(undefined)
    this.#deaths = Array.from({ length: count }, () => ({ inRow: 0 }))
    this.httpPort = config.listen.httpPort
    this.httpsPort = config.listen.httpsPort
    ports.ticketKeys.onChange((keys) => {
      for (const worker of this.#alive) worker.calls.notify('ticketKeys', keys)
    })
    this.#certificateChanges = ports.certificates.onChange?.((name) => {
      for (const worker of this.#alive) worker.calls.notify('certificateChanged', name)
    })
  }

  /** The first worker alone: where the configuration leaves a port open, it takes one, and the others join it there. */
  async start(): Promise<void> {
    this.#seat(await this.#launch(0))
    await Promise.all(this.#places.slice(1).map(async (_, index) => this.#seat(await this.#launch(index + 1))))
  }

  get serving(): boolean {
    return !this.#stop.signal.aborted && this.#places.some((worker) => worker !== undefined)
  }

  async reports(): Promise<readonly WorkerReport[]> {
    const reports = await Promise.all([...this.#alive].map((worker) => worker.report()))
    return reports.sort((a, b) => a.index - b.index)
  }

  async metrics(): Promise<readonly MetricsSnapshot[]> {
    await Promise.all([...this.#alive].map((worker) => worker.readMetrics()))
    // Read together, without a pause between: a worker that ended meanwhile is either in the one or in the other.
    return [this.#kept, ...[...this.#alive].map(({ lastMetrics }) => lastMetrics)]
  }

  reconfigure(config: GatewayConfig): Promise<void> {
    return this.#inTurn(async () => {
      const before = this.#config
      this.#config = config
      try {
        await Promise.all(this.#serving().map((worker) => this.#reconfigureOne(worker)))
      } catch (error) {
        this.#config = before
        await Promise.allSettled(this.#serving().map((worker) => this.#reconfigureOne(worker)))
        throw error
      }
    })
  }

  async recycle(): Promise<void> {
    const before = this.#serving()
    await this.#inTurn(async () => {
      // One after the other: a machine that is full of connections has no room for twice as many processes.
      for (const worker of before) await this.#replace(worker, recycleDrainMs)
    })
    await Promise.all(before.map((worker) => worker.exited))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    this.#certificateChanges?.[Symbol.dispose]()
    const serving = new Set(this.#serving())
    await Promise.all(
      [...this.#alive].map((worker) => {
        if (!serving.has(worker) && !worker.draining) worker.kill()
        return worker.drain(this.#config.timeouts.drainMs)
      }),
    )
    this.#metrics.serving.set(0)
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work)
    this.#turn = turn.catch(() => {})
    return turn
  }

  #serving(): WorkerProcess[] {
    return this.#places.filter((worker) => worker !== undefined)
  }

  /** What a worker is told to serve by: the ports are settled, and shared. */
  #workerConfig(): GatewayConfig {
    const { httpPort, httpsPort } = this
    return { ...this.#config, listen: { ...this.#config.listen, httpPort, httpsPort, reusePort: true } }
  }

  /** Forks a worker and waits until it serves by the configuration that holds then. */
  async #launch(index: number): Promise<WorkerProcess> {
    this.#stop.signal.throwIfAborted()
    const { log, ticketKeys, domainReport } = this.#ports
    const startedMs = performance.now()
    const worker = new WorkerProcess(index, this.#ports, log)
    this.#alive.add(worker)
    void worker.exited.then((how) => this.#ended(worker, { ...how, livedMs: performance.now() - startedMs }))
    let config = this.#config
    const start = { config: this.#workerConfig(), ticketKeys: ticketKeys.current(), domainReport: !!domainReport }
    const { httpPort, httpsPort } = await worker.start(start)
    Object.assign(this, { httpPort, httpsPort })
    while (config !== this.#config) {
      config = this.#config
      await worker.reconfigure(this.#workerConfig())
    }
    return worker
  }

  /** Gives a worker its place. When somebody else has it by now, the newcomer is not needed. */
  #seat(worker: WorkerProcess): void {
    if (!this.#alive.has(worker)) return
    if (this.#places[worker.index] || this.#stop.signal.aborted) void worker.drain(0)
    else this.#places[worker.index] = worker
    this.#metrics.serving.set(this.#serving().length)
  }

  /** Starts another in the place of a worker, which then begins to drain; not if it has ended, since then that is done already. */
  async #replace(old: WorkerProcess, drainMs: number): Promise<void> {
    if (this.#places[old.index] !== old) return
    const fresh = await this.#launch(old.index)
    if (this.#places[old.index] === old) this.#places[old.index] = undefined
    this.#seat(fresh)
    void old.drain(drainMs)
  }

  async #reconfigureOne(worker: WorkerProcess): Promise<void> {
    try {
      await worker.reconfigure(this.#workerConfig())
    } catch (error) {
      if (error instanceof AppError && error.code === 'GATEWAY_PROCESS_GONE') return
      if (!(error instanceof DOMException)) throw error
      this.#ports.log.error('a worker hangs and is replaced', { worker: worker.index, pid: worker.pid })
      await this.#replace(worker, this.#config.timeouts.drainMs)
    }
  }

  #ended(worker: WorkerProcess, how: { code: number | null; signal: string | null; livedMs: number }): void {
    this.#alive.delete(worker)
    this.#kept = keepTotals(this.#kept, worker.lastMetrics)
    if (this.#places[worker.index] !== worker) return
    this.#places[worker.index] = undefined
    this.#metrics.serving.set(this.#serving().length)
    if (this.#stop.signal.aborted) return
    const exit = how.signal ?? how.code ?? 'unknown'
    this.#ports.log.error('a worker ended and is replaced', { worker: worker.index, pid: worker.pid, exit })
    void this.#refill(worker.index, how.livedMs)
  }

  async #refill(index: number, livedMs: number): Promise<void> {
    const { signal } = this.#stop
    const deaths = this.#deaths[index] as DeathRecord
    for (let pauseMs = restartPauseMs(deaths, livedMs); !signal.aborted; pauseMs = restartPauseMs(deaths, 0)) {
      try {
        await sleep(pauseMs, undefined, { signal })
        this.#metrics.restarts.add()
        return this.#seat(await this.#launch(index))
      } catch (error) {
        if (signal.aborted) return
        this.#ports.log.error(`a worker could not be replaced: ${describeError(error)}`, { worker: index })
      }
    }
  }
}
