import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { RunningCandidate } from '../candidates/candidate.ts'
import { runLoad } from '../generators/run-load.ts'
import { findProgram, startProgram } from '../programs.ts'
import type { Site } from '../site.ts'
import type { Workload } from '../workloads.ts'
import { processTree } from './process-tree.ts'
import type { SlotOptions } from './slot.ts'

/**
 * System calls of the process tree per completed request, counted by strace in a pass of its own: it slows the proxy several times.
 * Undefined where strace is missing or may not trace.
 */
export async function countSyscalls(
  workload: Workload,
  running: RunningCandidate,
  site: Site,
  options: SlotOptions,
): Promise<number | undefined> {
  const strace = findProgram('strace')
  if (!strace) return undefined
  try {
    const tree = processTree(running.pid)
    const file = join(site.folder, 'strace.txt')
    const tracing = await startProgram({
      name: 'strace',
      command: strace,
      args: ['-c', '-f', '-o', file, ...tree.flatMap((pid) => ['-p', String(pid)])],
      side: 'load',
      ready: ({ output }) => tree.every((pid) => new RegExp(`Process ${pid} attached`).test(output())),
    })
    const { completed } = await runLoad(workload, { ...options, ...running, folder: site.folder }).finally(() =>
      tracing[Symbol.asyncDispose](),
    )
    const calls = parseStrace(readFileSync(file, 'utf8'))
    return calls === undefined || completed === 0 ? undefined : calls / completed
  } catch {
    return undefined
  }
}

/** Number of calls in the last line of a summary by `strace -c`. */
export function parseStrace(text: string): number | undefined {
  const line = text.split('\n').find((each) => each.trim().endsWith(' total'))
  const calls = line?.trim().split(/\s+/)[3]
  return calls === undefined ? undefined : Number(calls)
}
