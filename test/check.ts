/** The static checks: types, Biome, knip, import table. One line each; the output of what failed; exit code 1 when anything did. */
import { spawnSync } from 'node:child_process'

const root = new URL('..', import.meta.url).pathname
const bin = (name: string): string => `${root}node_modules/.bin/${name}`
const checks: [name: string, command: string, args: string[]][] = [
  ['types (tsc)', bin('tsc'), ['--noEmit', '-p', root]],
  ['lint and format (Biome)', bin('biome'), ['check', '--error-on-warnings', root]],
  ['unused files, exports and packages (knip)', bin('knip'), ['--no-progress', '--directory', root]],
  [
    'import table and house rules (tidy)',
    process.execPath,
    ['--test', '--test-reporter=spec', `${root}test/tidy.test.ts`],
  ],
]

let failed = 0
for (const [name, command, args] of checks) {
  const startedAt = performance.now()
  const result = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, PATH: `${process.execPath.replace(/\/node$/, '')}:${process.env.PATH}` },
  })
  const ok = result.status === 0
  if (!ok) failed++
  console.log(`${ok ? 'ok  ' : 'FAIL'}  ${name}  ${((performance.now() - startedAt) / 1000).toFixed(1)} s`)
  if (!ok) console.log(`${result.stdout}${result.stderr}${result.error?.message ?? ''}`)
}
console.log(`${checks.length - failed} passed, ${failed} failed`)
process.exit(failed > 0 ? 1 : 0)
