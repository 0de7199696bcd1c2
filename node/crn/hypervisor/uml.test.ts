import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { guestDir, hypervisorConformance } from './hypervisor.conformance.ts'
import { umlHypervisor } from './uml.ts'

hypervisorConformance('uml', ({ vmsDir }) => umlHypervisor({ guestDir, vmsDir }), { ownKernel: true })

test('a machine without the guest images is told what to run', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'lastmile-uml-'))
  const probed = await umlHypervisor({ guestDir: folder, vmsDir: folder }).probe()
  rmSync(folder, { recursive: true })
  assert.equal(probed.works, false)
  assert.match(JSON.stringify(probed), /linux is missing.*deploy\/setup/)
})
