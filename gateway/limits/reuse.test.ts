// Memory that is kept to be used again is bounded, and so is what one write puts together.
import assert from 'node:assert/strict'
import net, { type Socket } from 'node:net'
import { test } from 'node:test'
import { type FieldBlock, releaseBlock, takeBlock } from '../http1/field-block.ts'
import { releaseHeadBytes, takeHeadBytes } from '../http2/head-bytes.ts'
import { keepBody, letGoBody } from '../serve/kept-bodies.ts'
import { ask } from '../testing/client.ts'
import { startRawHost } from '../testing/fake-host.ts'
import { startTestGateway } from '../testing/test-gateway.ts'

/** How many of `count` things come back after all of them were given back. */
function keptOf<Thing>(
  count: number,
  take: () => Thing,
  giveBack: (thing: Thing) => void,
  memory: (thing: Thing) => unknown,
): number {
  const first = Array.from({ length: count }, take)
  const seen = new Set(first.map(memory))
  for (const thing of first) giveBack(thing)
  const second = Array.from({ length: count }, take)
  for (const thing of second) giveBack(thing)
  return second.filter((thing) => seen.has(memory(thing))).length
}

test('a block of fields holds 256, and 1,024 blocks are kept for reuse', () => {
  const block = takeBlock()
  block.reset(Buffer.from('a: b\r\n'))
  let added = 0
  while (added < 1_000 && block.add(0, 1, 3, 4, 0)) added++
  releaseBlock(block)
  assert.equal(added, 256)
  assert.equal(
    keptOf(1_100, takeBlock, releaseBlock, (each: FieldBlock) => each),
    1_024,
  )
})

test('256 request bodies of up to 16 KiB are kept for reuse, larger ones are not', () => {
  const ids = new Map<ArrayBufferLike, number>()
  const memory = ({ buffer, byteOffset }: Buffer): unknown => {
    ids.set(buffer, ids.get(buffer) ?? ids.size)
    return `${ids.get(buffer)} ${byteOffset}`
  }
  assert.equal(
    keptOf(300, () => keepBody(Buffer.alloc(16_384)), letGoBody, memory),
    256,
  )
  assert.equal(
    keptOf(10, () => keepBody(Buffer.alloc(16_385)), letGoBody, memory),
    0,
  )
})

test('1,024 heads of up to 2 KiB are kept for reuse, larger ones are not', () => {
  const same = (bytes: Buffer): unknown => bytes
  assert.equal(
    keptOf(1_100, () => takeHeadBytes(2_048), releaseHeadBytes, same),
    1_024,
  )
  assert.equal(
    keptOf(10, () => takeHeadBytes(2_049), releaseHeadBytes, same),
    0,
  )
})

test('an answer of up to 16 KiB leaves with its head in one write, a larger one is not copied', async (t) => {
  let writes = 0
  let port = 0
  const original = net.Socket.prototype.write
  t.mock.method(net.Socket.prototype, 'write', function (this: Socket, ...args: Parameters<Socket['write']>) {
    if (this.localPort === port && (args[0] as Buffer).length > 0) writes++
    return original.apply(this, args)
  })
  for (const [bytes, expected] of [
    [16_384, 1],
    [16_385, 2],
  ] as const) {
    const answer = Buffer.concat([
      Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${bytes}\r\n\r\n`),
      Buffer.alloc(bytes),
    ])
    await using host = await startRawHost((socket) => void socket.end(answer))
    // Nothing is held back: then even a larger answer would leave as a whole.
    await using gateway = await startTestGateway({ listen: { plainSites: true }, limits: { holdBytesMax: 100_000 } })
    gateway.hosts.add('one', host.origin)
    port = gateway.httpPort
    writes = 0
    assert.equal((await ask({ port, host: 'app.test', plain: true })).body.length, bytes)
    assert.equal(writes, expected)
  }
})
