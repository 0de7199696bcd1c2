import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Clock, systemClock } from '../../core/clock.ts'
import { onDispose } from '../../core/lifecycle.ts'
import { silentLog } from '../../core/log.ts'
import { createMetrics } from '../../core/metrics.ts'
import { systemRandom } from '../../core/random.ts'
import type { CrnConfigInput } from './config.ts'
import { type Crn, startCrn } from './crn.ts'
import { fakeHypervisor } from './hypervisor/fake.ts'
import type { Hypervisor } from './ports.ts'
import { createTableNetwork, type TableNetwork } from './table-network.ts'

export interface TestHost extends AsyncDisposable {
  crn: Crn
  network: TableNetwork
  stateDir: string
  /** The URL of a program's path. */
  at(itemHash: string, path?: string): string
}

const guestDir = join(import.meta.dirname, '../../.lastmile/guest')
/** Unpacked once for all tests of a run. */
const treesDir = join(tmpdir(), `lastmile-trees-${process.pid}`)
process.on('exit', () => rmSync(treesDir, { recursive: true, force: true }))

/** A compute host over the fake hypervisor, on a free port, in a folder of its own. */
export async function startTestHost(
  config: Partial<CrnConfigInput> = {},
  options: { clock?: Clock; hypervisor?: (vmsDir: string) => Hypervisor } = {},
): Promise<TestHost> {
  await using stack = new AsyncDisposableStack()
  const stateDir = mkdtempSync(join(tmpdir(), 'lastmile-crn-'))
  stack.use(onDispose(() => rmSync(stateDir, { recursive: true, force: true })))
  const network = createTableNetwork()
  const make = options.hypervisor ?? ((vmsDir: string) => fakeHypervisor({ guestDir, vmsDir, treesDir }))
  const hypervisor = make(join(stateDir, 'vms'))
  const crn = stack.use(
    await startCrn(
      { listen: { port: 0 }, stateDir, guestDir, pool: { python: 1, node: 0 }, ...config },
      {
        hypervisor,
        network,
        clock: options.clock ?? systemClock,
        random: systemRandom,
        log: silentLog,
        metrics: createMetrics(),
      },
    ),
  )
  const running = stack.move()
  return {
    crn,
    network,
    stateDir,
    at: (itemHash, path = '/') => `${crn.url}/vm/${itemHash}${path}`,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}
