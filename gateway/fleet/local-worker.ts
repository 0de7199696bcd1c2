import type { GatewayConfig } from '../config.ts'
import { startWorker, type WorkerPorts } from '../worker.ts'
import { NoWorkersError } from './errors.ts'
import { watchWorker } from './worker-status.ts'
import type { Workers } from './workers.ts'

/** The data plane inside this process: for tests on a clock of their own, and for machines where a second process costs too much. */
export async function startLocalWorker(config: GatewayConfig, ports: WorkerPorts): Promise<Workers> {
  const worker = await startWorker(config, ports)
  const watch = watchWorker(worker, ports.clock)
  return {
    httpPort: worker.httpPort,
    httpsPort: worker.httpsPort,
    get serving() {
      return !worker.drain.draining
    },
    async reports() {
      const status = watch.status()
      return [{ index: 0, pid: status.pid, state: status.draining ? 'draining' : 'serving', status }]
    },
    metrics: async () => [],
    reconfigure: async (next) => worker.reconfigure(next),
    async recycle() {
      throw new NoWorkersError()
    },
    async [Symbol.asyncDispose]() {
      await worker[Symbol.asyncDispose]()
      watch[Symbol.dispose]()
    },
  }
}
