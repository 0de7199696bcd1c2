import assert from 'node:assert/strict'
import { posix } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { blockOf, releaseBlock } from '../http1/field-block.ts'
import { dropInTrailer, dropToHost } from '../http1/known-fields.ts'
import { applyAnswerPolicy } from './answer-policy.ts'
import { parseHost } from './host-name.ts'
import { hopsLeft } from './max-forwards.ts'
import { hasParentSegment } from './request-path.ts'

test('a host name is read without case, port and final dot', () => {
  assert.deepEqual(parseHost('App.Example.COM.:8443'), { kind: 'name', name: 'app.example.com' })
  assert.deepEqual(parseHost('xn--bcher-kva.example'), { kind: 'name', name: 'xn--bcher-kva.example' })
  assert.deepEqual(parseHost('[2001:db8::1]:80'), { kind: 'address' })
  assert.deepEqual(parseHost('10.0.0.1'), { kind: 'address' })
  for (const bad of [
    ...['', '.', 'a..b', '-a.b', 'a-.b', `${'a'.repeat(64)}.b`, 'a:b', 'a:99999'],
    ...['a b', 'a@b', 'a/b', 'ä.b', 'a%2eb', 'a\\b', 'a,b'],
  ])
    assert.equal(parseHost(bad), undefined, bad)
})

test('no text makes the host parser throw, and what it accepts it accepts again unchanged', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.domain(), fc.stringMatching(/^[a-z0-9._:@-]{1,40}$/)), (text) => {
      const host = parseHost(text)
      if (host?.kind === 'name') assert.deepEqual(parseHost(host.name), host)
    }),
  )
})

test('a path that any normaliser would take above its root is seen', () => {
  const part = fc.constantFrom('..', '.', 'a', '', '%2e%2e', '.%2E', '..;x', 'b')
  const join = fc.constantFrom('/', '\\', '%2f', '%5C')
  fc.assert(
    fc.property(fc.array(fc.tuple(join, part), { minLength: 1, maxLength: 8 }), (pairs) => {
      const path = `/${pairs.flat().join('')}`
      const readings = [
        path,
        decodeURIComponent(path),
        decodeURIComponent(path).replaceAll('\\', '/'),
        decodeURIComponent(path)
          .replaceAll('\\', '/')
          .replace(/;[^/]*/g, ''),
      ]
      const climbs = readings.some((reading) => !posix.normalize(`/vm/hash${reading}/`).startsWith('/vm/hash/'))
      if (climbs) assert.ok(hasParentSegment(path), path)
    }),
    { numRuns: 500 },
  )
  for (const fine of ['/a/b?x=/../../..', '/...', '/a..b/..c', '/.well-known/x', '/a/./b'])
    assert.equal(hasParentSegment(fine), false, fine)
})

test('nothing that tells who the client is goes to the host', () => {
  const telling = [
    ...['X-Forwarded-For', 'X-FORWARDED-PROTO', 'X-Forwarded-Anything', 'Forwarded', 'X-Real-IP', 'Via'],
    ...['CF-Connecting-IP', 'CF-IPCountry', 'True-Client-IP', 'X-Client-IP', 'X-Cluster-Client-IP'],
    ...['Fastly-Client-IP', 'X-Envoy-External-Address', 'X-Request-Id', 'X-Original-Forwarded-For'],
  ]
  const block = blockOf([...telling.flatMap((name) => [name, '6.6.6.6']), 'Accept', '*/*', 'X-For', 'a', 'CFX', 'b'])
  block.dropBy(dropToHost)
  assert.deepEqual(block.pairs(), ['Accept', '*/*', 'X-For', 'a', 'CFX', 'b'])
  releaseBlock(block)
})

test('a site of a shared zone cannot set cookies for its neighbours', () => {
  const cookies = [
    'a=1',
    'b=1; Domain=.Zone.test; Path=/',
    'c=1; domain="zone.test"',
    'd=1; Domain=x.zone.test',
    'e=1;domain=test',
  ]
  const kept = (sharedZone: string | undefined): string[] => {
    const block = blockOf(cookies.flatMap((cookie) => ['Set-Cookie', cookie]))
    applyAnswerPolicy(block, sharedZone)
    const values = block.pairs().filter((_, i) => i % 2 === 1)
    releaseBlock(block)
    return values
  }
  assert.deepEqual(kept('zone.test'), ['a=1', 'd=1; Domain=x.zone.test'])
  assert.deepEqual(kept(undefined), cookies)
})

test('fields of the connection, and Alt-Svc, do not reach the client', () => {
  const names = ['Connection', 'Keep-Alive', 'Proxy-Authenticate', 'Transfer-Encoding', 'Upgrade', 'TE', 'Alt-Svc']
  const block = blockOf([...names.flatMap((name) => [name, 'x']), 'Content-Length', '5', 'Server', 'y'])
  applyAnswerPolicy(block, undefined)
  assert.deepEqual(block.pairs(), ['Content-Length', '5', 'Server', 'y'])
  releaseBlock(block)
})

test('trailers carry no framing, routing or credentials', () => {
  const names = [
    'Content-Length',
    'Host',
    'Set-Cookie',
    'X-Forwarded-For',
    'Authorization',
    'Cookie',
    'Content-Type',
    'Trailer',
  ]
  const block = blockOf(['X-Sum', '1', ...names.flatMap((name) => [name, 'x']), 'Server-Timing', 'y'])
  block.dropBy(dropInTrailer)
  assert.deepEqual(block.pairs(), ['X-Sum', '1', 'Server-Timing', 'y'])
  releaseBlock(block)
})

test('only an OPTIONS says how often it may go on, and only in digits', () => {
  const hops = (method: string, value: string): number => {
    const fields = blockOf(['Max-Forwards', value])
    const left = hopsLeft({
      method,
      fields,
      pathStart: 0,
      pathEnd: 0,
      host: '',
      bodyBytes: 0,
      upgrade: undefined,
      version: '1.1',
    })
    releaseBlock(fields)
    return left
  }
  assert.equal(hops('OPTIONS', '0'), 0)
  assert.equal(hops('OPTIONS', '12'), 12)
  for (const odd of ['', '-1', '1, 2', 'x', '9'.repeat(20)]) assert.equal(hops('OPTIONS', odd), -1, odd)
  assert.equal(hops('GET', '0'), -1)
})
