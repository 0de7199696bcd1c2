import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import fc from 'fast-check'
import { FakeClock, systemClock } from '../../core/clock.ts'
import { AppError } from '../../core/errors.ts'
import { ensConfig } from './config.ts'
import { ensConformance, ensSourceConformance } from './ens-source.conformance.ts'
import { createEnsSource } from './ens-source.ts'
import { createEnsTable } from './ens-table.ts'
import { isPublicAddress } from './gateway-address.ts'
import { normalizeEnsName } from './normalize-name.ts'
import { readContenthash } from './read-contenthash.ts'
import { readRevert } from './viem-codec.ts'

const never = new AbortController().signal

ensSourceConformance('table', () => {
  const { owner, vm, contentCid, names } = ensConformance
  const table = Object.entries(names).map(([name, has]) => {
    const holds = (key: string): boolean => (has as readonly string[]).includes(key)
    const records = {
      owner,
      vm: holds('vm') ? vm : undefined,
      contentCid: holds('contentCid') ? contentCid : undefined,
      unsupported: undefined,
      blockNumber: 1n,
    }
    return [name, records] as const
  })
  return createEnsTable(Object.fromEntries(table))
})

test('whatever an Ethereum node answers, the error blames it and nothing hangs', async () => {
  const answers: Record<string, RequestListener> = {
    'HTTP 500': (_request, response) => response.writeHead(500).end(),
    'no JSON': (_request, response) => response.end('<html>'),
    'no list': (_request, response) => response.end('{"jsonrpc":"2.0","id":0,"result":"0x1"}'),
    'wrong ids': (_request, response) => response.end('[{"id":7,"result":"0x1"}]'),
    'an error': (_request, response) => response.end('[{"id":0,"error":{"code":-32000,"message":"header not found"}}]'),
    'a redirect': (_request, response) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(),
    'too much': (_request, response) => response.end('x'.repeat(20_000)),
    silence: () => {},
  }
  for (const [title, listener] of Object.entries(answers)) {
    await using node = await startNode(listener)
    const config = ensConfig.parse({ rpcUrl: node.url, rpcTimeoutMs: 100, rpcBodyBytesMax: 10_000 })
    const source = createEnsSource(config, { clock: systemClock })
    await assert.rejects(
      source.records('app.eth', never),
      { code: 'RESOLVER_ENS_RPC', fault: 'upstream', status: 503 },
      title,
    )
  }
})

test('many askers of one name cost one look-up, and a failure is not remembered', async () => {
  await using node = await startNode((_request, response) => response.writeHead(500).end())
  const source = createEnsSource(ensConfig.parse({ rpcUrl: node.url }), { clock: systemClock })
  const ask = () => source.records('app.eth', never).catch((error: AppError) => error.code)
  await Promise.all(Array.from({ length: 20 }, ask))
  assert.equal(node.hits(), 1)
  await ask()
  assert.equal(node.hits(), 2)
})

test('one name never takes longer than its limit, whatever it waits for', async () => {
  await using node = await startNode(() => {})
  const clock = new FakeClock()
  const config = ensConfig.parse({ rpcUrl: node.url, rpcTimeoutMs: 60_000, lookupMsMax: 8_000 })
  const waiting = createEnsSource(config, { clock }).records('app.eth', never)
  const outcome = waiting.catch((error: AppError) => error.code)
  await clock.advance(8_000)
  assert.equal(await outcome, 'RESOLVER_LOOKUP_FAILED')
})

test('addresses of private and special networks are no gateways, in any notation', () => {
  for (const address of [
    ...['0.0.0.0', '10.1.2.3', '100.64.0.1', '127.0.0.1', '169.254.169.254', '172.31.0.1', '192.168.1.1', '198.18.0.1'],
    ...['224.0.0.1', '255.255.255.255', '::', '::1', 'fe80::1', 'fc00::1', 'fd12::1', 'ff02::1', '::ffff:8.8.8.8'],
    ...['64:ff9b::7f00:1', '2002:7f00:1::', '2001:0:7f00::1', '2001:db8::1', 'no address'],
  ]) {
    assert.equal(isPublicAddress(address), false, address)
  }
  for (const address of ['8.8.8.8', '172.32.0.1', '100.128.0.1', '2606:4700::1']) {
    assert.equal(isPublicAddress(address), true, address)
  }
})

test('normalising is done once: its result stays as it is, and odd text is refused, never thrown raw', () => {
  assert.equal(normalizeEnsName('Nick.ETH'), 'nick.eth')
  assert.equal(normalizeEnsName('xn--mnchen-3ya.eth'), 'm\u00fcnchen.eth')
  for (const name of ['xn--99999999999.eth', 'xn--.eth', `${'a.'.repeat(20)}eth`, 'a b.eth']) {
    assert.throws(() => normalizeEnsName(name), { code: 'RESOLVER_ENS_NAME_INVALID' }, name)
  }
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 20 }), (text) => {
      try {
        const once = normalizeEnsName(`${text}.eth`)
        assert.equal(normalizeEnsName(once), once)
      } catch (error) {
        if (error instanceof assert.AssertionError) throw error
        assert.ok(error instanceof AppError, String(error))
      }
    }),
  )
})

test('contenthashes other than IPFS are named, not guessed', () => {
  const cid = 'QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG'
  assert.match(readContenthash({ protocol: 'ipfs', value: cid }).contentCid ?? '', /^bafybei/)
  assert.deepEqual(readContenthash({ protocol: 'bzz', value: 'ab' }), { unsupported: 'bzz' })
  assert.deepEqual(readContenthash({ protocol: 'ipns', value: 'example.com' }), { unsupported: 'ipns' })
  assert.deepEqual(readContenthash({ protocol: 'ipfs', value: 'b'.repeat(9_000) }), { unsupported: 'ipfs' })
  assert.deepEqual(readContenthash(undefined), {})
})

test('no revert data makes reading it throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.boolean(), (bytes, offchain) => {
      const hex = Buffer.from(bytes).toString('hex')
      assert.ok(readRevert(offchain ? `0x556f1830${hex}` : `0x${hex}`).kind)
    }),
  )
})

async function startNode(listener: RequestListener): Promise<AsyncDisposable & { url: string; hits: () => number }> {
  let hits = 0
  const server = createServer((request, response) => {
    hits++
    request.resume()
    listener(request, response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    hits: () => hits,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
