/** Keeps the house: who may import whom, one adapter per package, no drawers for odds and ends. */
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { test } from 'node:test'

const root = new URL('..', import.meta.url).pathname
const modules = ['gateway', 'acme', 'resolver', 'node/client', 'node/ccn', 'node/crn'] as const
const tops = ['core', 'node/protocol', ...modules, 'cli', 'test', 'deploy'] as const
type Top = (typeof tops)[number]

/** Which parts each part may import, itself apart. */
const allowed: Record<Top, readonly Top[]> = {
  core: [],
  'node/protocol': ['core'],
  ...(Object.fromEntries(modules.map((name) => [name, ['core', 'node/protocol']])) as Record<
    (typeof modules)[number],
    Top[]
  >),
  cli: ['core', 'node/protocol', ...modules],
  // The network's own SDK and the shared network are test matter; tests may look at everything.
  test: ['core', 'node/protocol', ...modules, 'cli', 'deploy'],
  deploy: ['core'],
}

/** Packages that may be imported anywhere, each with its reason. */
const sharedPackages: Record<string, string> = {
  multiformats: 'CIDs are a value type of the protocol, like hashes',
  'lru-cache': 'a data structure; each cache owns its own',
}

const files = globSync('{core,gateway,acme,resolver,node,cli,test,deploy}/**/*.ts', {
  cwd: root,
  exclude: ['**/node_modules/**', '**/samples/**'],
}).sort()

function topOf(file: string): Top {
  const found = tops.filter((top) => file.startsWith(`${top}/`)).sort((a, b) => b.length - a.length)[0]
  assert.ok(found, `${file} belongs to no known part of the house`)
  return found
}

function importsOf(file: string): string[] {
  const text = readFileSync(root + file, 'utf8')
  return [
    ...text.matchAll(
      /(?:^|\n)\s*(?:import|export)\b[^'"`;]*?\bfrom\s+'([^']+)'|(?:^|\n)import\s+'([^']+)'|\bimport\('([^']+)'\)/g,
    ),
  ].map((match) => (match[1] ?? match[2] ?? match[3]) as string)
}

const isTest = (file: string): boolean =>
  file.startsWith('test/') || /\.(test|conformance)\.ts$/.test(file) || file.includes('/testing/')

test('there are files to look at', () => assert.ok(files.length > 20))

test('imports follow the table: core <- protocol <- modules <- cli, test', () => {
  const wrong: string[] = []
  for (const file of files) {
    for (const specifier of importsOf(file).filter((name) => name.startsWith('.'))) {
      const target = relative(root, join(root, dirname(file), specifier))
      const [from, to] = [topOf(file), topOf(target)]
      if (from !== to && !allowed[from].includes(to))
        wrong.push(`${file} imports ${target}: ${from} may not import ${to}`)
    }
  }
  assert.deepEqual(wrong, [])
})

test('a third-party package is imported in one place of a part: a file, or the folder that is about it', () => {
  const users = new Map<string, Set<string>>()
  for (const file of files.filter((name) => !isTest(name))) {
    for (const specifier of importsOf(file).filter((name) => !name.startsWith('.') && !name.startsWith('node:'))) {
      const name = specifier
        .split('/')
        .slice(0, specifier.startsWith('@') ? 2 : 1)
        .join('/')
      if (sharedPackages[name]) continue
      const key = `${name} in ${topOf(file)}`
      users.set(key, (users.get(key) ?? new Set()).add(dirname(file)))
    }
  }
  const wrong = [...users]
    .filter(([, where]) => where.size > 1)
    .map(([key, where]) => `${key}: ${[...where].join(', ')}`)
  assert.deepEqual(wrong, [])
})

test('no file or folder is a drawer for odds and ends', () => {
  assert.deepEqual(
    files.filter((file) => /(^|\/)(utils?|helpers?|common|misc)(\/|\.|-)/.test(file)),
    [],
  )
})

test('every module shows the same face', () => {
  const missing = [...modules, 'node/protocol', 'core']
    .filter((name) => !globSync(`${name}/README.md`, { cwd: root }).length)
    .map((name) => `${name}/README.md`)
  const faces = modules
    .filter((name) => name !== 'node/client')
    .flatMap((name) => ['config.ts', 'ports.ts', 'errors.ts', 'metrics.ts'].map((file) => `${name}/${file}`))
    .filter((path) => !globSync(path, { cwd: root }).length)
  assert.deepEqual([...missing, ...faces], [])
})
