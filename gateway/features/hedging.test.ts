// Second requests to another host when the first is late.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ask } from '../testing/client.ts'
import { startFakeHost, startRawHost } from '../testing/fake-host.ts'
import { startTestGateway, type TestGateway } from '../testing/test-gateway.ts'
import { until } from '../testing/until.ts'

/** Two hosts that answer at once, until they are told to wait: then their answers are kept in `waiting`. */
async function startPair(stack: AsyncDisposableStack, config: Record<string, object> = {}) {
  const gateway = stack.use(
    await startTestGateway({ sites: { 'app.test': { hedge: true } }, balance: { hedgeMinMs: 20 }, ...config }),
  )
  const slow = new Set<string>()
  const waiting: { name: string; answer(): void; die(): void; cancelled: boolean }[] = []
  for (const name of ['a', 'b']) {
    const host = await startFakeHost((request, response) => {
      request.resume()
      if (!slow.has(name)) return void response.end(name)
      const one = { name, answer: () => void response.end(name), die: () => void response.destroy(), cancelled: false }
      waiting.push(one)
      response.on('close', () => {
        one.cancelled = !response.writableFinished
      })
    })
    stack.use(host)
    gateway.hosts.add(name, host.origin)
  }
  const get = (method = 'GET') => ask({ port: gateway.httpsPort, host: 'app.test', method })
  return { gateway, slow, waiting, get }
}

/** Enough answers for the gateway to know what is late. */
async function learn(get: () => Promise<unknown>): Promise<void> {
  for (let turn = 0; turn < 60; turn++) await get()
}

const hedges = async ({ metrics }: TestGateway): Promise<number> =>
  Number(/^gateway_hedges_total (\d+)/m.exec(await metrics.text())?.[1] ?? 0)

describe('a request whose host is later than nearly all answers are', () => {
  test('goes to a second host; the first answer wins, and the other request is cancelled', async () => {
    await using stack = new AsyncDisposableStack()
    const { gateway, slow, waiting, get } = await startPair(stack)
    await learn(get)
    assert.equal(await hedges(gateway), 0)
    slow.add('a').add('b')
    const answer = get()
    await until(() => waiting.length === 2)
    const [first, second] = waiting
    assert.notEqual(first?.name, second?.name)
    second?.answer()
    assert.equal((await answer).body, second?.name)
    await until(() => first?.cancelled === true)
    assert.equal(await hedges(gateway), 1)
  })

  test('is answered by the first host when that is quicker after all', async () => {
    await using stack = new AsyncDisposableStack()
    const { slow, waiting, get } = await startPair(stack)
    await learn(get)
    slow.add('a').add('b')
    const answer = get()
    await until(() => waiting.length === 2)
    const [first, second] = waiting
    first?.answer()
    assert.equal((await answer).body, first?.name)
    await until(() => second?.cancelled === true)
  })

  test('is asked of no third host, and not again when the budget is used up', async () => {
    await using stack = new AsyncDisposableStack()
    const { gateway, slow, waiting, get } = await startPair(stack, {
      balance: { hedgeMinMs: 20, hedgeFloor: 2, hedgeShare: 0 },
    })
    await learn(get)
    slow.add('a').add('b')
    const answers = Array.from({ length: 6 }, () => get())
    await until(() => waiting.length === 8)
    await new Promise((resolve) => setTimeout(resolve, 100))
    assert.equal(waiting.length, 8, 'six requests, two of them twice')
    assert.equal(await hedges(gateway), 2)
    for (const { answer } of waiting) answer()
    for (const { status } of await Promise.all(answers)) assert.equal(status, 200)
  })

  test('is not asked twice when it is no GET, when the site did not opt in, or when there is one host only', async () => {
    await using stack = new AsyncDisposableStack()
    const { gateway, slow, waiting, get } = await startPair(stack)
    await learn(get)
    slow.add('a').add('b')
    for (const method of ['POST', 'PUT', 'DELETE', 'HEAD']) {
      const answer = get(method)
      await until(() => waiting.length === 1)
      await new Promise((resolve) => setTimeout(resolve, 100))
      assert.equal(waiting.length, 1, method)
      waiting.pop()?.answer()
      await answer
    }
    gateway.names.set('other.test', { kind: 'program', itemHash: 'ab'.repeat(32) })
    const silent = ask({ port: gateway.httpsPort, host: 'other.test' })
    await until(() => waiting.length === 1)
    await new Promise((resolve) => setTimeout(resolve, 100))
    assert.equal(waiting.length, 1)
    waiting.pop()?.answer()
    await silent
    assert.equal(await hedges(gateway), 0)
  })

  for (const dying of [0, 1]) {
    test(`survives the death of the ${dying === 0 ? 'first' : 'second'} host`, async () => {
      await using stack = new AsyncDisposableStack()
      const { slow, waiting, get } = await startPair(stack)
      await learn(get)
      slow.add('a').add('b')
      const answer = get()
      await until(() => waiting.length === 2)
      waiting[dying]?.die()
      await until(() => waiting[dying]?.cancelled === true)
      const other = waiting[1 - dying]
      other?.answer()
      assert.equal((await answer).body, other?.name)
      assert.equal(waiting.length, 2)
    })
  }

  test('carries the PROXY header that its site wants to the second host too', async () => {
    await using stack = new AsyncDisposableStack()
    const sites = { 'app.test': { hedge: true, proxyProtocolOut: 'v1' } }
    const gateway = stack.use(await startTestGateway({ sites, balance: { hedgeMinMs: 20 } }))
    let isSlow = false
    const heads: string[] = []
    for (const name of ['a', 'b']) {
      const host = await startRawHost((socket, request) => {
        const head = request.toString('latin1')
        const answer = () => void socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
        const take = (text: string) => {
          if (!text.endsWith('\r\n\r\n'))
            return void socket.once('data', (more) => take(text + more.toString('latin1')))
          if (isSlow) heads.push(text)
          if (!isSlow || heads.length === 2) answer()
        }
        take(head)
      })
      stack.use(host)
      gateway.hosts.add(name, host.origin)
    }
    const get = () => ask({ port: gateway.httpsPort, host: 'app.test' })
    await learn(get)
    isSlow = true
    assert.equal((await get()).body, 'ok')
    assert.equal(heads.length, 2)
    for (const head of heads) assert.match(head, /^PROXY TCP4 127\.0\.0\.1 127\.0\.0\.1 \d+ \d+\r\nGET \//)
  })
})
