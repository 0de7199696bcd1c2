import { chmod, copyFile, mkdir, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { unpackClosure } from './debian.ts'
import type { RootfsRecipe } from './packages.ts'
import { runProgram } from './run-program.ts'

/** Builds one root filesystem as a squashfs image at `image`. lz4: it is built in place and read at every boot. */
export async function buildRootfs(recipe: RootfsRecipe, image: string, work: string): Promise<void> {
  const root = join(work, 'root')
  await rm(work, { recursive: true, force: true })
  await unpackClosure(recipe.packages, recipe.without, root, join(work, 'apt'))
  for (const path of recipe.strip) await rm(join(root, path), { recursive: true, force: true })
  for (const folder of [
    'proc',
    'sys',
    'dev',
    'tmp',
    'run',
    'opt',
    'etc',
    'var/tmp',
    'root',
    'usr/local/bin',
    'volumes',
  ]) {
    await mkdir(join(root, folder), { recursive: true })
  }
  await writeSystemFiles(root)
  if (recipe.name === 'python') await compilePython(root)
  if (recipe.name === 'node') await addNode(root)
  await rm(`${image}.new`, { force: true })
  await runProgram('mksquashfs', [
    root,
    `${image}.new`,
    '-comp',
    'lz4',
    '-all-root',
    '-no-xattrs',
    '-noappend',
    '-quiet',
    '-no-progress',
  ])
  await rename(`${image}.new`, image)
  await rm(work, { recursive: true, force: true })
}

async function writeSystemFiles(root: string): Promise<void> {
  const files: Record<string, string> = {
    'etc/passwd':
      'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/tmp:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n',
    'etc/group': 'root:x:0:\napp:x:1000:\nnogroup:x:65534:\n',
    'etc/hosts': '127.0.0.1 localhost\n',
    'etc/resolv.conf': '',
    // A guest has no network of its own; asking a name server that is not there would cost a program seconds.
    'etc/nsswitch.conf': 'hosts: files\n',
  }
  for (const [path, text] of Object.entries(files)) await writeFile(join(root, path), text)
  await symlink('dash', join(root, 'bin', 'sh')).catch(ignoreExisting)
}

/** With byte code the zygote is ready in about half the time. The tree's own interpreter does it: the host needs no Python. */
async function compilePython(root: string): Promise<void> {
  const libraries = [join(root, 'lib/x86_64-linux-gnu'), join(root, 'usr/lib/x86_64-linux-gnu')]
  await runProgram(
    join(libraries[0] as string, 'ld-linux-x86-64.so.2'),
    [
      ...['--library-path', libraries.join(':')],
      ...[join(root, 'usr/bin/python3.11'), '-m', 'compileall', '-q', '-j', '2', '-s', root, '-p', '/'],
      // The image never changes, so Python need not compare times at each import.
      ...['--invalidation-mode', 'unchecked-hash'],
      ...[join(root, 'usr/lib/python3.11'), join(root, 'usr/lib/python3')],
    ],
    { env: { PYTHONHOME: join(root, 'usr') } },
  )
}

async function addNode(root: string): Promise<void> {
  const target = join(root, 'usr/local/bin/node')
  await copyFile(process.execPath, target)
  await chmod(target, 0o755)
  const debugged = (await stat(target)).size > 100_000_000
  // Symbols are a third of the binary and are never read in a guest. Absent `strip` only costs space.
  if (debugged) await runProgram('strip', [target]).catch(() => '')
}

function ignoreExisting(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EEXIST') throw error
}
