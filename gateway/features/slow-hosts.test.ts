// Hosts that do not take a request, do not answer, or fall silent: whose fault it is, and what the client gets.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { FrameType, framePayloadMax, Setting } from '../http2/frame.ts'
import { data, headers, RawClient, request } from '../listen/http2/testing/raw-client.ts'
import { ask, connectTls } from '../testing/client.ts'
import { converse } from '../testing/conversation.ts'
import { startRawHost } from '../testing/fake-host.ts'
import { askHttp2, connectHttp2 } from '../testing/http2-client.ts'
import { startTestGateway } from '../testing/test-gateway.ts'
import { until } from '../testing/until.ts'

const large = Buffer.alloc(32 * 1_048_576)

describe('a host that does not take the body of a request', () => {
  const startDeaf = () => startRawHost((socket) => void socket.pause())

  test('is waited for as long as a body may pause; then the client gets 504, over both protocols', async () => {
    await using host = await startDeaf()
    await using gateway = await startTestGateway({ timeouts: { bodyIdleMs: 700 } })
    gateway.hosts.add('one', host.origin)
    await using talk = converse(await connectTls(gateway.httpsPort, 'app.test'))
    talk.say(`POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: ${large.length}\r\n\r\n`)
    talk.say(large)
    await talk.hear(/^HTTP\/1.1 504 .*GATEWAY_HOST_TIMEOUT/s)
    // Node's own client loses an answer that is followed by RST_STREAM(NO_ERROR) while it still sends.
    await using client = await RawClient.start(gateway.httpsPort)
    client.send(headers(1, request('POST'), false))
    let sentBytes = 0
    await until(() => {
      for (let free = windowOf(client) - sentBytes; free > 0; free -= framePayloadMax) {
        const bytes = Math.min(free, framePayloadMax)
        client.send(data(1, Buffer.alloc(bytes)))
        sentBytes += bytes
      }
      return client.of(FrameType.headers, 1).length > 0
    })
    assert.deepEqual(client.of(FrameType.headers, 1)[0]?.fields?.slice(0, 2), [':status', '504'])
    await client.ended(1)
  })
})

/** Bytes that the only stream of a connection may have sent by the windows it got. */
function windowOf(client: RawClient): number {
  let [stream, connection] = [65_535, 65_535]
  for (const { type, id, payload } of client.frames) {
    if (type === FrameType.settings)
      for (let at = 0; at < payload.length; at += 6)
        if (payload.readUInt16BE(at) === Setting.initialWindowSize) stream += payload.readUInt32BE(at + 2) - 65_535
    if (type !== FrameType.windowUpdate) continue
    if (id === 0) connection += payload.readUInt32BE(0)
    else stream += payload.readUInt32BE(0)
  }
  return Math.min(stream, connection)
}

describe('a host that does not answer', () => {
  test('is waited for as long as a first byte may take; then the client gets 504, and no other host is asked', async () => {
    let asked = 0
    await using host = await startRawHost(() => void asked++)
    await using gateway = await startTestGateway({ timeouts: { firstByteMs: 400 } })
    gateway.hosts.add('one', host.origin).add('two', host.origin)
    assert.equal((await ask({ port: gateway.httpsPort, host: 'app.test' })).status, 504)
    await using client = await connectHttp2(gateway.httpsPort, 'app.test')
    assert.equal((await askHttp2(client, { host: 'app.test' })).status, 504)
    assert.equal(asked, 2)
  })

  test('to the end is cut off visibly when it falls silent in the middle, and counts as failed', async () => {
    await using host = await startRawHost((socket) => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n${'x'.repeat(20_000)}`)
    })
    await using gateway = await startTestGateway({ timeouts: { answerIdleMs: 400 }, balance: { ejectAfter: 1 } })
    gateway.hosts.add('one', host.origin)
    await assert.rejects(ask({ port: gateway.httpsPort, host: 'app.test' }))
    await until(async () => /gateway_host_ejections_total 1/.test(await gateway.metrics.text()))
    await using client = await connectHttp2(gateway.httpsPort, 'app.test')
    await assert.rejects(askHttp2(client, { host: 'app.test' }))
  })
})
