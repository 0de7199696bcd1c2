import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runProgram } from './run-program.ts'

/**
 * Downloads packages with everything they depend on, as if nothing were installed, and unpacks them into `root`.
 * Runs no script of any package and needs no root. `work` is a folder for what comes and goes.
 */
export async function unpackClosure(
  packages: readonly string[],
  without: readonly string[],
  root: string,
  work: string,
): Promise<void> {
  await download(['install', ...packages], work)
  const files = (await readdir(join(work, 'archives'))).filter((file) => file.endsWith('.deb'))
  const wanted = files.filter((file) => !without.includes(file.slice(0, file.indexOf('_')))).sort()
  await mkdir(root, { recursive: true })
  // Two at a time: unpacking is bound by one processor each, and two is what a small machine has.
  const rest = [...wanted]
  const unpackRest = async (): Promise<void> => {
    for (let file = rest.shift(); file !== undefined; file = rest.shift()) {
      await runProgram('dpkg-deb', ['-x', join(work, 'archives', file), root])
    }
  }
  await Promise.all([unpackRest(), unpackRest()])
}

/** Downloads one package without what it depends on and unpacks it into `root`. */
export async function unpackOne(name: string, root: string, work: string): Promise<void> {
  await download(['download', name], work)
  const file = (await readdir(join(work, 'archives'))).find((entry) => entry.startsWith(`${name}_`))
  if (!file) throw new Error(`apt-get did not deliver the package ${name}.`)
  await mkdir(root, { recursive: true })
  await runProgram('dpkg-deb', ['-x', join(work, 'archives', file), root])
}

async function download(command: readonly string[], work: string): Promise<void> {
  await rm(work, { recursive: true, force: true })
  await mkdir(join(work, 'archives', 'partial'), { recursive: true })
  // An empty status file makes apt deliver the whole closure, whatever this machine has installed.
  await writeFile(join(work, 'status'), '')
  const base = [
    ...['-o', `Dir::State::status=${join(work, 'status')}`],
    ...['-o', `Dir::Cache=${work}`],
    ...['-o', 'Dir::Cache::archives=archives'],
    ...['-o', 'Debug::NoLocking=1'],
    // Root would otherwise switch to the user _apt, who may not write here.
    ...['-o', 'APT::Sandbox::User='],
    '-y',
    '--no-install-recommends',
  ]
  const fetch = (more: readonly string[]): Promise<string> =>
    runProgram('apt-get', [...base, ...more, ...(command[0] === 'install' ? ['--download-only'] : []), ...command], {
      cwd: join(work, 'archives'),
    })
  try {
    await fetch([])
  } catch {
    // No package lists on this machine, or they are older than what the mirror keeps: use lists of our own.
    await mkdir(join(work, 'state', 'lists', 'partial'), { recursive: true })
    const lists = ['-o', `Dir::State::lists=${join(work, 'state', 'lists')}`]
    await runProgram('apt-get', [...base, ...lists, 'update'])
    await fetch(lists)
  }
}
