import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { access, mkdir, readFile, rename, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Duplex } from 'node:stream'
import { promisify } from 'node:util'
import { SingleFlight } from '../../../core/single-flight.ts'
import { AttachError } from '../errors.ts'
import type { Hypervisor, Vm, VmSpec } from '../ports.ts'
import { cleanerOf, isRoot, jailArguments, startJail } from './jailed-process.ts'
import { probeByBoot } from './probe.ts'
import { JailUsers, makeVmFolder } from './vm-folder.ts'

const run = promisify(execFile)

export interface FakeOptions {
  guestDir: string
  vmsDir: string
  /** Folder for the unpacked root filesystems, shared by all guests. */
  treesDir: string
  jailUidBase?: number
}

/**
 * Guests without a kernel of their own: the same agent, zygotes and root filesystems as processes in a jail.
 * Ready in a fraction of a second, hence for tests; never chosen by itself, as the wall is thinner.
 */
export function fakeHypervisor(given: FakeOptions): Hypervisor {
  const options = {
    ...given,
    guestDir: resolve(given.guestDir),
    vmsDir: resolve(given.vmsDir),
    treesDir: resolve(given.treesDir),
  }
  const users = new JailUsers(options.jailUidBase ?? 60_100)
  const trees = new SingleFlight<string, string>()
  const create = async (spec: VmSpec): Promise<Vm> => {
    const name = spec.runtime === 'none' ? 'python' : spec.runtime
    const tree = await trees.run(name, () => unpackTree(options, name))
    const uid = isRoot() ? users.take() : undefined
    const folder = await makeVmFolder(options.vmsDir, spec.id, uid)
    const jail = startJail(fakeArguments(spec, options.guestDir, tree, folder, uid), {
      guestDir: options.guestDir,
      cwd: folder,
      sockets: 1,
    })
    const link = jail.sockets[0] as Duplex
    const clean = cleanerOf(jail, folder, () => {
      if (uid !== undefined) users.giveBack(uid)
    })
    link.once('close', () => void clean())
    void jail.ended.then(clean)
    return {
      id: spec.id,
      link,
      ended: jail.ended,
      memoryBytes: async () => 0,
      attach: async ({ slot, imagePath }) => {
        try {
          await run('unsquashfs', ['-quiet', '-no-progress', '-no-xattrs', '-dest', join(folder, slot), imagePath])
          await run('chmod', ['-R', 'a+rX', join(folder, slot)])
        } catch (cause) {
          throw new AttachError(`The volume ${slot} cannot be attached.`, { cause })
        }
      },
      [Symbol.asyncDispose]: clean,
    }
  }
  return { name: 'fake', create, probe: () => probeByBoot(create) }
}

/** The root filesystem as a folder, named by its content so that a rebuilt image is unpacked anew. */
async function unpackTree({ guestDir, treesDir }: FakeOptions, name: string): Promise<string> {
  const image = join(guestDir, `${name}.sqfs`)
  const stamp = createHash('sha256')
    .update(await readFile(join(guestDir, 'stamps', `${name}.sqfs`)))
    .digest('hex')
    .slice(0, 16)
  const tree = join(treesDir, `${name}-${stamp}`)
  const there = await access(tree).then(
    () => true,
    () => false,
  )
  if (there) return tree
  await mkdir(treesDir, { recursive: true })
  const work = `${tree}.${process.pid}`
  await rm(work, { recursive: true, force: true })
  await run('unsquashfs', ['-quiet', '-no-progress', '-no-xattrs', '-dest', work, image])
  await rename(work, tree).catch(() => rm(work, { recursive: true, force: true }))
  return tree
}

function fakeArguments(
  spec: VmSpec,
  guestDir: string,
  tree: string,
  folder: string,
  uid: number | undefined,
): string[] {
  const { namespaces } = jailArguments(uid)
  return [
    ...namespaces,
    ...['--ro-bind', tree, '/'],
    ...['/opt', '/tmp', '/run'].flatMap((path) => ['--perms', '1777', '--tmpfs', path]),
    ...['--proc', '/proc', '--dev', '/dev'],
    ...['agent', 'zygote.py', 'zygote.mjs'].flatMap((name) => ['--ro-bind', join(guestDir, name), `/run/${name}`]),
    ...['--ro-bind', folder, '/volumes'],
    ...['--chdir', '/', '--', '/run/agent', '--native', '--runtime', spec.runtime],
    // The agent gives up root itself: it is static, and `setpriv` would need libraries that the tree may lack.
    ...(uid === undefined ? [] : ['--uid', String(uid)]),
  ]
}
