/**
 * Looks for what a run may have left on the machine: processes that came from this checkout, mounts inside it, network devices
 * with our names, temporary folders. Run directly it prints them and ends with 1 when there are any.
 */
import { tmpdir } from 'node:os'
import { link, namesIn, read } from './machine-files.ts'

const root = new URL('..', import.meta.url).pathname

export interface Leftovers {
  processes: { pid: number; command: string }[]
  mounts: string[]
  devices: string[]
  files: string[]
}

/** @param since - temporary files that existed before this moment belong to somebody else */
export function findLeftovers(before: Leftovers = none): Leftovers {
  const old = new Set([...before.files, ...before.processes.map((process) => String(process.pid))])
  return {
    processes: ourProcesses().filter((process) => !old.has(String(process.pid))),
    mounts: mountsInside(),
    devices: namesIn('/sys/class/net').filter((name) => /^(vmtap|lastmile)/.test(name)),
    files: [tmpdir(), '/dev/shm']
      .flatMap((folder) => namesIn(folder).map((name) => `${folder}/${name}`))
      .filter((path) => /\/(lastmile|uml|vm_file|linux\.uml)[^/]*$/.test(path) && !old.has(path)),
  }
}

export function isEmpty(leftovers: Leftovers): boolean {
  return Object.values(leftovers).every((list) => list.length === 0)
}

export const none: Leftovers = { processes: [], mounts: [], devices: [], files: [] }

function ourProcesses(): { pid: number; command: string }[] {
  const kin = ancestors()
  return namesIn('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => ({ pid: Number(name), command: read(`/proc/${name}/cmdline`).replaceAll('\0', ' ').trim() }))
    .filter(({ pid, command }) => command !== '' && !kin.has(pid) && belongsToUs(pid, command))
}

/** Ours is what runs a program or a script of this checkout, or was started inside its state folder. */
function belongsToUs(pid: number, command: string): boolean {
  if (command.includes(`${root}.lastmile/`) && /uml|bwrap|pebble|agent|zygote/.test(command)) return true
  // The gateway's workers show a title in place of their command; what tells is the Node they run on, or where they were started.
  if (command.startsWith('lastmile '))
    return link(`/proc/${pid}/exe`).startsWith(root) || `${link(`/proc/${pid}/cwd`)}/`.startsWith(root)
  if (['cli/', 'gateway/', 'test/bench/'].some((folder) => command.includes(`${root}${folder}`))) return true
  if (command.includes(`${root}node_modules/@foundry-rs`)) return true
  return link(`/proc/${pid}/cwd`).startsWith(`${root}.lastmile`)
}

function ancestors(): Set<number> {
  const found = new Set<number>()
  for (let pid = process.pid; pid > 1 && !found.has(pid); ) {
    found.add(pid)
    pid = Number(/^PPid:\s+(\d+)/m.exec(read(`/proc/${pid}/status`))?.[1] ?? 0)
  }
  return found
}

function mountsInside(): string[] {
  return read('/proc/self/mounts')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((path) => path.startsWith(root))
}

if (import.meta.main) {
  const leftovers = findLeftovers()
  console.log(
    isEmpty(leftovers)
      ? 'no process, mount, device or temporary file is left'
      : JSON.stringify(leftovers, undefined, 2),
  )
  process.exit(isEmpty(leftovers) ? 0 : 1)
}
