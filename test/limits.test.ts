/** docs/LIMITS.md tells the truth: keys, defaults, and the tests that show each limit. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { type ConfigSchema, describeConfig } from '../core/config.ts'
import { z } from '../core/schema.ts'
import { gatewayConfigSchema } from '../gateway/config.ts'
import { clientsConfigSchema, compressionConfigSchema, memoryConfigSchema } from '../gateway/guard/config.ts'

const root = new URL('..', import.meta.url).pathname
const page = readFileSync(`${root}docs/LIMITS.md`, 'utf8')

const guard = z.object({
  clients: clientsConfigSchema.prefault({}),
  memory: memoryConfigSchema.prefault({}),
  compression: compressionConfigSchema.prefault({}),
})

/** Groups of which every key that bounds something has a row. */
const groups = /^(limits|timeouts|routes|static|clients|memory|compression|http2)\.\w*(Max|Ms|Bytes|PerSecond|Burst)$/

test('every limit of the gateway has a row with its default', () => {
  const leaves = new Map(
    [gatewayConfigSchema, guard].flatMap((schema) =>
      describeConfig(schema as unknown as ConfigSchema).map((leaf) => [leaf.key, leaf.default] as const),
    ),
  )
  const missing = [...leaves]
    .filter(([key, value]) => groups.test(key) && !page.includes(`| \`${key}\` | \`${JSON.stringify(value)}\` |`))
    .map(([key, value]) => `${key} ${JSON.stringify(value)}`)
  assert.deepEqual(missing, [])
})

for (const name of ['LIMITS', 'THREATS']) {
  test(`every test that docs/${name}.md names is there`, () => {
    const text = readFileSync(`${root}docs/${name}.md`, 'utf8')
    const cited = [...text.matchAll(/`([\w./-]+\.test\.ts)`: ([^|();`]+)/g)]
    assert.ok(cited.length > 20, `${cited.length} tests are named`)
    const absent = cited
      .map(([, file = '', title = '']) => ({ file, title: title.trim().replace(/\.$/, '') }))
      .filter(({ file, title }) => !existsSync(root + file) || !readFileSync(root + file, 'utf8').includes(title))
    assert.deepEqual(absent, [])
  })
}
