import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { ConfigError, describeConfig, loadConfig } from '../../core/config.ts'
import { parseShape, z } from '../../core/schema.ts'
import {
  clientsConfigSchema,
  compressionConfigSchema,
  memoryConfigSchema,
  siteOptionsSchema,
  sitesConfigSchema,
  trustConfigSchema,
} from '../guard/config.ts'
import { SiteOptionsTable } from './site-options.ts'

const schema = z.object({
  clients: clientsConfigSchema.prefault({}),
  trust: trustConfigSchema.prefault({}),
  memory: memoryConfigSchema.prefault({}),
  compression: compressionConfigSchema.prefault({}),
  sites: sitesConfigSchema,
})

function table(sites: Record<string, unknown>): SiteOptionsTable {
  return new SiteOptionsTable(parseShape(sitesConfigSchema, sites, 'sites'))
}

test('an exact name beats a wildcard, a longer wildcard a shorter one, and any of them the default', () => {
  const options = table({
    'app.example.net': { requestsPerSecond: 1 },
    '*.example.net': { requestsPerSecond: 2 },
    '*.eu.example.net': { requestsPerSecond: 3 },
    '*': { requestsPerSecond: 4 },
  })
  const rows: [string, number][] = [
    ['app.example.net', 1],
    ['b.example.net', 2],
    ['a.b.example.net', 2],
    ['x.eu.example.net', 3],
    ['eu.example.net', 2],
    ['example.net', 4],
    ['badexample.net', 4],
    ['net', 4],
  ]
  for (const [host, expected] of rows) assert.equal(options.optionsFor(host).requestsPerSecond, expected, host)
})

test('the most exact pattern counts alone: what it leaves out has its default', () => {
  const options = table({ 'a.test': { hedge: true }, '*': { tellClient: true } })
  assert.deepEqual(options.optionsFor('a.test'), { ...siteOptionsSchema.parse({}), hedge: true })
  assert.equal(options.optionsFor('b.test').tellClient, true)
})

test('without any site everything has its default, and nobody is told who asks', () => {
  const options = table({})
  assert.equal(options.optionsFor('a.test'), options.default)
  assert.equal(options.default.tellClient, false)
  assert.equal(
    options.some(({ clientCertificates }) => clientCertificates !== undefined),
    false,
  )
  assert.ok(
    table({ '*.a.test': { clientCertificates: '/ca.pem' } }).some((site) => site.clientCertificates !== undefined),
  )
})

test('the table never changes, also when what it was made from does', () => {
  const sites = sitesConfigSchema.parse({ 'a.test': { hedge: true } })
  const options = new SiteOptionsTable(sites)
  Object.assign(sites, { 'b.test': sites['a.test'] })
  Object.assign(sites['a.test'] ?? {}, { hedge: false })
  assert.equal(options.optionsFor('a.test').hedge, true)
  assert.equal(options.optionsFor('b.test').hedge, false)
  assert.throws(() => Object.assign(options.optionsFor('a.test'), { hedge: false }), TypeError)
})

test('the look-up agrees with trying every pattern', () => {
  const name = fc
    .array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 4 })
    .map((labels) => labels.join('.'))
  const pattern = fc.oneof(
    name,
    name.map((text) => `*.${text}`),
  )
  fc.assert(
    fc.property(fc.uniqueArray(pattern), name, (patterns, host) => {
      const options = table(Object.fromEntries(patterns.map((key, index) => [key, { requestsPerSecond: index + 1 }])))
      const covering = patterns.filter((key) => (key.startsWith('*.') ? host.endsWith(key.slice(1)) : key === host))
      const best = covering.sort(
        (x, y) => Number(x.startsWith('*')) - Number(y.startsWith('*')) || y.length - x.length,
      )[0]
      const expected = best === undefined ? 0 : patterns.indexOf(best) + 1
      assert.equal(options.optionsFor(host).requestsPerSecond, expected)
    }),
    { numRuns: 500 },
  )
})

test('sites can be written in a configuration file, under their names with dots', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'lastmile-sites-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'gateway.json')
  writeFileSync(file, JSON.stringify({ sites: { 'app.example.net': { hedge: true }, '*.eu.example.net': {} } }))
  const { config, sources } = loadConfig(schema, { file, envPrefix: 'T' })
  assert.deepEqual(Object.keys(config.sites), ['app.example.net', '*.eu.example.net'])
  assert.equal(config.sites['app.example.net']?.hedge, true)
  assert.equal(sources.get('sites'), `file ${file}`)
})

test('a misspelt option, a bad name and a bad range are refused by their place', () => {
  const load = (flags: Record<string, string>) => () => loadConfig(schema, { flags, envPrefix: 'T' })
  assert.throws(load({ sites: '{"a.test":{"hegde":true}}' }), ConfigError)
  assert.throws(load({ sites: '{"A.test":{}}' }), ConfigError)
  assert.throws(load({ sites: '{"*a.test":{}}' }), ConfigError)
  assert.throws(load({ sites: '{"10.0.0.1":{}}' }), ConfigError)
  assert.throws(load({ 'trust.addresses': '["10.0.0.1/8"]' }), /10\.0\.0\.0\/8/)
  assert.throws(load({ 'memory.softBytes': '2', 'memory.hardBytes': '1' }), /softBytes/)
})

test('every option says what it is for, and the tuning guide shows each option of a site', () => {
  const guide = readFileSync(new URL('../../docs/guides/tuning.md', import.meta.url), 'utf8')
  for (const { key, description } of describeConfig(schema)) assert.ok(description.length > 20, key)
  for (const { key, description, default: value } of describeConfig(siteOptionsSchema as never)) {
    assert.ok(description.length > 20, key)
    assert.match(
      guide,
      new RegExp(`\\| \`${key}\` \\| \`?${value === undefined ? 'none' : JSON.stringify(value)}`),
      key,
    )
  }
})
