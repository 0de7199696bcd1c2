import assert from 'node:assert/strict'
import { posix } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { AppError } from '../../core/errors.ts'
import { checkRequest } from './check-request.ts'
import { answerFields, requestFields, trailerFields } from './header-policy.ts'
import { parseHost } from './host-name.ts'
import { hasParentSegment } from './request-path.ts'

const limits = { headBytesMax: 16_384, headFieldsMax: 100, uriBytesMax: 8_192 }

test('a host name is read without case, port and final dot', () => {
  assert.deepEqual(parseHost('App.Example.COM.:8443'), { kind: 'name', name: 'app.example.com' })
  assert.deepEqual(parseHost('xn--bcher-kva.example'), { kind: 'name', name: 'xn--bcher-kva.example' })
  assert.deepEqual(parseHost('[2001:db8::1]:80'), { kind: 'address' })
  assert.deepEqual(parseHost('10.0.0.1'), { kind: 'address' })
  for (const bad of [
    '',
    '.',
    'a..b',
    '-a.b',
    'a-.b',
    `${'a'.repeat(64)}.b`,
    'a:b',
    'a:99999',
    'a b',
    'a@b',
    'a/b',
    'ä.b',
    'a%2eb',
    'a\\b',
    'a,b',
  ]) {
    assert.equal(parseHost(bad), undefined, bad)
  }
})

test('no text makes the host parser throw, and what it accepts it accepts again unchanged', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.domain(), fc.stringMatching(/^[a-z0-9._:@-]{1,40}$/)), (text) => {
      const host = parseHost(text)
      if (host?.kind === 'name') assert.deepEqual(parseHost(host.name), host)
    }),
  )
})

test('no head makes the guard fail otherwise than by a clear error', () => {
  const field = fc.tuple(fc.constantFrom('Host', 'Content-Length', 'Transfer-Encoding', 'X'), fc.string())
  const head = fc.record({
    method: fc.constantFrom('GET', 'POST', 'OPTIONS', 'TRACE'),
    target: fc.oneof(fc.string(), fc.webUrl(), fc.constant('/')),
    version: fc.constantFrom('1.1', '1.0', '0.9'),
    fields: fc.array(field).map((fields) => fields.flat()),
  })
  fc.assert(
    fc.property(head, (raw) => {
      try {
        const checked = checkRequest(raw, limits)
        assert.match(checked.path, /^(\*|\/[\x21-\x7e]*)$/)
      } catch (error) {
        assert.ok(error instanceof AppError)
      }
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
    'X-Forwarded-For',
    'X-FORWARDED-PROTO',
    'Forwarded',
    'X-Real-IP',
    'Via',
    'CF-Connecting-IP',
    'CF-IPCountry',
    'True-Client-IP',
  ]
  telling.push(
    'X-Client-IP',
    'X-Cluster-Client-IP',
    'Fastly-Client-IP',
    'X-Envoy-External-Address',
    'X-Request-Id',
    'X-Original-Forwarded-For',
  )
  const fields = [...telling.flatMap((name) => [name, '6.6.6.6']), 'Accept', '*/*']
  assert.deepEqual(requestFields(fields, { host: 'a.test', loopId: 'gw' }), [
    'Host',
    'a.test',
    'Accept',
    '*/*',
    'CDN-Loop',
    'gw',
  ])
})

test('a request that has been here before is a loop', () => {
  assert.throws(() => requestFields(['CDN-Loop', 'other; x=1, GW ;v=2'], { host: 'a', loopId: 'gw' }), {
    code: 'GATEWAY_LOOP',
  })
  assert.throws(() => requestFields(['CDN-Loop', 'a,'.repeat(12)], { host: 'a', loopId: 'gw' }), {
    code: 'GATEWAY_LOOP',
  })
})

test('a site of a shared zone cannot set cookies for its neighbours', () => {
  const cookies = [
    'Set-Cookie',
    'a=1',
    'Set-Cookie',
    'b=1; Domain=.Zone.test; Path=/',
    'Set-Cookie',
    'c=1; domain="zone.test"',
    'Set-Cookie',
    'd=1; Domain=x.zone.test',
  ]
  assert.deepEqual(answerFields(cookies, 'zone.test'), ['Set-Cookie', 'a=1', 'Set-Cookie', 'd=1; Domain=x.zone.test'])
  assert.equal(answerFields(cookies, undefined).length, 8)
})

test('trailers carry no framing, routing or credentials', () => {
  assert.deepEqual(
    trailerFields(['X-Sum', '1', 'Content-Length', '5', 'Host', 'x', 'Set-Cookie', 'a=b', 'X-Forwarded-For', '1']),
    [['X-Sum', '1']],
  )
})
