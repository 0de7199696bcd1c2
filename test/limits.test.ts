/** docs/LIMITS.md and docs/THREATS.md tell the truth: keys, defaults, numbers in the code, and the tests that show each. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { type ConfigSchema, describeConfig } from '../core/config.ts'
import { gatewayConfigSchema } from '../gateway/config.ts'
import { siteOptionsSchema } from '../gateway/guard/config.ts'

const root = new URL('..', import.meta.url).pathname
const read = (path: string): string => readFileSync(root + path, 'utf8')
const page = read('docs/LIMITS.md')

/** Numbers that bound nothing: places to listen at, and how hard a compressor tries. */
const boundsNothing =
  /^(publicHttpsPort|listen\.https?Port|admin\.port|compression\.(zstdLevel|brotliQuality|gzipLevel))$/
/** Not numbers, but bounded in number. */
const bounded = ['workers', 'balance.drainedHosts']

const isLimit = ({ key, default: value }: { key: string; default: unknown }): boolean =>
  bounded.includes(key) || (typeof value === 'number' && !boundsNothing.test(key))

test('every limit of the gateway has a row with its default', () => {
  const leaves = [gatewayConfigSchema, siteOptionsSchema].flatMap((schema) =>
    describeConfig(schema as unknown as ConfigSchema).filter(isLimit),
  )
  assert.ok(leaves.length > 80, `${leaves.length} limits`)
  const rows = leaves.map(({ key, default: value }) => `| \`${key}\` | \`${JSON.stringify(value)}\` |`)
  assert.deepEqual(
    rows.filter((row) => page.split(row).length !== 2),
    [],
  )
})

test('every key that has a row exists', () => {
  const known = new Set(
    [gatewayConfigSchema, siteOptionsSchema].flatMap((schema) =>
      describeConfig(schema as unknown as ConfigSchema).map(({ key }) => key),
    ),
  )
  const rows = [...page.matchAll(/^\| `([\w.]+)` \|/gm)].map(([, key = '']) => key)
  assert.deepEqual(
    rows.filter((key) => !known.has(key)),
    [],
  )
})

test('numbers of the code are those of the code', () => {
  const rows = [...page.matchAll(/\| `([\w/.-]+\.ts)` `(\w+)` \| ([\d ]+)/g)]
  assert.ok(rows.length >= 8, `${rows.length} rows`)
  for (const [, file = '', name = '', value = ''] of rows) {
    const [, written = ''] = new RegExp(`const ${name} = ([\\d_]+)`).exec(read(file)) ?? []
    assert.equal(Number(written.replaceAll('_', '')), Number(value.replaceAll(' ', '')), `${file}: ${name}`)
  }
})

test('every row names a test', () => {
  const rows = page.split('\n').filter((line) => /^\| (?!key|limit|option|---)/.test(line))
  assert.ok(rows.length > 120, `${rows.length} rows`)
  assert.deepEqual(
    rows.filter((row) => !/\.test\.ts`: [^|]+\|$/.test(row)),
    [],
  )
})

for (const name of ['LIMITS', 'THREATS']) {
  test(`every test that docs/${name}.md names is there`, () => {
    const cited = [...read(`docs/${name}.md`).matchAll(/`([\w./-]+\.test\.ts)`: ([^|();`]+)/g)]
    assert.ok(cited.length > 20, `${cited.length} tests are named`)
    const absent = cited
      .map(([, file = '', title = '']) => ({ file, title: title.trim().replace(/\.$/, '') }))
      .filter(({ file, title }) => !existsSync(root + file) || !read(file).includes(title))
    assert.deepEqual(absent, [])
  })
}

test('what is not defended against yet is what we know of', () => {
  const open = read('docs/THREATS.md')
    .split('\n')
    .filter((line) => line.startsWith('|') && line.includes('*not yet*'))
    .map((line) => line.split(' | ')[1])
  assert.deepEqual(open, ['to be listed on the Public Suffix List', 'to be vetted again at every connect'])
})
