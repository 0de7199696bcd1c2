import type { Candidate } from '../candidates/candidate.ts'
import { startCandidate } from '../candidates/candidate.ts'
import type { LoadOrder } from '../generators/load.ts'
import { startProgram } from '../programs.ts'
import { programFile, type Site } from '../site.ts'
import { type Workload, workloads } from '../workloads.ts'
import { processTree, residentBytes } from './process-tree.ts'
import { reason, type Slot, type SlotOptions, warmUp } from './slot.ts'
import { verifyBody } from './verify.ts'

/**
 * Memory per idle connection: a fresh process, warmed up, before and after it got its connections, each of which has made one request.
 * Fresh each time, since what a process once took it reuses.
 */
export async function runIdleSlot(
  workload: Workload,
  candidate: Candidate,
  site: Site,
  options: SlotOptions,
): Promise<Slot> {
  try {
    await using running = await startCandidate(candidate, site)
    await verifyBody(workload, running)
    await warmUp(workloads.find(({ name }) => name === 'h1') as Workload, running, site, options)
    const before = residentBytes(processTree(running.pid))
    const order: LoadOrder = {
      port: running.httpPort,
      scheme: 'plain',
      path: workload.path,
      connections: workload.connections,
      ms: 0,
      post: false,
      close: false,
      resume: false,
    }
    await using _held = await startProgram({
      name: 'idle connections',
      command: process.execPath,
      args: [programFile('generators/idle-load.ts'), JSON.stringify(order)],
      side: 'load',
      ready: (program) => program.output().startsWith('open '),
    })
    const after = residentBytes(processTree(running.pid))
    if (after <= before) return { void: 'no growth was counted' }
    return { cost: (after - before) / 1_024 / workload.connections, p50Ms: null, p99Ms: null }
  } catch (error) {
    return { void: reason(error) }
  }
}
