import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { FolderNotPackableError, packFolder } from './pack-folder.ts'

test('another program unpacks what we packed, byte for byte', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'lastmile-pack-'))
  t.after(() => rmSync(folder, { recursive: true }))
  mkdirSync(join(folder, 'in/deep'), { recursive: true })
  writeFileSync(join(folder, 'in/main.py'), 'print("grüße")\n')
  writeFileSync(join(folder, 'in/deep/empty'), '')
  writeFileSync(join(folder, 'code.zip'), packFolder(join(folder, 'in')))
  execFileSync('unzip', ['-q', join(folder, 'code.zip'), '-d', join(folder, 'out')])
  assert.equal(readFileSync(join(folder, 'out/main.py'), 'utf8'), 'print("grüße")\n')
  assert.equal(readFileSync(join(folder, 'out/deep/empty'), 'utf8'), '')
  assert.deepEqual(packFolder(join(folder, 'in')), packFolder(join(folder, 'in')))
})

test('a folder that is absent or empty is an error that says so', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'lastmile-pack-'))
  t.after(() => rmSync(folder, { recursive: true }))
  assert.throws(
    () => packFolder(folder),
    (error) => error instanceof FolderNotPackableError && /holds no file/.test(error.message),
  )
  assert.throws(() => packFolder(join(folder, 'absent')), /cannot be read/)
})
