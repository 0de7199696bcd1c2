import { type ChildProcess, spawn } from 'node:child_process'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Duplex, Readable } from 'node:stream'

/** A program in a jail, with stream sockets on its descriptors 3 and up. */
export interface JailedProcess extends AsyncDisposable {
  /** Of the outermost process; 0 when it could not be started. */
  readonly pid: number
  /** Our ends of the descriptors 3, 4, …. */
  readonly sockets: readonly Duplex[]
  /** Settles when every process of the jail has ended, with the last output on its console. */
  readonly ended: Promise<{ reason: string }>
}

const consoleCharsMax = 4_096

export interface JailOptions {
  /** Folder with the program `guard`. */
  guestDir: string
  cwd: string
  /** How many sockets the jailed program gets, from descriptor 3 on. */
  sockets: number
}

/**
 * Starts bwrap with `args`. Disposing kills the jail and waits until none of its processes is left: they all hold the
 * console pipe, so its end is the proof.
 */
export function startJail(args: readonly string[], { guestDir, cwd, sockets: count }: JailOptions): JailedProcess {
  const child: ChildProcess = spawn(join(guestDir, 'guard'), [String(process.pid), 'bwrap', ...args], {
    cwd,
    stdio: ['ignore', 'pipe', 'pipe', ...Array<'pipe'>(count).fill('pipe')],
    // Nothing of this process's environment may reach a guest.
    env: { PATH: process.env.PATH },
  })
  let console = ''
  const keep = (chunk: Buffer): void => {
    console = (console + chunk.toString('latin1')).slice(-consoleCharsMax)
  }
  for (const stream of [child.stdout, child.stderr] as Readable[]) stream.on('data', keep)
  const sockets = child.stdio.slice(3) as unknown as Duplex[]
  for (const socket of sockets) socket.on('error', () => {})
  const ended = new Promise<{ reason: string }>((resolve) => {
    let failure = ''
    child.once('error', (error) => {
      failure = error.message
    })
    child.once('close', (code, signal) =>
      resolve({ reason: `${failure || `ended by ${signal ?? `status ${code}`}`}; ${lastLine(console)}` }),
    )
  })
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL')
    for (const socket of sockets) socket.destroy()
    await ended
  }
  return { pid: child.pid ?? 0, sockets, ended, [Symbol.asyncDispose]: stop }
}

function lastLine(text: string): string {
  return text.trim().split('\n').slice(-3).join(' | ') || 'no output'
}

/** A function that ends the jail and removes its folder, once, however often it is called; `after` comes last. */
export function cleanerOf(jail: JailedProcess, folder: string, after: () => void): () => Promise<void> {
  let cleaned: Promise<void> | undefined
  const clean = async (): Promise<void> => {
    await jail[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
    after()
  }
  return () => {
    cleaned ??= clean()
    return cleaned
  }
}

/** True when this process may use another user for each guest. */
export function isRoot(): boolean {
  return process.getuid?.() === 0
}

/** Read-only binds of what a dynamically linked host program needs. Absent folders are left out. */
export const libraryBinds: readonly string[] = ['/lib', '/lib64', '/usr/lib', '/usr/lib64'].flatMap((folder) => [
  '--ro-bind-try',
  folder,
  folder,
])

/**
 * The arguments every jail has. As root, bwrap prepares the mounts with root's rights and `setpriv` then becomes the
 * guest's own user; otherwise a user namespace stands in. A guest never has root's rights over a file of the host.
 */
export function jailArguments(uid: number | undefined): { namespaces: string[]; become: string[] } {
  // --die-with-parent beside our own guard: two ends of the same chain, and the kernel pulls both.
  const namespaces = [
    '--die-with-parent',
    '--new-session',
    '--unshare-pid',
    '--unshare-net',
    '--unshare-ipc',
    '--unshare-uts',
    '--unshare-cgroup-try',
  ]
  if (uid === undefined) {
    return {
      namespaces: [...namespaces, '--unshare-user', '--uid', '1000', '--gid', '1000', '--cap-drop', 'ALL'],
      become: [],
    }
  }
  const user = String(uid)
  return {
    namespaces: [
      ...namespaces,
      '--cap-drop',
      'ALL',
      '--cap-add',
      'CAP_SETUID',
      '--cap-add',
      'CAP_SETGID',
      '--cap-add',
      'CAP_SETPCAP',
    ],
    become: [
      'setpriv',
      '--reuid',
      user,
      '--regid',
      user,
      '--clear-groups',
      '--bounding-set',
      '-all',
      '--inh-caps',
      '-all',
      '--no-new-privs',
      '--',
    ],
  }
}
