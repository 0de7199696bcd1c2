import { readdirSync } from 'node:fs'
import { link, namesIn, read } from '../../machine-files.ts'

const pageBytes = 4_096

/** A process with all its descendants, the root first. Linux only. */
export function processTree(root: number): number[] {
  const children = new Map<number, number[]>()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const parent = parentOf(Number(name))
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), Number(name)])
  }
  const tree = [root]
  for (let at = 0; at < tree.length; at++) tree.push(...(children.get(tree[at] as number) ?? []))
  return tree
}

/** CPU time of all threads of the processes so far, in nanoseconds: user and system together. Threads that ended do not count. */
export function cpuNanoseconds(pids: readonly number[]): number {
  let sum = 0
  for (const pid of pids) {
    for (const task of namesIn(`/proc/${pid}/task`)) sum += parseSchedstat(read(`/proc/${pid}/task/${task}/schedstat`))
  }
  return sum
}

/** First field of a `schedstat` file: nanoseconds on a CPU. 0 for a thread that is gone. */
export function parseSchedstat(text: string): number {
  return Number(text.split(' ', 1)[0] ?? 0)
}

/** Resident memory of the processes, in bytes. Pages that they share count once for each. */
export function residentBytes(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + Number(read(`/proc/${pid}/statm`).split(' ')[1] ?? 0) * pageBytes, 0)
}

/** Whether one of the processes holds the listening socket of a loopback or wildcard TCP port. */
export function listensOn(port: number, pids: readonly number[]): boolean {
  const inodes = listeningInodes(port)
  return pids.some((pid) => namesIn(`/proc/${pid}/fd`).some((fd) => inodes.has(link(`/proc/${pid}/fd/${fd}`))))
}

function listeningInodes(port: number): Set<string> {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const found = new Set<string>()
  for (const line of [...read('/proc/net/tcp').split('\n'), ...read('/proc/net/tcp6').split('\n')]) {
    const fields = line.trim().split(/\s+/)
    // State 0A is LISTEN.
    if (fields[1]?.endsWith(suffix) && fields[3] === '0A') found.add(`socket:[${fields[9]}]`)
  }
  return found
}

function parentOf(pid: number): number | undefined {
  // The name of the program is in parentheses and may hold anything; what follows the last one is regular.
  const text = read(`/proc/${pid}/stat`)
  const parent = Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[1])
  return Number.isInteger(parent) ? parent : undefined
}
