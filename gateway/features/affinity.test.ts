// Sites that send a client address to the same host.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { connectTls } from '../testing/client.ts'
import { converse } from '../testing/conversation.ts'
import { type FakeHost, startFakeHost } from '../testing/fake-host.ts'
import { startTestGateway, type TestGateway } from '../testing/test-gateway.ts'

const clients = Array.from({ length: 24 }, (_, i) => `127.0.1.${i + 1}`)

/** Four hosts that say their name. */
async function startHosts(gateway: TestGateway, stack: AsyncDisposableStack): Promise<Map<string, FakeHost>> {
  const hosts = new Map<string, FakeHost>()
  for (const name of ['a', 'b', 'c', 'd']) {
    const host = stack.use(await startFakeHost((_, response) => response.end(name)))
    hosts.set(name, host)
    gateway.hosts.add(name, host.origin)
  }
  return hosts
}

/** Which host answers a client. */
async function hostOf(gateway: TestGateway, localAddress: string, fields = ''): Promise<string> {
  const socket = await connectTls(gateway.httpsPort, 'app.test', { localAddress } as never)
  await using talk = converse(socket)
  talk.say(`GET / HTTP/1.1\r\nHost: app.test\r\n${fields}Connection: close\r\n\r\n`)
  return (await talk.end()).slice(-1)
}

const affine = { sites: { 'app.test': { affinity: 'address' } } }

describe('affinity by address', () => {
  test('sends a client to one host, clients to different ones, and moves only those whose host is gone', async () => {
    await using stack = new AsyncDisposableStack()
    const gateway = stack.use(await startTestGateway(affine))
    const hosts = await startHosts(gateway, stack)
    const before = new Map<string, string>()
    for (const client of clients) before.set(client, await hostOf(gateway, client))
    for (let turn = 0; turn < 3; turn++)
      for (const client of clients) assert.equal(await hostOf(gateway, client), before.get(client))
    assert.ok(new Set(before.values()).size > 1, 'not all on one host')
    const lost = before.get(clients[0] as string) as string
    await hosts.get(lost)?.kill()
    const moved = new Map<string, string>()
    for (const client of clients) moved.set(client, await hostOf(gateway, client))
    for (const client of clients) {
      if (before.get(client) === lost) assert.notEqual(moved.get(client), lost)
      else assert.equal(moved.get(client), before.get(client), 'others stay')
    }
    for (const client of clients)
      assert.equal(await hostOf(gateway, client), moved.get(client), 'and stay where they are')
  })

  test('behind a trusted proxy goes by the client that it tells, not by the proxy', async () => {
    await using stack = new AsyncDisposableStack()
    const gateway = stack.use(await startTestGateway({ ...affine, trust: { addresses: ['127.0.0.1'] } }))
    await startHosts(gateway, stack)
    const chosen = new Set<string>()
    for (let i = 0; i < 24; i++) {
      const fields = `X-Forwarded-For: 198.51.100.77, 203.0.113.${i}\r\n`
      const host = await hostOf(gateway, '127.0.0.1', fields)
      chosen.add(host)
      assert.equal(await hostOf(gateway, '127.0.0.1', `X-Forwarded-For: 198.51.100.78\r\n${fields}`), host)
    }
    assert.ok(chosen.size > 1)
  })

  test('is off by default: one client is spread over the hosts', async () => {
    await using stack = new AsyncDisposableStack()
    const gateway = stack.use(await startTestGateway())
    await startHosts(gateway, stack)
    const seen = new Set<string>()
    for (let turn = 0; turn < 40; turn++) seen.add(await hostOf(gateway, '127.0.0.1'))
    assert.ok(seen.size > 1)
  })
})
