import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { processesUsing } from './hypervisor/processes-using.ts'

const fixture = join(import.meta.dirname, 'fixtures/leak-host.ts')
/** The reference measured 2 s until the kernel has taken down a jail whose parent was killed; a loaded machine needs more. */
const patienceMs = 15_000

interface Host {
  child: ChildProcess
  stateDir: string
  url: string
}

async function startHost(stateDir: string, hypervisor: string): Promise<Host> {
  const child = spawn(process.execPath, [fixture, stateDir, hypervisor], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = (await once(child.stdout as NodeJS.ReadableStream, 'data')) as [Buffer]
  return { child, stateDir, url: line.toString().trim() }
}

/** What a guest could leave outside its folder: mounts, the file of its memory, the control folder of user-mode Linux. */
function traces(stateDir: string): unknown {
  return {
    mounts: readFileSync('/proc/self/mounts', 'utf8')
      .split('\n')
      .filter((line) => line.includes(stateDir)),
    memory: ['/dev/shm', '/tmp'].flatMap((folder) => readdirSync(folder).filter((name) => name.startsWith('vm_file-'))),
    control: existsSync(join(process.env.HOME ?? '/', '.uml')),
  }
}

async function gone(stateDir: string): Promise<void> {
  const endMs = performance.now() + patienceMs
  while (processesUsing(stateDir).length > 0 && performance.now() < endMs)
    await new Promise((resolve) => setTimeout(resolve, 50))
  assert.deepEqual(processesUsing(stateDir), [])
}

for (const hypervisor of ['fake', 'uml']) {
  test(`${hypervisor}: a host that is stopped, or killed with kill -9, leaves no process, mount or file outside its folder, and starts again`, async () => {
    const stateDir = mkdtempSync(join(tmpdir(), 'lastmile-leak-'))
    const before = traces(stateDir)
    const first = await startHost(stateDir, hypervisor)
    assert.equal(await (await fetch(first.url)).text(), 'served')
    assert.ok(processesUsing(stateDir).length > 2, 'the guests run')
    first.child.kill('SIGKILL')
    await once(first.child, 'exit')
    await gone(stateDir)
    assert.deepEqual(traces(stateDir), before)

    const second = await startHost(stateDir, hypervisor)
    assert.equal(await (await fetch(second.url)).text(), 'served', 'it comes up clean and serves again')
    second.child.kill('SIGTERM')
    assert.deepEqual(await once(second.child, 'exit'), [0, null])
    await gone(stateDir)
    assert.deepEqual(readdirSync(join(stateDir, 'vms')), [])
    assert.deepEqual(traces(stateDir), before)
    rmSync(stateDir, { recursive: true, force: true })
  })
}
