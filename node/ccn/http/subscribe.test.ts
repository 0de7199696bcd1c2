import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test } from 'node:test'
import { FakeClock } from '../../../core/clock.ts'
import { owner, sign, startTestCcn, stranger, type TestCcn } from '../testing/start-test-ccn.ts'

interface Listener extends Disposable {
  hashes: string[]
  closed: Promise<number>
  until(count: number): Promise<void>
}

test('history comes first, oldest to newest, then each new message once', async () => {
  await using ccn = await startTestCcn()
  const posts = await Promise.all([1, 2, 3, 4].map((time) => sign('POST', { type: 't', content: time }, { time })))
  for (const message of posts.slice(0, 3)) await ccn.publish(message)
  using listener = await listen(ccn, '?history=2')
  await listener.until(2)
  await ccn.publish(posts[3])
  await ccn.publish(posts[3])
  await listener.until(3)
  await new Promise((resolve) => setTimeout(resolve, 50))
  assert.deepEqual(
    listener.hashes,
    posts.slice(1).map((message) => message.item_hash),
  )
})

test('a subscriber hears only what its filter lets pass', async () => {
  await using ccn = await startTestCcn()
  using listener = await listen(ccn, `?history=0&addresses=${owner.address}&msgType=POST&contentTypes=wanted`)
  await ccn.publish(await sign('POST', { type: 'wanted', content: 1 }, { signer: stranger }))
  await ccn.publish(await sign('POST', { type: 'other', content: 1 }))
  await ccn.publish(await sign('AGGREGATE', { key: 'k', content: {} }))
  const wanted = await sign('POST', { type: 'wanted', content: 1 })
  await ccn.publish(wanted)
  await listener.until(1)
  assert.deepEqual(listener.hashes, [wanted.item_hash])
})

test('past its capacity the node closes with 1013, wrong parameters with 1008', async () => {
  await using ccn = await startTestCcn({ config: { limits: { subscribersMax: 1 } } })
  {
    using first = await listen(ccn, '?history=0')
    using second = await listen(ccn, '')
    assert.equal(await second.closed, 1013)
    assert.deepEqual(first.hashes, [])
  }
  await new Promise((resolve) => setTimeout(resolve, 50))
  using wrong = await listen(ccn, '?history=many')
  assert.equal(await wrong.closed, 1008)
})

test('a subscriber that answers no ping is dropped', async () => {
  const clock = new FakeClock()
  await using ccn = await startTestCcn({ clock })
  const socket = connect(ccn.port, '127.0.0.1')
  const handshake = 'GET /api/ws0/messages HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n'
  socket.write(
    `${handshake}sec-websocket-version: 13\r\nsec-websocket-key: ${Buffer.alloc(16).toString('base64')}\r\n\r\n`,
  )
  await new Promise((resolve) => socket.once('data', resolve))
  const closed = new Promise((resolve) => socket.once('close', resolve))
  socket.resume()
  await clock.advance(30_000)
  await clock.advance(30_000)
  await closed
})

test('another path is no subscription', async () => {
  await using ccn = await startTestCcn()
  const socket = new WebSocket(`${ccn.url.replace('http', 'ws')}/api/ws0/other`)
  await new Promise((resolve) => socket.addEventListener('error', resolve))
})

async function listen(ccn: TestCcn, query: string): Promise<Listener> {
  const socket = new WebSocket(`${ccn.url.replace('http', 'ws')}/api/ws0/messages${query}`)
  const hashes: string[] = []
  let wake = (): void => {}
  socket.addEventListener('message', ({ data }) => {
    hashes.push(JSON.parse(data).item_hash)
    wake()
  })
  const closed = new Promise<number>((resolve) => socket.addEventListener('close', ({ code }) => resolve(code)))
  await new Promise((resolve) => socket.addEventListener('open', resolve))
  return {
    hashes,
    closed,
    async until(count) {
      const late = AbortSignal.timeout(5_000)
      while (hashes.length < count) {
        late.throwIfAborted()
        await new Promise<void>((resolve) => {
          wake = resolve
          setTimeout(resolve, 100)
        })
      }
    },
    [Symbol.dispose]: () => socket.close(),
  }
}
