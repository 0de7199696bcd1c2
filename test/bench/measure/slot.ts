import type { RunningCandidate } from '../candidates/candidate.ts'
import { runLoad } from '../generators/run-load.ts'
import type { Site } from '../site.ts'
import type { Workload } from '../workloads.ts'
import { cpuNanoseconds, processTree } from './process-tree.ts'
import { verifyBody } from './verify.ts'

/** One candidate under one workload for a second or two. */
export type Slot =
  | { void: string }
  | {
      void?: undefined
      /** CPU microseconds of the proxy's process tree per completed request; KiB per connection for `idle`. */
      cost: number
      p50Ms: number | null
      p99Ms: number | null
      resumedShare?: number
    }

export interface SlotOptions {
  ms: number
  ownLoad: boolean
}

/** Runs the load and counts. What fails, or is refused, or comes back wrong makes the slot void: it says why and counts for nothing. */
export async function runSlot(
  workload: Workload,
  running: RunningCandidate,
  site: Site,
  options: SlotOptions,
): Promise<Slot> {
  try {
    await verifyBody(workload, running)
    const before = cpuNanoseconds(processTree(running.pid))
    const load = await runLoad(workload, { ...options, ...portsOf(running), folder: site.folder })
    const after = cpuNanoseconds(processTree(running.pid))
    if (load.errors > 0) return { void: `${load.errors} errors; the first: ${load.firstError ?? 'not known'}` }
    if (load.completed === 0) return { void: 'no request completed' }
    if (after <= before) return { void: 'no CPU time was counted' }
    const { p50Ms, p99Ms, resumedShare } = load
    const cost = (after - before) / 1_000 / load.completed
    return { cost, p50Ms, p99Ms, ...(resumedShare === undefined ? {} : { resumedShare }) }
  } catch (error) {
    return { void: reason(error) }
  }
}

/** Load before the measuring: code gets compiled, connections to the origin opened. */
export async function warmUp(
  workload: Workload,
  running: RunningCandidate,
  site: Site,
  options: SlotOptions,
): Promise<void> {
  try {
    await runLoad(workload, { ...options, ...portsOf(running), folder: site.folder })
  } catch {
    // The slots themselves say what is wrong.
  }
}

const portsOf = ({ httpPort, httpsPort }: RunningCandidate): { httpPort: number; httpsPort: number } => ({
  httpPort,
  httpsPort,
})

const reasonCharsMax = 200

/** Why a slot is void, on one line. */
export function reason(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error)
  return text.replace(/\s+/g, ' ').trim().slice(0, reasonCharsMax)
}
