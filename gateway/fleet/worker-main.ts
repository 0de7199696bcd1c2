/** The program of a worker process: the data plane, with every port answered by the primary. Forked by `worker-process.ts`. */
import { systemClock } from '../../core/clock.ts'
import { createMetrics } from '../../core/metrics.ts'
import { systemRandom } from '../../core/random.ts'
import type { GatewayConfig } from '../config.ts'
import { type RunningWorker, startWorker } from '../worker.ts'
import { IpcPeer } from './ipc.ts'
import type { PrimaryCalls, WorkerCalls } from './process-calls.ts'
import { processPort } from './process-port.ts'
import { type RemotePorts, remoteLog, remotePorts } from './remote-ports.ts'
import { watchWorker } from './worker-status.ts'

/** After a drain without a primary: time for what still holds the process, then it ends. */
const lastMs = 1_000

let config: GatewayConfig | undefined
let ports: RemotePorts | undefined
let worker: RunningWorker | undefined
let watch: ReturnType<typeof watchWorker> | undefined
let drained: Promise<void> | undefined
const metrics = createMetrics({ defaults: true })

const calls: WorkerCalls = {
  async start(start) {
    config = start.config
    ports = remotePorts(primary, start)
    const [clock, random, log] = [systemClock, systemRandom, remoteLog(primary)]
    worker = await startWorker(config, { ...ports, clock, random, log, metrics })
    watch = watchWorker(worker, clock)
    return { httpPort: worker.httpPort, httpsPort: worker.httpsPort }
  },
  async reconfigure(next) {
    config = next
    worker?.reconfigure(next)
  },
  metrics: () => metrics.snapshot(),
  status() {
    if (!watch) throw new Error('the worker does not serve yet')
    return watch.status()
  },
  async drain(drainMs) {
    await drain(drainMs)
    return metrics.snapshot()
  },
  ticketKeys: (keys) => ports?.ticketKeys.set(keys),
  certificateChanged: (serverName) => ports?.certificates.changed(serverName),
}

const primary = new IpcPeer<PrimaryCalls>(processPort(process), calls)

function drain(drainMs: number): Promise<void> {
  if (config && worker) {
    worker.reconfigure({ ...config, timeouts: { ...config.timeouts, drainMs } })
    drained ??= Promise.resolve(worker[Symbol.asyncDispose]())
  }
  return drained ?? Promise.resolve()
}

// Ctrl-C and a service manager signal the whole group of processes. When this one stops is for the primary to say.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})

// The primary is done with this worker, or it is gone: on a shared port an orphan would go on taking connections.
process.on('disconnect', () => {
  const drainMs = config?.timeouts.drainMs ?? 0
  setTimeout(() => process.exit(1), drainMs + lastMs)
  void drain(drainMs).then(
    () => process.exit(0),
    () => process.exit(1),
  )
})
process.title = 'lastmile gateway worker'
