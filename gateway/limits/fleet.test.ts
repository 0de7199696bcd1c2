// What the processes of one gateway wait for each other, and what they keep of each other.
import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { memoryLog } from '../../core/log.ts'
import { CertificateMirror, type RemoteCertificates } from '../fleet/certificate-mirror.ts'
import { WorkerProcess } from '../fleet/worker-process.ts'
import type { SiteCertificate } from '../ports.ts'
import { connectTls } from '../testing/client.ts'
import { converse } from '../testing/conversation.ts'
import { startFakeHost } from '../testing/fake-host.ts'
import { startTestGateway, type TestGateway } from '../testing/test-gateway.ts'

/** Lets a wait of `slowMs` for another process pass a hundred times as fast, and counts such waits. */
function hurry(t: TestContext, slowMs: number): { waits: number } {
  const seen = { waits: 0 }
  const timeout = AbortSignal.timeout.bind(AbortSignal)
  t.mock.method(AbortSignal, 'timeout', (ms: number) => {
    if (ms !== slowMs) return timeout(ms)
    seen.waits++
    return timeout(ms / 100)
  })
  return seen
}

async function pidsOf({ adminPort }: TestGateway): Promise<number[]> {
  const status = await (await fetch(`http://127.0.0.1:${adminPort}/api/v0/status`)).json()
  return (status as { workers: { pid: number }[] }).workers.map(({ pid }) => pid)
}

describe('a worker that hangs', () => {
  test('at its start is given up after 30 s', async (t) => {
    const seen = hurry(t, 30_000)
    const worker = new WorkerProcess(0, {} as never, memoryLog())
    process.kill(worker.pid, 'SIGSTOP')
    await assert.rejects(worker.start({} as never), { code: 'GATEWAY_WORKER_START' })
    assert.equal((await worker.exited).signal, 'SIGKILL')
    assert.equal(seen.waits, 1)
  })

  test('while the configuration is reloaded is replaced after 10 s', async (t) => {
    await using gateway = await startTestGateway({ workers: 1 } as never)
    const [hung] = await pidsOf(gateway)
    const seen = hurry(t, 10_000)
    const reloaded = gateway.reload({ ...gateway.config, limits: { ...gateway.config.limits, lookupsMax: 7 } })
    process.kill(hung as number, 'SIGSTOP')
    await reloaded
    assert.equal(seen.waits, 1)
    assert.notDeepEqual(await pidsOf(gateway), [hung])
  })
})

test('a process that is replaced has ten minutes to finish, then it is ended', async (t) => {
  await using host = await startFakeHost((_, response) => response.write('for ever'))
  await using gateway = await startTestGateway({ workers: 1 } as never)
  gateway.hosts.add('one', host.origin)
  const [old] = await pidsOf(gateway)
  await using talk = converse(await connectTls(gateway.httpsPort, 'app.test'))
  talk.say('GET / HTTP/1.1\r\nHost: app.test\r\n\r\n')
  await talk.hear(/for ever/)
  const waits: number[] = []
  const original = setTimeout
  t.mock.method(globalThis, 'setTimeout', (task: (value: unknown) => void, ms: number, value: unknown) => {
    if (ms < 100_000) return original(task, ms, value)
    waits.push(ms)
    return original(task, ms / 1_000, value)
  })
  await gateway.recycle()
  assert.deepEqual(waits, [602_000])
  await talk.end()
  assert.notDeepEqual(await pidsOf(gateway), [old])
})

describe('a worker keeps', () => {
  const certificate = (id: string): SiteCertificate => ({ id, certificatePem: '', keyPem: '', notAfterMs: 8e15 })
  const mirrorOf = (idOf: (name: string) => string): CertificateMirror => {
    const remote = { obtain: async (name: string) => certificate(idOf(name)) }
    return new CertificateMirror(remote as unknown as RemoteCertificates)
  }
  const { signal } = new AbortController()

  test('the certificates of 20,000 names, the least used go first', async () => {
    const mirror = mirrorOf(() => 'same')
    for (let i = 0; i <= 20_000; i++) await mirror.obtain(`${i}.test`, signal)
    assert.equal(mirror.find('0.test'), undefined)
    assert.ok(mirror.find('1.test') && mirror.find('20000.test'))
  })

  test('4,000 certificates that names share', async () => {
    const mirror = mirrorOf((name) => name.split('-')[0] as string)
    const first = []
    for (let i = 0; i <= 4_000; i++) first.push(await mirror.obtain(`${i}-a`, signal))
    assert.equal(await mirror.obtain('4000-b', signal), first[4_000])
    assert.equal(await mirror.obtain('1-b', signal), first[1])
    assert.notEqual(await mirror.obtain('0-b', signal), first[0])
  })
})
