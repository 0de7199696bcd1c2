import assert from 'node:assert/strict'
import { test } from 'node:test'
import { answerHeaders, requestHeaders } from './headers.ts'

test('nothing that tells who asks reaches the program', () => {
  const raw = [
    'Host',
    'a',
    'X-Forwarded-For',
    '1',
    'x-forwarded-host',
    '2',
    'Forwarded',
    '3',
    'X-Real-IP',
    '4',
    'Via',
    '5',
    'CF-Connecting-IP',
    '6',
  ]
  assert.deepEqual(requestHeaders(raw), ['Host', 'a'])
})

test('order, case and repeated headers are kept', () => {
  const raw = ['Host', 'a', 'X-B', '1', 'x-a', '2', 'X-B', '3', 'Cookie', 'c=1']
  assert.deepEqual(requestHeaders(raw), raw)
})

test('what belongs to one connection stays there', () => {
  const raw = [
    'Host',
    'a',
    'Connection',
    'keep-alive, X-Hop',
    'X-Hop',
    '1',
    'Keep-Alive',
    'timeout=5',
    'TE',
    'trailers',
    'Expect',
    '100-continue',
  ]
  assert.deepEqual(requestHeaders(raw), ['Host', 'a'])
})

test('a Connection header cannot take away the framing or the host', () => {
  const raw = ['Host', 'a', 'Connection', 'Host, Content-Length, Transfer-Encoding', 'Content-Length', '5']
  assert.deepEqual(requestHeaders(raw), ['Host', 'a', 'Content-Length', '5'])
})

test('an upgrade passes with its protocol', () => {
  const raw = ['Host', 'a', 'Connection', 'Upgrade', 'Upgrade', 'websocket', 'Sec-WebSocket-Key', 'k']
  assert.deepEqual(requestHeaders(raw, true), [
    'Host',
    'a',
    'Sec-WebSocket-Key',
    'k',
    'Connection',
    'Upgrade',
    'Upgrade',
    'websocket',
  ])
})

test('the answer keeps repeated headers, loses hop-by-hop ones and cannot pose as the host', () => {
  const raw = [
    'Set-Cookie',
    'a',
    'Set-Cookie',
    'b',
    'Connection',
    'close',
    'Transfer-Encoding',
    'chunked',
    'server',
    'mine',
    'Content-Encoding',
    'gzip',
    'Vary',
    'x',
  ]
  assert.deepEqual(answerHeaders(raw, ['Server', 'host']), [
    'Set-Cookie',
    'a',
    'Set-Cookie',
    'b',
    'Content-Encoding',
    'gzip',
    'Vary',
    'x',
    'Server',
    'host',
  ])
})
