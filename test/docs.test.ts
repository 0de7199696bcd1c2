/** Generated pages and links tell the truth. */
import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
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
