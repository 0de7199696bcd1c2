import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { AppError } from '../../core/errors.ts'
import { z } from '../../core/schema.ts'
import type { Role } from '../roles/role.ts'
import { roleCommand } from './run-role.ts'

/** The new value is not wanted. */
class UnwantedError extends AppError {
  readonly code = 'TEST_UNWANTED'
  readonly fault = 'caller'
}

const schema = z.object({ speed: z.number().max(100).default(1) })
type Config = z.output<typeof schema>

/** Waits until `check` holds, for at most five seconds. */
async function until(check: () => boolean): Promise<void> {
  for (const endMs = performance.now() + 5_000; !check(); ) {
    assert.ok(performance.now() < endMs, `still not so: ${check}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

test('SIGHUP reads the configuration again; what cannot be used is told, and leaves things as they were', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'run-role-'))
  const file = join(folder, 'config.json')
  const log: string[] = []
  const write = process.stderr.write
  process.stderr.write = ((line: string) => log.push(line) > 0) as never
  try {
    const speeds: number[] = []
    let started = false
    const role: Role<Config> = {
      name: 'test',
      schema,
      envPrefix: 'LASTMILE_TEST',
      async start({ speed }) {
        speeds.push(speed)
        started = true
        return {
          serves: {},
          async reload(next: Config) {
            if (next.speed === 13) throw new UnwantedError('13 brings bad luck')
            speeds.push(next.speed)
          },
          async [Symbol.asyncDispose]() {},
        }
      },
    }
    writeFileSync(file, '{ "speed": 2 }')
    const input = { values: { config: file }, positionals: [], set: {} }
    const ended = roleCommand(role as Role, 'a test', '').run(input)
    await until(() => started && process.listenerCount('SIGHUP') === 1)
    const hangUp = async (content: string, told: RegExp): Promise<void> => {
      writeFileSync(file, content)
      log.length = 0
      process.kill(process.pid, 'SIGHUP')
      await until(() => log.some((line) => told.test(line)))
    }
    await hangUp('{ "speed": 3 }', /configuration read again/)
    await hangUp('{ "speed": 101 }', /stays as it was: CONFIG_INVALID.*speed/)
    await hangUp('{ "sped": 4 }', /stays as it was: CONFIG_INVALID.*sped/)
    await hangUp('{', /stays as it was: CONFIG_INVALID.*not JSON/)
    await hangUp('{ "speed": 13 }', /stays as it was: TEST_UNWANTED/)
    await hangUp('{ "speed": 4 }', /configuration read again/)
    assert.deepEqual(speeds, [2, 3, 4])
    process.kill(process.pid, 'SIGTERM')
    assert.equal(await ended, 0)
    assert.equal(process.listenerCount('SIGHUP'), 0)
  } finally {
    process.stderr.write = write
    rmSync(folder, { recursive: true })
  }
})
