import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { StateFolderTakenError, startNetwork } from './network.ts'

test('a folder with files of somebody else is refused as state folder, and not touched', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'lastmile-state-'))
  t.after(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'thesis.txt'), 'years of work')
  await assert.rejects(startNetwork({ stateDir: folder, ports: 'any' }), StateFolderTakenError)
  assert.deepEqual(readdirSync(folder), ['thesis.txt'])
})
