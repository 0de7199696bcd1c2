import { type ChildProcess, fork } from 'node:child_process'
import { AppError, describeError } from '../../core/errors.ts'
import type { Log } from '../../core/log.ts'
import type { MetricsSnapshot } from '../../core/metrics.ts'
import type { GatewayConfig } from '../config.ts'
import { WorkerStartError } from './errors.ts'
import type { WorkerReport } from './gateway-status.ts'
import { IpcPeer } from './ipc.ts'
import type { WorkerCalls, WorkerStart } from './process-calls.ts'
import { processPort } from './process-port.ts'
import { type ServedPorts, servePorts } from './serve-ports.ts'

const program = new URL('./worker-main.ts', import.meta.url).pathname
/** A worker loads in a second; on a machine that is very busy it may take many. */
const startMs = 30_000
/** A worker that does not answer by then hangs; whoever asks how things stand should not have to wait longer. */
const answerMs = 2_000
/** A worker that has not taken a new configuration by then hangs. */
const reconfigureMs = 10_000
/** After the time to drain: for the last answers to go out and the process to end. */
const endMs = 2_000

/** One worker process, as the primary sees it: from the fork to its end. */
export class WorkerProcess {
  /** Place among the workers; see `WorkerReport`. */
  readonly index: number
  readonly pid: number
  readonly calls: IpcPeer<WorkerCalls>
  /** Settles when the process has ended. */
  readonly exited: Promise<{ code: number | null; signal: string | null }>
  readonly #child: ChildProcess
  #metrics: MetricsSnapshot = []
  #draining: Promise<void> | undefined
  #started = false
  #ended = false

  /** Forks the process. It serves once `start` has resolved. */
  constructor(index: number, ports: ServedPorts, log: Log) {
    this.index = index
    // Its standard output is not ours to give away: it belongs to the command that runs here.
    this.#child = fork(program, [], { serialization: 'advanced', stdio: ['ignore', 2, 2, 'ipc'] })
    this.pid = this.#child.pid ?? 0
    this.exited = new Promise((resolve) => {
      this.#child.once('exit', (code, signal) => resolve({ code, signal }))
      this.#child.once('error', (error) => {
        log.error(`a worker process cannot be run: ${describeError(error)}`)
        if (this.#child.pid === undefined) resolve({ code: null, signal: null })
      })
    })
    void this.exited.then(() => {
      this.#ended = true
    })
    this.calls = new IpcPeer(processPort(this.#child), servePorts(ports, log.child({ worker: index })))
  }

  get draining(): boolean {
    return this.#draining !== undefined
  }

  /** The values that its metrics had when they were asked last. */
  get lastMetrics(): MetricsSnapshot {
    return this.#metrics
  }

  /** @throws WorkerStartError; the error of the listeners (EADDRINUSE, EACCES) */
  async start(start: WorkerStart): Promise<{ httpPort: number; httpsPort: number }> {
    try {
      const ports = await this.calls.call('start', start, AbortSignal.timeout(startMs))
      this.#started = true
      return ports
    } catch (cause) {
      this.kill()
      const { code, signal } = await this.exited
      // What the listeners met is the operator's to read as it is: the port is taken, or not allowed.
      if (!(cause instanceof AppError) && typeof (cause as { code?: unknown }).code === 'string') throw cause
      throw new WorkerStartError(`did not start (exit ${signal ?? code})`, { cause })
    }
  }

  /** @throws what the worker throws; DOMException when it hangs */
  reconfigure(config: GatewayConfig): Promise<void> {
    return this.calls.call('reconfigure', config, AbortSignal.timeout(reconfigureMs))
  }

  /** Asks for its metrics. A worker that hangs keeps its last ones. */
  async readMetrics(): Promise<void> {
    try {
      this.#metrics = await this.calls.call('metrics', undefined, AbortSignal.timeout(answerMs))
    } catch {
      // Gone or silent; the status says so.
    }
  }

  async report(): Promise<WorkerReport> {
    const { index, pid } = this
    if (!this.#started) return { index, pid, state: 'starting' }
    try {
      const status = await this.calls.call('status', undefined, AbortSignal.timeout(answerMs))
      return { index, pid, state: this.draining ? 'draining' : 'serving', status }
    } catch {
      return { index, pid, state: 'silent' }
    }
  }

  /** Lets it finish what it does, for at most `drainMs`, and waits for its end; after that time it is killed. Also when called again. */
  drain(drainMs: number): Promise<void> {
    const killer = setTimeout(() => this.kill(), drainMs + endMs)
    const draining = this.calls.call('drain', drainMs).then(
      (metrics) => {
        this.#metrics = metrics
        if (this.#child.connected) this.#child.disconnect()
      },
      // It has gone by itself, or what it said cannot be used: then its time to drain runs out.
      () => {},
    )
    this.#draining ??= draining
    return draining.then(() => this.exited).then(() => clearTimeout(killer))
  }

  kill(): void {
    if (!this.#ended) this.#child.kill('SIGKILL')
  }
}
