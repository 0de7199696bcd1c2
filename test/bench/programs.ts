import { execFileSync, spawn } from 'node:child_process'
import { accessSync, constants, rmSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { delimiter, join } from 'node:path'
import { startProcess } from '../../core/child-process.ts'

/** Where a program runs: the proxy alone on one core; origin and load together on the other. */
export type Side = 'proxy' | 'load'

export interface Program extends AsyncDisposable {
  readonly pid: number
  output(): string
}

export interface ProgramSpec {
  name: string
  command: string
  args: readonly string[]
  env?: Record<string, string>
  side: Side
  /** Whether it serves; asked until it does. Absent: ready once started. */
  ready?: (program: Program) => boolean | Promise<boolean>
}

/** Time to stop by itself, then the group is killed. */
const stopMs = 3_000
const readyMs = 20_000
const groups = new Set<number>()
const folders = new Set<string>()

/** Full path of an installed program; administrators' folders are searched too, since peers live there. */
export function findProgram(name: string): string | undefined {
  for (const folder of [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin', '/sbin']) {
    const path = join(folder, name)
    try {
      accessSync(path, constants.X_OK)
      return path
    } catch {}
  }
  return undefined
}

/** First line that a program prints, on either stream; empty when it cannot be asked. */
export function firstLine(command: string, args: readonly string[]): string {
  try {
    return execFileSync('sh', ['-c', 'exec "$0" "$@" 2>&1', command, ...args], { encoding: 'utf8', timeout: 10_000 })
      .trim()
      .split('\n', 1)[0] as string
  } catch (error) {
    return String((error as { stdout?: string }).stdout ?? '').split('\n', 1)[0] as string
  }
}

/** Whether proxy and load get a core each. */
export function canPin(): boolean {
  return availableParallelism() >= 2 && findProgram('taskset') !== undefined
}

/** Command and arguments that run a program on the core of its side, where that is possible. */
export function pinned(side: Side, command: string, args: readonly string[]): [command: string, args: string[]] {
  if (!canPin()) return [command, [...args]]
  return ['taskset', ['-c', side === 'proxy' ? '1' : '0', command, ...args]]
}

/**
 * Starts a program in a process group of its own. Disposing ends the whole group, so that no worker of it stays behind to answer
 * on a port of the next run.
 */
export async function startProgram(spec: ProgramSpec): Promise<Program> {
  endGroupsAtExit()
  const [command, args] = pinned(spec.side, spec.command, spec.args)
  const running = await startProcess({
    name: spec.name,
    command,
    args,
    options: { detached: true, env: { ...process.env, ...spec.env } },
  })
  const { pid } = running
  groups.add(pid)
  const stop = async (): Promise<void> => {
    signalGroup(pid, 'SIGTERM')
    const deadline = performance.now() + stopMs
    while (signalGroup(pid, 0) && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 20))
    signalGroup(pid, 'SIGKILL')
    await running.exited
    groups.delete(pid)
  }
  const program = { pid, output: running.output, [Symbol.asyncDispose]: stop }
  await whenReady(spec, program)
  return program
}

/** @throws Error with the last words of a program that ended or stayed silent */
async function whenReady(spec: ProgramSpec, program: Program): Promise<void> {
  const deadline = performance.now() + readyMs
  while (spec.ready && !(await spec.ready(program))) {
    if (signalGroup(program.pid, 0) && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 20))
      continue
    }
    await program[Symbol.asyncDispose]()
    throw new Error(`${spec.name} did not get ready. Its last output: ${program.output().slice(-1_000) || '(none)'}`)
  }
}

/**
 * Runs a program to its end and returns its standard output. After `timeoutMs` its whole group is killed and the promise rejects.
 * @throws Error with the last words of a program that ended with another code than 0
 */
export function runProgram(spec: ProgramSpec, timeoutMs: number): Promise<string> {
  endGroupsAtExit()
  const [command, args] = pinned(spec.side, spec.command, spec.args)
  const child = spawn(command, args, {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...spec.env },
  })
  const pid = child.pid ?? 0
  if (pid > 0) groups.add(pid)
  return new Promise((resolve, reject) => {
    const [out, errors]: [Buffer[], Buffer[]] = [[], []]
    child.stdout.on('data', (part: Buffer) => out.push(part))
    child.stderr.on('data', (part: Buffer) => errors.push(part))
    const timer = setTimeout(() => signalGroup(pid, 'SIGKILL'), timeoutMs)
    child.once('error', reject)
    child.once('close', (code, signal) => {
      clearTimeout(timer)
      groups.delete(pid)
      if (code === 0) return resolve(Buffer.concat(out).toString())
      const why = signal ? `was ended by ${signal}` : `ended with code ${code}`
      reject(
        new Error(
          `${spec.name} ${why}: ${Buffer.concat([...out, ...errors])
            .toString()
            .slice(-1_000)}`,
        ),
      )
    })
  })
}

/** Removes the folder when this process ends, however it does. */
export function removeAtExit(folder: string): void {
  endGroupsAtExit()
  folders.add(folder)
}

let prepared = false

/** Everything in here is synchronous: at the end of a process nothing else still runs. */
function endGroupsAtExit(): void {
  if (prepared) return
  prepared = true
  process.on('exit', () => {
    for (const pid of groups) signalGroup(pid, 'SIGKILL')
    for (const folder of folders) rmSync(folder, { recursive: true, force: true })
  })
  process.on('SIGINT', () => process.exit(130)).on('SIGTERM', () => process.exit(143))
}

function signalGroup(pid: number, signal: NodeJS.Signals | 0): boolean {
  if (pid <= 0) return false
  try {
    return process.kill(-pid, signal)
  } catch {
    return false
  }
}
