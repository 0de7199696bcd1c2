import { execFile } from 'node:child_process'
import { constants } from 'node:fs'
import { access, chown, open, readdir, readFile, readlink, stat, truncate, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Duplex } from 'node:stream'
import { promisify } from 'node:util'
import { AttachError } from '../errors.ts'
import type { Hypervisor, Vm, VmSpec, VmVolume } from '../ports.ts'
import { cleanerOf, isRoot, type JailedProcess, jailArguments, libraryBinds, startJail } from './jailed-process.ts'
import { probeByBoot } from './probe.ts'
import { bulkSlotBytes, bulkSlots, UmlLink } from './uml-link.ts'
import { JailUsers, makeVmFolder, placeImage } from './vm-folder.ts'

const run = promisify(execFile)

export interface UmlOptions {
  /** Folder made by deploy/guest/build.ts: linux, initrd.cpio, mconsole and `<runtime>.sqfs`. */
  guestDir: string
  /** Folder for one folder per microVM. */
  vmsDir: string
  /** First host user for guests when this process is root. Default 60100. */
  jailUidBase?: number
}

/** The RAM file may exceed `mem=` by the kernel's own pages; a file system that is too small ends the guest with a bus error. */
const memoryMarginMib = 64
const mebi = 1_048_576
const bulkName = 'bulk'
const codeName = 'code'
const codeSlot = 'b'
/** Larger code is attached by the management console instead. */
const codeBytesMax = 64 * mebi

/**
 * User-mode Linux in a bubblewrap jail: a guest kernel as an unprivileged host process, without hardware support.
 * Recipe and measurements: microVM reference 3 and 11.5.
 */
export function umlHypervisor(given: UmlOptions): Hypervisor {
  // Jails start in their own folder, where a relative path would mean something else.
  const options = { ...given, guestDir: resolve(given.guestDir), vmsDir: resolve(given.vmsDir) }
  const users = new JailUsers(options.jailUidBase ?? 60_100)
  const create = async (spec: VmSpec): Promise<Vm> => {
    const uid = isRoot() ? users.take() : undefined
    const folder = await makeVmFolder(options.vmsDir, spec.id, uid)
    await prepareFiles(folder, uid)
    const jail = startJail(umlArguments(spec, options.guestDir, folder, uid), {
      guestDir: options.guestDir,
      cwd: folder,
      sockets: 2,
    })
    const link = new UmlLink(jail.sockets[0] as Duplex, jail.sockets[1] as Duplex, join(folder, bulkName))
    link.on('error', () => {})
    const clean = cleanerOf(jail, folder, () => {
      if (uid !== undefined) users.giveBack(uid)
    })
    // After a link's end the guest kernel is of no use and might linger.
    link.once('close', () => void clean())
    void jail.ended.then(clean)
    return {
      id: spec.id,
      link,
      ended: jail.ended,
      attach: (volume) => attach(volume, folder, options.guestDir),
      memoryBytes: () => ramFileBytes(jail),
      [Symbol.asyncDispose]: clean,
    }
  }
  return {
    name: 'uml',
    create,
    probe: async () => {
      const missing = await missingParts(options.guestDir)
      if (missing) return { works: false, ...missing }
      return probeByBoot(create)
    },
  }
}

function umlArguments(spec: VmSpec, guestDir: string, folder: string, uid: number | undefined): string[] {
  const { namespaces, become } = jailArguments(uid)
  return [
    ...namespaces,
    ...libraryBinds,
    ...(uid === undefined ? [] : ['--ro-bind', '/usr/bin/setpriv', '/usr/bin/setpriv']),
    ...['--ro-bind', guestDir, '/guest'],
    ...['--bind', folder, '/vm'],
    ...['--proc', '/proc', '--dev', '/dev'],
    // Guest memory is a file here; /dev/shm is not mounted noexec, which user-mode Linux insists on.
    ...['--perms', '1777', '--size', String((spec.memoryMib + memoryMarginMib) * mebi), '--tmpfs', '/dev/shm'],
    ...['--setenv', 'TMPDIR', '/dev/shm', '--setenv', 'HOME', '/vm', '--chdir', '/vm', '--'],
    ...become,
    '/guest/linux',
    `mem=${spec.memoryMib}M`,
    'initrd=/guest/initrd.cpio',
    `ubd0r=/guest/${spec.runtime === 'none' ? 'python' : spec.runtime}.sqfs`,
    `ubd${codeSlot}r=/vm/${codeName}`,
    `ubdpr=/vm/${bulkName}`,
    ...['con=null', 'con0=null,fd:1', 'ssl=null', 'ssl0=fd:3,fd:3', 'ssl1=fd:4,fd:4'],
    ...['uml_dir=/vm/', 'umid=control'],
    ...['quiet', 'panic=-1', 'rdinit=/init'],
    `LASTMILE_RUNTIME=${spec.runtime}`,
  ]
}

/** Files behind block devices that the guest has from its boot: the bulk half of the link, and room for the code volume. */
async function prepareFiles(folder: string, uid: number | undefined): Promise<void> {
  for (const [name, bytes] of [
    [bulkName, bulkSlots * bulkSlotBytes],
    [codeName, codeBytesMax], // sparse: takes no space until code comes
  ] as const) {
    const path = join(folder, name)
    await writeFile(path, '', { mode: 0o600 })
    await truncate(path, bytes)
    if (uid !== undefined) await chown(path, uid, uid)
  }
}

async function attach(volume: VmVolume, folder: string, guestDir: string): Promise<void> {
  try {
    if (volume.slot === codeSlot && (await stat(volume.imagePath)).size <= codeBytesMax) {
      // The guest has not opened this device yet, so it will read what is written now. This saves starting a program: 4 ms.
      await overwriteFile(join(folder, codeName), await readFile(volume.imagePath))
    } else {
      await hotPlug(volume, folder, guestDir)
    }
  } catch (cause) {
    throw new AttachError(`The volume ${volume.slot} cannot be attached.`, { cause })
  }
}

/** Writes without truncating: the guest's kernel holds this very file open. */
async function overwriteFile(path: string, bytes: Uint8Array): Promise<void> {
  await using file = await open(path, 'r+')
  for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at, bytes.length - at, at)).bytesWritten
}

async function hotPlug(volume: VmVolume, folder: string, guestDir: string): Promise<void> {
  const name = `${volume.slot}.sqfs`
  await placeImage(volume.imagePath, join(folder, name))
  // Paths are relative to the VM's folder, on both sides of the jail: socket addresses hold 107 bytes at most.
  const mconsole = (command: string): Promise<unknown> =>
    run(join(guestDir, 'mconsole'), ['control/mconsole', command], { cwd: folder, timeout: 5_000 })
  if (volume.slot === codeSlot) await mconsole(`remove ubd${volume.slot}`)
  await mconsole(`config ubd${volume.slot}r=/vm/${name}`)
}

/** Blocks of the file that holds guest memory. The sum over processes would count shared pages several times. */
async function ramFileBytes(jail: JailedProcess): Promise<number> {
  for (const pid of await descendants(jail.pid)) {
    const names = await readdir(`/proc/${pid}/fd`).catch(() => [])
    for (const name of names) {
      const path = `/proc/${pid}/fd/${name}`
      const target = await readlink(path).catch(() => '')
      if (target.startsWith('/dev/shm/')) return (await stat(path)).blocks * 512
    }
  }
  return 0
}

async function descendants(pid: number): Promise<number[]> {
  const { stdout } = await run('ps', ['-e', '-o', 'pid=,ppid=']).catch(() => ({ stdout: '' }))
  const children = new Map<number, number[]>()
  for (const line of stdout.trim().split('\n')) {
    const [child, parent] = line.trim().split(/\s+/).map(Number) as [number, number]
    children.set(parent, [...(children.get(parent) ?? []), child])
  }
  const found = [pid]
  for (const next of found) found.push(...(children.get(next) ?? []))
  return found
}

async function missingParts(guestDir: string): Promise<{ reason: string; advice: string } | undefined> {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    return {
      reason: `user-mode Linux runs on x86-64 Linux only, this is ${process.platform} ${process.arch}`,
      advice: 'Use a machine with that architecture.',
    }
  }
  for (const file of ['linux', 'initrd.cpio', 'mconsole', 'guard', 'python.sqfs', 'node.sqfs']) {
    const found = await access(join(guestDir, file), constants.R_OK).then(
      () => true,
      () => false,
    )
    if (!found)
      return {
        reason: `${join(guestDir, file)} is missing`,
        advice: 'Run deploy/setup, which builds the guest images.',
      }
  }
  return undefined
}
