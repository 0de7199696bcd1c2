/** Generated pages and links tell the truth. */
import assert from 'node:assert/strict'
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { roles } from '../cli/roles/roles.ts'
import { describeConfig, loadConfig } from '../core/config.ts'
import { createMetrics } from '../core/metrics.ts'
import { fleetMetrics } from '../gateway/fleet/metrics.ts'
import { gatewayMetrics } from '../gateway/metrics.ts'
import { duplicateCodes, referencePages } from './reference-pages.ts'

const root = new URL('..', import.meta.url).pathname

test('the reference pages are what the sources say (deploy/node test/reference-pages.ts writes them)', async () => {
  for (const [path, text] of Object.entries(await referencePages())) {
    assert.equal(readFileSync(root + path, 'utf8'), text, path)
  }
})

test('no two errors share a code', () => assert.deepEqual(duplicateCodes(), []))

test('every link between our pages leads somewhere', () => {
  const broken: string[] = []
  for (const page of globSync('**/*.md', { cwd: root, exclude: ['**/node_modules/**', '.lastmile/**'] })) {
    for (const [, target] of readFileSync(root + page, 'utf8').matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)) {
      if (target === undefined || /^[a-z]+:/.test(target)) continue
      if (!existsSync(join(root, dirname(page), target))) broken.push(`${page}: ${target}`)
    }
  }
  assert.deepEqual(broken, [])
})

/** Reads the configuration as the role would from a file. */
function loadGateway(t: TestContext, text: string) {
  const file = join(mkdtempSync(join(tmpdir(), 'lastmile-guide-')), 'gateway.json')
  t.after(() => rmSync(dirname(file), { recursive: true }))
  writeFileSync(file, text)
  assert.ok(roles.gateway)
  return loadConfig(roles.gateway.schema, { file, envPrefix: roles.gateway.envPrefix }).config
}

/** The examples of configuration in a guide. */
function examplesOf(guide: string): string[] {
  const text = readFileSync(`${root}docs/guides/${guide}`, 'utf8')
  return [...text.matchAll(/```json\n([\s\S]*?)```/g)].map((match) => match[1] as string)
}

test('the configuration in the guide for balancers is one that the gateway takes', (t) => {
  const [example] = examplesOf('run-a-balancer.md')
  assert.ok(example, 'the guide shows a configuration')
  assert.equal(loadGateway(t, example).zone, 'gw.example.com')
})

test('every example in the tuning guide can be added to that configuration, and each key in it says something', (t) => {
  const [whole = '{}'] = examplesOf('run-a-balancer.md')
  const examples = examplesOf('tuning.md')
  assert.ok(examples.length >= 4, `${examples.length} examples`)
  const before = loadGateway(t, whole)
  for (const example of examples) {
    const [base, added] = [JSON.parse(whole), JSON.parse(example)]
    for (const [group, value] of Object.entries<object>(added)) base[group] = { ...base[group], ...value }
    assert.notDeepEqual(loadGateway(t, JSON.stringify(base)), before, example)
  }
})

test('every metric and every key that the tuning guide names is there', async (t) => {
  const guide = readFileSync(`${root}docs/guides/tuning.md`, 'utf8')
  const registry = createMetrics({ defaults: true })
  gatewayMetrics(registry)
  fleetMetrics(registry)
  const metrics = await registry.text()
  const named = [...guide.matchAll(/`((?:gateway|nodejs|process)_[a-z0-9_]+)/g)].map((match) => match[1] as string)
  assert.ok(named.length > 15, `${named.length} metrics`)
  assert.deepEqual(
    named.filter((name) => !metrics.includes(`# TYPE ${name} `)),
    [],
  )
  assert.ok(roles.gateway)
  const known = new Set(describeConfig(roles.gateway.schema).map(({ key }) => key))
  const groups = new Set([...known].map((key) => key.split('.', 1)[0]))
  const keys = [...guide.matchAll(/`([a-z]\w*)\.(\w+)`/g)].filter(([, group = '']) => groups.has(group))
  assert.ok(keys.length > 20, `${keys.length} keys`)
  assert.deepEqual(
    keys.map(([, group, key]) => `${group}.${key}`).filter((key) => !known.has(key)),
    [],
  )
  t.diagnostic(`${named.length} metrics, ${keys.length} keys`)
})
