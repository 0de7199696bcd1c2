import type { Clock } from '../../core/clock.ts'
import { createMetrics } from '../../core/metrics.ts'
import { systemRandom } from '../../core/random.ts'
import { parseShape } from '../../core/schema.ts'
import type { RunningRole } from '../roles/role.ts'
import { roles } from '../roles/roles.ts'
import type { RoleOptions, RoleProcess } from './role-process.ts'

/** A process of its own would have a clock of its own. */
const noWorkers = { workers: 0 }

/**
 * Starts a role inside this process, on a clock of the caller's: the same role with the same configuration, for tests that move time.
 * What it cannot show is a crash: `kill` stops it in order.
 */
export async function startRoleInProcess(options: RoleOptions, clock: Clock): Promise<RoleProcess> {
  const role = roles[options.role]
  if (!role) throw new Error(`there is no role ${options.role}`)
  let running: RunningRole | undefined
  const stop = async (): Promise<void> => {
    await running?.[Symbol.asyncDispose]()
    running = undefined
  }
  const start = async (change: Readonly<Record<string, unknown>> = {}): Promise<void> => {
    const given = { ...options.config, ...change, ...(options.role === 'gateway' ? noWorkers : {}) }
    const config = parseShape(role.schema, given, `configuration of ${options.name}`)
    const ports = { clock, random: systemRandom, log: options.log, metrics: createMetrics() }
    running = await role.start(config as never, ports)
  }
  await start()
  return { name: options.name, pid: process.pid, output: () => '', kill: stop, start, [Symbol.asyncDispose]: stop }
}
