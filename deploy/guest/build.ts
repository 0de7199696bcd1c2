/**
 * Builds what a guest consists of: `node deploy/guest/build.ts --out DIR [--print | --check]`.
 * Idempotent: each artefact carries the hash of what it was made from, and is rebuilt only when that changes.
 */
import { createHash } from 'node:crypto'
import { chmod, copyFile, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { writeCpio } from './cpio.ts'
import { unpackOne } from './debian.ts'
import { kernelPackage, rootfsRecipes } from './packages.ts'
import { buildRootfs } from './rootfs.ts'
import { runProgram } from './run-program.ts'

const source = import.meta.dirname
const installedKernel = '/usr/bin/linux.uml'
const installedModules = '/usr/lib/uml/modules'

interface Artefact {
  /** File in the output folder. */
  name: string
  why: string
  /** Everything that decides its content. */
  inputs: () => Promise<string>
  build: (out: string, work: string) => Promise<void>
}

const artefacts: readonly Artefact[] = [
  {
    name: 'agent',
    why: 'PID 1 of every guest, a static C program',
    inputs: () => hashFolder(join(source, 'agent')),
    build: async (out, work) => {
      const files = (await readdir(join(source, 'agent'))).filter((file) => file.endsWith('.c')).sort()
      const flags = ['-static', '-O2', '-s', '-Wall', '-Wextra', '-fstack-protector-strong', '-D_FORTIFY_SOURCE=2']
      await runProgram('gcc', [...flags, '-o', join(work, 'agent'), ...files], { cwd: join(source, 'agent') })
      await rename(join(work, 'agent'), join(out, 'agent'))
    },
  },
  smallProgram('mconsole', 'attaches volumes to a running user-mode Linux guest'),
  smallProgram('guard', 'ends a jail with its host process, whatever the moment'),
  {
    name: 'linux',
    why: "the guest kernel: Debian's user-mode Linux, with its squashfs and overlay modules",
    inputs: () => kernelIdentity(),
    build: buildKernel,
  },
  ...rootfsRecipes.map(
    (recipe): Artefact => ({
      name: `${recipe.name}.sqfs`,
      why: `the root filesystem of ${recipe.name === 'node' ? 'Node' : 'Python'} programs`,
      inputs: async () => {
        const node = recipe.name === 'node' ? `${process.version} ${(await stat(process.execPath)).size}` : ''
        return hashTexts([
          JSON.stringify(recipe),
          node,
          await hashFiles([join(source, 'rootfs.ts'), join(source, 'debian.ts')]),
        ])
      },
      build: (out, work) => buildRootfs(recipe, join(out, `${recipe.name}.sqfs`), join(work, recipe.name)),
    }),
  ),
]

/** A static C program of one file. */
function smallProgram(name: string, why: string): Artefact {
  return {
    name,
    why,
    inputs: () => hashFiles([join(source, `${name}.c`)]),
    build: async (out, work) => {
      const flags = ['-static', '-O2', '-s', '-Wall', '-Wextra']
      await runProgram('gcc', [...flags, '-o', join(work, name), join(source, `${name}.c`)])
      await rename(join(work, name), join(out, name))
    },
  }
}

/** Depends on the agent and on the kernel's modules, hence made after them. */
const initrd: Artefact = {
  name: 'initrd.cpio',
  why: 'agent, zygotes and kernel modules: what a guest boots from',
  inputs: async () => hashTexts([await hashFolder(join(source, 'agent')), await zygoteHash(), await kernelIdentity()]),
  build: async (out) => {
    const files = [
      { name: 'init', mode: 0o755, path: join(out, 'agent') },
      { name: 'squashfs.ko', mode: 0o644, path: join(out, 'modules', 'squashfs.ko') },
      { name: 'overlay.ko', mode: 0o644, path: join(out, 'modules', 'overlay.ko') },
      { name: 'zygote.py', mode: 0o644, path: join(source, 'zygote.py') },
      { name: 'zygote.mjs', mode: 0o644, path: join(source, 'zygote.mjs') },
    ]
    const contents = await Promise.all(files.map(async (file) => ({ ...file, content: await readFile(file.path) })))
    await writeCpio(join(out, 'initrd.cpio.new'), contents)
    await rename(join(out, 'initrd.cpio.new'), join(out, 'initrd.cpio'))
    // For guests without a kernel of their own, where no initial file system is unpacked.
    for (const zygote of ['zygote.py', 'zygote.mjs']) await copyFile(join(source, zygote), join(out, zygote))
  },
}

async function buildKernel(out: string, work: string): Promise<void> {
  const root = join(work, 'kernel')
  const installed = await stat(installedKernel).then(
    () => true,
    () => false,
  )
  if (!installed) await unpackOne(kernelPackage, root, join(work, 'kernel-apt'))
  const base = installed ? '' : root
  await mkdir(join(out, 'modules'), { recursive: true })
  const modules = join(base, installedModules)
  const version = (await readdir(modules))[0]
  if (version === undefined) throw new Error(`${modules} holds no kernel modules.`)
  for (const path of ['squashfs/squashfs.ko', 'overlayfs/overlay.ko']) {
    await copyFile(join(modules, version, 'kernel/fs', path), join(out, 'modules', path.slice(path.indexOf('/') + 1)))
  }
  await copyFile(join(base, installedKernel), join(work, 'linux'))
  await chmod(join(work, 'linux'), 0o755)
  await rename(join(work, 'linux'), join(out, 'linux'))
}

/** The installed kernel by size and time; without one, whatever Debian offers when it is first needed. */
async function kernelIdentity(): Promise<string> {
  const found = await stat(installedKernel).catch(() => undefined)
  return found ? `${kernelPackage} installed ${found.size} ${found.mtimeMs}` : `${kernelPackage} downloaded`
}

const zygoteHash = (): Promise<string> => hashFiles([join(source, 'zygote.py'), join(source, 'zygote.mjs')])

async function hashFolder(folder: string): Promise<string> {
  return hashFiles((await readdir(folder)).sort().map((name) => join(folder, name)))
}

async function hashFiles(paths: readonly string[]): Promise<string> {
  return hashTexts(await Promise.all(paths.map((path) => readFile(path, 'utf8'))))
}

function hashTexts(texts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(texts)).digest('hex')
}

async function isCurrent(artefact: Artefact, out: string): Promise<boolean> {
  try {
    await stat(join(out, artefact.name))
    return (await readFile(join(out, 'stamps', artefact.name), 'utf8')) === (await artefact.inputs())
  } catch {
    return false
  }
}

async function make(artefact: Artefact, out: string, work: string): Promise<void> {
  const startedAt = performance.now()
  console.error(`  ${artefact.name}: ${artefact.why} ...`)
  await artefact.build(out, work)
  await writeFile(join(out, 'stamps', artefact.name), await artefact.inputs())
  console.error(`  ${artefact.name}: done in ${((performance.now() - startedAt) / 1_000).toFixed(1)} s`)
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      out: { type: 'string' },
      print: { type: 'boolean' },
      check: { type: 'boolean' },
      help: { type: 'boolean' },
    },
  })
  if (values.help) {
    console.log(
      'Usage: node deploy/guest/build.ts [--out DIR] [--print | --check]\n\n  --out DIR  where the artefacts go (default .lastmile/guest)\n  --print    say what would be built, build nothing\n  --check    end with status 1 when something is missing',
    )
    return 0
  }
  const out = resolve(values.out ?? join(dirname(dirname(source)), '.lastmile', 'guest'))
  const all = [...artefacts, initrd]
  const missing: Artefact[] = []
  for (const artefact of all) if (!(await isCurrent(artefact, out))) missing.push(artefact)
  if (values.print) for (const artefact of missing) console.log(`would build ${artefact.name}: ${artefact.why}`)
  if (values.print || values.check) return values.check && missing.length > 0 ? 1 : 0
  if (missing.length === 0) return 0
  const work = join(out, `work-${process.pid}`)
  await mkdir(join(out, 'stamps'), { recursive: true })
  await mkdir(work, { recursive: true })
  try {
    await Promise.all(missing.filter((artefact) => artefact !== initrd).map((artefact) => make(artefact, out, work)))
    if (missing.includes(initrd)) await make(initrd, out, work)
  } finally {
    await rm(work, { recursive: true, force: true })
  }
  return 0
}

process.exitCode = await main()
