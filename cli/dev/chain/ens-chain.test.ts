import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { AbiCoder, Interface } from 'ethers'
import { systemClock } from '../../../core/clock.ts'
import { silentLog } from '../../../core/log.ts'
import { type EnsConfig, ensConfig } from '../../../resolver/ens/config.ts'
import { ensConformance, ensSourceConformance } from '../../../resolver/ens/ens-source.conformance.ts'
import { createEnsSource } from '../../../resolver/ens/ens-source.ts'
import { type EnsChain, startEnsChain } from './ens-chain.ts'

const toolchainDir = join(import.meta.dirname, '../../../.lastmile/toolchain')
const never = new AbortController().signal
const vm = ensConformance.vm
const other = '2'.repeat(64)
let chain: EnsChain

before(async () => {
  chain = await startEnsChain({ toolchainDir, log: silentLog })
  for (const [name, has] of Object.entries(ensConformance.names)) {
    const records = Object.fromEntries(
      (has as readonly ('vm' | 'contentCid')[]).map((key) => [key, ensConformance[key]]),
    )
    await chain.registerName(name, records)
  }
})
after(() => chain?.[Symbol.asyncDispose]())

function makeSource(changes: Record<string, unknown> = {}): ReturnType<typeof createEnsSource> {
  const config: EnsConfig = ensConfig.parse({
    rpcUrl: chain.rpcUrl,
    chainId: chain.chainId,
    registry: chain.addresses.registry,
    universalResolver: chain.addresses.universalResolver,
    ttlMs: 0,
    ...changes,
    ccip: { allowInsecure: true, ...(changes.ccip as object) },
  })
  return createEnsSource(config, { clock: systemClock })
}

ensSourceConformance('chain over JSON-RPC', () => makeSource())

test('warming up checks the chain, so that a node of another one is noticed at start', async () => {
  await makeSource().warmUp(never)
  await assert.rejects(makeSource({ chainId: 1 }).warmUp(never), { code: 'RESOLVER_ENS_RPC' })
})

test('a changed record is seen after its time, and not before', async () => {
  await chain.registerName('change.eth', { vm })
  const cached = makeSource({ ttlMs: 60_000 })
  assert.equal((await cached.records('change.eth', never))?.vm, vm)
  await chain.setVm('change.eth', other)
  assert.equal((await cached.records('change.eth', never))?.vm, vm)
  assert.equal((await makeSource().records('change.eth', never))?.vm, other)
})

test('a resolver for a wildcard answers for every name below (ENSIP-10)', async () => {
  await chain.registerWildcard('wild.eth', other)
  for (const name of ['wild.eth', 'a.wild.eth', 'a.b.c.wild.eth']) {
    const records = await makeSource().records(name, never)
    assert.deepEqual([records?.vm, records?.owner], [other, chain.owner], name)
  }
})

test('records behind a gateway are read, from the next gateway when the first one fails (CCIP-Read)', async () => {
  await using broken = await startHttp((_request, response) => response.writeHead(500).end())
  await using good = await startHttp(answerWith(offchainRecords(other)))
  await chain.registerOffchain('off.eth', [`${broken.url}/{sender}/{data}.json`, `${good.url}/{sender}`])
  assert.equal((await makeSource().records('a.b.off.eth', never))?.vm, other)
  assert.equal(broken.hits(), 1)
})

test('a contract that asks off-chain for ever is stopped at the configured depth', async () => {
  await using gateway = await startHttp(answerWith('0x'))
  await chain.registerOffchain('loop.eth', [`${gateway.url}/{sender}/{data}`], true)
  await assert.rejects(makeSource().records('loop.eth', never), { code: 'RESOLVER_CCIP_READ', fault: 'upstream' })
  assert.equal(gateway.hits(), 4)
})

test('a gateway that never answers, answers too much, redirects, or answers garbage gives an error in bounded time', async () => {
  await using canary = await startHttp((_request, response) => response.end('{"data":"0x"}'))
  const hostile: Record<string, RequestListener> = {
    silent: () => {},
    big: (_request, response) => {
      response.writeHead(200)
      const more = (): void => {
        while (!response.destroyed && response.write(Buffer.alloc(65_536, 0x61)));
      }
      response.on('drain', more)
      more()
    },
    redirect: (_request, response) => response.writeHead(302, { location: canary.url }).end(),
    garbage: (_request, response) => response.end('no json'),
    odd: (_request, response) => response.end('{"data":"0x1"}'),
  }
  const source = makeSource({ ccip: { urlTimeoutMs: 200 } })
  for (const [name, listener] of Object.entries(hostile)) {
    await using gateway = await startHttp(listener)
    await chain.registerOffchain(`${name}.eth`, [`${gateway.url}/{data}`])
    const startedMs = performance.now()
    await assert.rejects(source.records(`${name}.eth`, never), { code: 'RESOLVER_CCIP_READ' }, name)
    assert.ok(performance.now() - startedMs < 2_000, name)
    assert.equal(gateway.hits(), 1, name)
  }
  assert.equal(canary.hits(), 0)
})

test('outside development no gateway in a private network and none without TLS is asked', async () => {
  await using canary = await startHttp((_request, response) => response.end('{"data":"0x"}'))
  const port = new URL(canary.url).port
  const hosts = ['127.0.0.1', 'localhost', '[::1]', '[::ffff:127.0.0.1]', '0x7f.1', '169.254.169.254', '10.0.0.1']
  const urls = [canary.url, ...hosts.map((host) => `https://${host}/`), `https://127.0.0.1:${port}/`].slice(0, 8)
  await chain.registerOffchain('ssrf.eth', urls)
  const error = await makeSource({ ccip: { allowInsecure: false } })
    .records('ssrf.eth', never)
    .catch((e: unknown) => e as Error)
  assert.ok(error instanceof Error)
  assert.match(error.message, /gateway 1: its URL is not https; gateway 2: its host has an address of a private/)
  assert.equal(canary.hits(), 0)
})

test('with off-chain look-ups switched off, a name that needs them is an error and not "no record"', async () => {
  await chain.registerOffchain('blocked.eth', ['https://gateway.test/{data}'])
  await assert.rejects(makeSource({ ccip: { mode: 'off' } }).records('blocked.eth', never), {
    code: 'RESOLVER_CCIP_READ',
  })
})

test('the chain knows the name of its owner (reverse record)', async () => {
  await chain.setReverseName('vm.eth')
  const universal = new Interface(['function reverse(bytes,uint256) view returns (string,address,address)'])
  const data = universal.encodeFunctionData('reverse', [chain.owner, 60])
  const response = await fetch(chain.rpcUrl, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      jsonrpc: '2.0',
      id: 1,
      method: 'eth_call',
      params: [{ to: chain.addresses.universalResolver, data }, 'latest'],
    }),
  })
  const reply = (await response.json()) as { error?: { data?: string }; result?: string }
  // The name has no address record, so that it does not lead back: the forward check must refuse it.
  assert.equal(
    reply.error?.data?.slice(0, 10),
    new Interface(['error ReverseAddressMismatch(string,bytes)']).getError('ReverseAddressMismatch')?.selector,
  )
})

/** What the off-chain resolver returns for `multicall([text, contenthash])`. */
function offchainRecords(text: string): string {
  const coder = AbiCoder.defaultAbiCoder()
  return coder.encode(['bytes[]'], [[coder.encode(['string'], [text]), coder.encode(['bytes'], ['0x'])]])
}

function answerWith(data: string): RequestListener {
  return (_request, response) => response.setHeader('content-type', 'application/json').end(JSON.stringify({ data }))
}

async function startHttp(listener: RequestListener): Promise<AsyncDisposable & { url: string; hits: () => number }> {
  let hits = 0
  const server: Server = createServer((request, response) => {
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
