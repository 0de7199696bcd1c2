/** Generated pages and links tell the truth. */
import assert from 'node:assert/strict'
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { roles } from '../cli/roles/roles.ts'
import { loadConfig } from '../core/config.ts'
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

test('the configuration in the guide for balancers is one that the gateway takes', (t) => {
  const guide = readFileSync(`${root}docs/guides/run-a-balancer.md`, 'utf8')
  const example = /```json\n([\s\S]*?)```/.exec(guide)?.[1]
  assert.ok(example && roles.gateway, 'the guide shows a configuration')
  const file = join(mkdtempSync(join(tmpdir(), 'lastmile-guide-')), 'gateway.json')
  t.after(() => rmSync(dirname(file), { recursive: true }))
  writeFileSync(file, example)
  const { config } = loadConfig(roles.gateway.schema, { file, envPrefix: roles.gateway.envPrefix })
  assert.equal(config.zone, 'gw.example.com')
})
