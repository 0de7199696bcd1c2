import assert from 'node:assert/strict'
import { test } from 'node:test'
import { errorPage } from './error-page.ts'
import { HostsFullError } from './errors.ts'
import { ask } from './testing/client.ts'
import { FakeError } from './testing/fakes.ts'
import { startTestGateway } from './testing/test-gateway.ts'

const records = [
  { record: '_control.shop.test', type: 'TXT', found: [], expected: '0x<your address>' },
  {
    record: '_aleph-id.shop.test',
    type: 'TXT',
    found: ['<script>alert(1)</script>'],
    expected: 'the hash of your program',
  },
]

test('a domain that is not proven gets a page over plain HTTP that lists each record and what to write', async () => {
  await using gateway = await startTestGateway()
  gateway.names.table.set(
    'shop.test',
    new FakeError('NAME_NOT_PROVEN', 421, records, 'The owner of "shop.test" is not proven.'),
  )
  const answer = await ask({
    port: gateway.httpPort,
    host: 'shop.test',
    plain: true,
    headers: { Accept: 'text/html,*/*' },
  })
  assert.equal(answer.status, 421)
  assert.match(answer.headers['content-type'] ?? '', /^text\/html/)
  assert.match(answer.body, /The owner of &#34;shop.test&#34; is not proven/)
  assert.match(
    answer.body,
    /_control\.shop\.test<\/code><\/td><td>TXT<\/td><td><i>nothing<\/i><\/td><td><code>0x&#60;your address&#62;/,
  )
  assert.match(answer.body, new RegExp(`https://zone.test:${gateway.httpsPort}/.well-known/lastmile/domain/shop.test`))
  assert.doesNotMatch(answer.body, /<script/)
})

test('a program gets the same as problem details', async () => {
  await using gateway = await startTestGateway()
  gateway.names.table.set('shop.test', new FakeError('NAME_NOT_PROVEN', 421, records))
  const answer = await ask({
    port: gateway.httpPort,
    host: 'shop.test',
    plain: true,
    headers: { Accept: 'application/json' },
  })
  assert.equal(answer.status, 421)
  assert.equal(answer.headers['content-type'], 'application/problem+json')
  const { code, hint, details, fault } = JSON.parse(answer.body)
  assert.deepEqual(
    { code, hint, details, fault },
    { code: 'NAME_NOT_PROVEN', hint: 'Write the record shown below.', details: records, fault: 'caller' },
  )
})

test('the same error is told over HTTPS where a certificate covers the name', async () => {
  await using gateway = await startTestGateway()
  const answer = await ask({ port: gateway.httpsPort, host: 'gone.test' })
  assert.equal(answer.status, 404)
  assert.equal(JSON.parse(answer.body).code, 'NAME_UNKNOWN')
})

test('a page repeats nothing of the request but the name', async () => {
  await using gateway = await startTestGateway()
  const headers = {
    Accept: 'text/html',
    'User-Agent': 'secret-agent',
    Cookie: 'secret-cookie',
    'X-Forwarded-For': '6.6.6.6',
  }
  const answer = await ask({
    port: gateway.httpPort,
    host: 'nobody.test',
    path: '/secret-path?secret-query',
    plain: true,
    headers,
  })
  assert.equal(answer.status, 404)
  assert.doesNotMatch(answer.body + JSON.stringify(answer.headers), /secret|6\.6\.6\.6|127\.0\.0\.1/)
})

test('an unexpected error shows neither its message nor its stack', () => {
  const page = errorPage(new Error('password=hunter2'), { accept: 'text/html' })
  assert.equal(page.status, 500)
  assert.doesNotMatch(page.body, /hunter2|\.ts:/)
})

test('Retry-After is rounded up to whole seconds', () => {
  const page = errorPage(new HostsFullError('h', 2, 1_200), { accept: undefined })
  assert.equal(page.fields[page.fields.indexOf('Retry-After') + 1], '2')
})

test('details of any shape make a page', () => {
  for (const details of [
    undefined,
    null,
    5,
    'x',
    {},
    [null, 1, {}, { record: 1 }, { record: 'a' }, { record: 'a', type: 'TXT', found: { b: 1 } }],
  ]) {
    assert.ok(errorPage(new FakeError('X', 400, details), { accept: 'text/html' }).body.includes('</html>'))
  }
})
