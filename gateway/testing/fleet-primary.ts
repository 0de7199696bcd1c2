/** A gateway with two workers in a process of its own, for tests that kill it. Tells its parent what runs. */
import { startTestGateway } from './test-gateway.ts'

const gateway = await startTestGateway({ workers: 2, timeouts: { drainMs: 500 } } as never)
const status = await (await fetch(`http://127.0.0.1:${gateway.adminPort}/api/v0/status`)).json()
const pids = (status as { workers: { pid: number }[] }).workers.map(({ pid }) => pid)
process.send?.({ pids, httpPort: gateway.httpPort })
