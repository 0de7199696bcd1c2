import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { ConfigError, describeConfig, envName, loadConfig } from './config.ts'
import { z } from './schema.ts'

const schema = z.object({
  name: z.string().default('edge').describe('What this instance is called.'),
  listen: z
    .object({ httpPort: z.number().int().min(0).max(65_535).default(80), host: z.string().default('::') })
    .prefault({}),
})

test('a flag beats the environment, which beats the file, which beats the default; each value tells where it came from', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'lastmile-config-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'edge.json')
  writeFileSync(file, JSON.stringify({ name: 'from-file', listen: { httpPort: 1, host: '127.0.0.1' } }))
  const { config, sources } = loadConfig(schema, {
    file,
    env: { T_NAME: 'from-env', T_LISTEN__HTTP_PORT: '2' },
    flags: { 'listen.httpPort': '3' },
    envPrefix: 'T',
  })
  assert.deepEqual(config, { name: 'from-env', listen: { httpPort: 3, host: '127.0.0.1' } })
  assert.equal(sources.get('listen.httpPort'), '--set listen.httpPort')
  assert.equal(sources.get('name'), 'env T_NAME')
  assert.equal(sources.get('listen.host'), `file ${file}`)
})

test('nothing given means defaults', () => {
  const { config, sources } = loadConfig(schema, { envPrefix: 'T' })
  assert.deepEqual(config, { name: 'edge', listen: { httpPort: 80, host: '::' } })
  assert.equal(sources.get('name'), 'default')
})

test('an unknown key and a wrong value are errors that name the key and its origin', () => {
  assert.throws(
    () => loadConfig(schema, { flags: { nmae: 'x' }, envPrefix: 'T' }),
    (error) => error instanceof ConfigError && /nmae/.test(error.message),
  )
  assert.throws(
    () => loadConfig(schema, { env: { T_LISTEN__HTTP_PORT: '70000' }, envPrefix: 'T' }),
    (error) =>
      error instanceof ConfigError &&
      /listen\.httpPort/.test(error.message) &&
      /T_LISTEN__HTTP_PORT/.test(error.hint ?? ''),
  )
})

test('an unknown key inside a group is refused too, with the keys that are there', () => {
  assert.throws(
    () => loadConfig(schema, { flags: { 'listen.httpProt': '80' }, envPrefix: 'T' }),
    (error) =>
      error instanceof ConfigError &&
      /listen\.httpProt/.test(error.message) &&
      /listen\.httpPort/.test(error.hint ?? ''),
  )
})

test('a file that is missing, or not JSON, is named', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'lastmile-config-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'broken.json')
  assert.throws(() => loadConfig(schema, { file, envPrefix: 'T' }), /broken\.json cannot be read/)
  writeFileSync(file, '{ "name": ')
  assert.throws(() => loadConfig(schema, { file, envPrefix: 'T' }), /broken\.json is not JSON/)
})

test('the keys of a schema are listed with description and default', () => {
  assert.deepEqual(describeConfig(schema)[0], {
    key: 'name',
    description: 'What this instance is called.',
    default: 'edge',
  })
  assert.equal(envName('LASTMILE_GATEWAY', 'listen.httpPort'), 'LASTMILE_GATEWAY_LISTEN__HTTP_PORT')
})

test('a table in the file is taken as it stands, names with dots included', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'lastmile-config-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'edge.json')
  const sites = { 'app.example.net': { rate: 5 } }
  writeFileSync(file, JSON.stringify({ group: { sites } }))
  const tables = z.object({
    group: z.object({ sites: z.record(z.string(), z.strictObject({ rate: z.number() })).default({}) }).prefault({}),
  })
  assert.deepEqual(loadConfig(tables, { file, envPrefix: 'T' }).config, { group: { sites } })
})
