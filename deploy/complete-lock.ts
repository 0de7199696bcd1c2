/**
 * Adds to package-lock.json the optional packages of other platforms that npm left out because the registry in use does not carry
 * them. Without these entries `npm ci` calls the lock incomplete; with them it skips them by `os` and `cpu`, as it does anyway.
 * Run after `npm install` changed the lock: `deploy/node deploy/complete-lock.ts`.
 */
import { readFileSync, writeFileSync } from 'node:fs'

interface LockEntry {
  version?: string
  dev?: boolean
  optional?: boolean
  os?: string[]
  cpu?: string[]
  libc?: string[]
  optionalDependencies?: Record<string, string>
}

const path = new URL('../package-lock.json', import.meta.url).pathname
const lock = JSON.parse(readFileSync(path, 'utf8')) as { packages: Record<string, LockEntry> }
const systems = ['android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'sunos', 'aix', 'win32']
const processors = [
  'arm64',
  'arm',
  'x64',
  'ia32',
  'ppc64',
  'riscv64',
  's390x',
  'loong64',
  'mips64el',
  'wasm32',
  'amd64',
]

let added = 0
for (const [at, entry] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    if (isFound(name, at) || !/^\d+\.\d+\.\d+/.test(version)) continue
    lock.packages[`node_modules/${name}`] = {
      version,
      ...(entry.dev ? { dev: true } : {}),
      optional: true,
      ...platformOf(name),
    }
    added++
  }
}
lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)))
writeFileSync(path, `${JSON.stringify(lock, undefined, 2)}\n`)
console.log(`${added} optional packages of other platforms added`)

/** Whether Node's resolution from `at` upwards meets the package. */
function isFound(name: string, at: string): boolean {
  for (let folder = at; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf('/node_modules/')))) {
    if (lock.packages[`${folder === '' ? '' : `${folder}/`}node_modules/${name}`]) return true
    if (folder === '') return false
  }
}

/** Read off the name, as all such packages are called after their platform. One that is not is never installed. */
function platformOf(name: string): Pick<LockEntry, 'os' | 'cpu' | 'libc'> {
  const words = name.split(/[-/]/)
  const os = systems.find((system) => words.includes(system)) ?? 'none'
  const cpu = processors.find((processor) => words.includes(processor))
  const libc = words.includes('musl') ? { libc: ['musl'] } : {}
  return { os: [os], ...(cpu ? { cpu: [cpu === 'amd64' ? 'x64' : cpu] } : {}), ...libc }
}
