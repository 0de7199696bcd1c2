import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { type RunningProcess, startProcess } from '../../core/child-process.ts'
import { sha256Hex } from '../protocol/item-hash.ts'
import { sign } from './testing/start-test-ccn.ts'

test('kill -9 while messages and files stream in: everything acknowledged is there after the restart', async (context) => {
  const stateDir = await mkdtemp(join(tmpdir(), 'lastmile-crash-'))
  const acknowledged: { message: string; file: string }[] = []
  try {
    for (let round = 0; round < 2; round++) {
      await using node = await startNode(stateDir)
      await publishUntilKilled(node, round, acknowledged)
    }
    await using node = await startNode(stateDir)
    const url = urlOf(node)
    context.diagnostic(`${acknowledged.length} messages with files acknowledged over two kills`)
    assert.ok(acknowledged.length > 10)
    for (const { message, file } of acknowledged) {
      const shown = (await (await fetch(`${url}/api/v0/messages/${message}`)).json()) as { status: string }
      assert.equal(shown.status, 'processed')
      const bytes = await (await fetch(`${url}/api/v0/storage/raw/${file}`)).bytes()
      assert.equal(sha256Hex(bytes), file)
    }
    assert.deepEqual(await readdir(join(stateDir, 'files', 'incoming')), [], 'no half-written file is left')
    const list = (await (await fetch(`${url}/api/v0/messages.json?msgTypes=STORE&pagination=1000`)).json()) as {
      messages: { content: { item_hash: string } }[]
    }
    for (const { content } of list.messages) {
      assert.equal((await fetch(`${url}/api/v0/storage/raw/${content.item_hash}`, { method: 'HEAD' })).status, 200)
    }
  } finally {
    await rm(stateDir, { recursive: true })
  }
})

async function startNode(stateDir: string): Promise<RunningProcess> {
  const script = join(import.meta.dirname, 'testing', 'run-ccn.ts')
  return startProcess({
    name: 'ccn',
    command: process.execPath,
    args: [script, stateDir],
    ready: (output) => output.includes('http://'),
  })
}

function urlOf(node: RunningProcess): string {
  return /http:\/\/\S+/.exec(node.output())?.[0] as string
}

async function publishUntilKilled(
  node: RunningProcess,
  round: number,
  acknowledged: { message: string; file: string }[],
): Promise<void> {
  const url = urlOf(node)
  const enough = acknowledged.length + 12
  const lane = async (name: number): Promise<void> => {
    for (let index = 0; ; index++) {
      const text = `${round}-${name}-${index}-${'x'.repeat(20_000)}`
      const message = await sign('STORE', { item_type: 'storage', item_hash: sha256Hex(text) }, { time: index })
      const form = new FormData()
      form.append('metadata', JSON.stringify({ message, sync: true }))
      form.append('file', new Blob([text]))
      try {
        const response = await fetch(`${url}/api/v0/storage/add_file`, { method: 'POST', body: form })
        if (response.status === 200) acknowledged.push({ message: message.item_hash, file: sha256Hex(text) })
        await response.body?.cancel()
      } catch {
        return
      }
      if (acknowledged.length >= enough) process.kill(node.pid, 'SIGKILL')
    }
  }
  await Promise.all([0, 1, 2].map(lane))
}
