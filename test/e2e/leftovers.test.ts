/** What a developer's Ctrl-C, and what a kill -9, leave on the machine: nothing. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { findLeftovers, isEmpty, type Leftovers } from '../leftovers.ts'

const root = new URL('../..', import.meta.url).pathname
const startTimeoutMs = 120_000
const goneWithinMs = 20_000

for (const signal of ['SIGINT', 'SIGKILL'] as const) {
  test(`after ${signal} of "lastmile dev" no process, mount, device or file is left outside the state folder`, async (t) => {
    const stateDir = mkdtempSync(join(root, '.lastmile/test-'))
    t.after(() => rmSync(stateDir, { recursive: true, force: true }))
    const before = findLeftovers()
    const dev = await startDev(stateDir)
    assert.ok(!isEmpty(findLeftovers(before)), 'a running network is seen, so the look can find something')
    dev.kill(signal)
    const left = await leftoversAfter(before)
    assert.ok(isEmpty(left), JSON.stringify(left))
    if (signal === 'SIGINT') assert.equal(dev.exitCode, 0)
  })
}

function startDev(stateDir: string): Promise<ChildProcess> {
  const dev = spawn(join(root, 'lastmile'), ['dev', '--state', stateDir], { stdio: ['ignore', 'pipe', 'pipe'] })
  let text = ''
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      dev.kill('SIGKILL')
      reject(new Error(`not ready after ${startTimeoutMs} ms: ${text.slice(-2_000)}`))
    }, startTimeoutMs)
    const take = (chunk: Buffer): void => {
      text += chunk
      if (!/^ready in /m.test(text)) return
      clearTimeout(timer)
      resolve(dev)
    }
    dev.stdout?.on('data', take)
    dev.stderr?.on('data', take)
    dev.once('exit', () => reject(new Error(`ended before it was ready: ${text.slice(-2_000)}`)))
  })
}

/** Looks again until nothing is left, or time runs out; the kernel needs a moment to end a jail. */
async function leftoversAfter(before: Leftovers): Promise<Leftovers> {
  const endMs = performance.now() + goneWithinMs
  for (;;) {
    const left = findLeftovers(before)
    if (isEmpty(left) || performance.now() > endMs) return left
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}
