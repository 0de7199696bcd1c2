import assert from 'node:assert/strict'
import { createPublicKey, verify } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { FakeClock } from '../../core/clock.ts'
import { createSelfSigned } from '../x509.ts'
import { createAccountJwk, openAccountKey } from './jws.ts'
import { NoncePool } from './nonce-pool.ts'
import { parseRetryAfter, pollUntil } from './poll.ts'
import { AcmeProblemError, parseProblem, problemError } from './problem.ts'
import { createTransport } from './transport.ts'

const prefix = 'urn:ietf:params:acme:error:'
const noAbort = new AbortController().signal

test('a compound problem keeps its reason per identifier (the example of RFC 8555 §6.7.1)', () => {
  const problem = parseProblem(
    {
      type: `${prefix}malformed`,
      detail: 'Some of the identifiers requested were rejected',
      subproblems: [
        {
          type: `${prefix}malformed`,
          detail: 'Invalid underscore in DNS name "_example.org"',
          identifier: { type: 'dns', value: '_example.org' },
        },
        {
          type: `${prefix}rejectedIdentifier`,
          detail: 'This CA will not issue for "example.net"',
          identifier: { type: 'dns', value: 'example.net' },
        },
      ],
    },
    403,
  )
  assert.deepEqual(
    problem.subproblems.map(({ type, identifier }) => [type, identifier]),
    [
      ['malformed', '_example.org'],
      ['rejectedIdentifier', 'example.net'],
    ],
  )
  assert.match(problemError({ problem }).message, /_example\.org.*example\.net/)
})

test('a compound problem whose parts agree is treated as one of that kind', () => {
  const subproblems = ['a.test', 'b.test'].map((value) => ({
    type: `${prefix}caa`,
    identifier: { type: 'dns', value },
  }))
  assert.equal(
    problemError({ problem: parseProblem({ type: `${prefix}compound`, subproblems }, 403) }).code,
    'ACME_CAA',
  )
})

test('no reply of a CA, however strange, keeps a problem from being reported, or makes it long', () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.jsonValue(), fc.record({ type: fc.anything(), detail: fc.anything(), subproblems: fc.anything() })),
      (value) => {
        const error = problemError({ problem: parseProblem(value, 500) })
        assert.ok(error instanceof AcmeProblemError && error.code.startsWith('ACME_') && error.message.length > 0)
      },
    ),
  )
  assert.ok(parseProblem({ type: 'x', detail: 'y'.repeat(1e6) }, 500).detail.length <= 1_000)
})

test('Retry-After is read as seconds or as a date, capped, and ignored when it is neither', () => {
  const nowMs = Date.UTC(2026, 0, 1)
  const read = (value: string | undefined) => parseRetryAfter(value, nowMs, 60_000)
  assert.deepEqual(
    [
      read('5'),
      read('0'),
      read('999999999'),
      read('Thu, 01 Jan 2026 00:00:30 GMT'),
      read('Wed, 31 Dec 2025 00:00:00 GMT'),
      read('soon'),
      read(undefined),
    ],
    [5_000, 0, 60_000, 30_000, 0, undefined, undefined],
  )
})

test('polling honours Retry-After, survives a busy CA, and gives up at its deadline', async () => {
  const clock = new FakeClock(0)
  const looks: number[] = []
  const busy = problemError({ problem: parseProblem({}, 503), retryAfterMs: 7_000 })
  const polled = pollUntil(
    async () => {
      looks.push(clock.nowMs())
      if (looks.length === 2) throw busy
      return { value: looks.length, retryAfterMs: looks.length === 1 ? 3_000 : undefined }
    },
    (value) => value === 4,
    { clock, delayMs: 1_000, deadlineMs: 60_000, signal: noAbort, what: 'order' },
  )
  await clock.advance(30_000)
  assert.equal(await polled, 4)
  assert.deepEqual(looks, [0, 3_000, 10_000, 12_250])
  const never = pollUntil(
    async () => ({ value: 0, retryAfterMs: undefined }),
    () => false,
    {
      clock,
      delayMs: 1_000,
      deadlineMs: clock.monotonicMs() + 20_000,
      signal: noAbort,
      what: 'order',
    },
  )
  await Promise.all([assert.rejects(never, { code: 'ACME_ORDER_TIMEOUT' }), clock.advance(30_000)])
})

test('a nonce is given out once, the newest first, and none that is old or malformed', async () => {
  const clock = new FakeClock()
  const pool = new NoncePool(clock)
  for (const value of ['a', 'b', 'not base64url!', '', undefined, ['c', 'd']]) pool.add(value)
  assert.deepEqual([pool.take(), pool.take(), pool.take()], ['b', 'a', undefined])
  pool.add('old')
  await clock.advance(11 * 60_000)
  assert.equal(pool.take(), undefined)
  for (let index = 0; index < 100; index++) pool.add(`n${index}`)
  assert.equal(Array.from({ length: 100 }, () => pool.take()).filter((value) => value !== undefined).length, 32)
})

test('a signed body verifies with the public key, and carries nonce, address and account', async () => {
  const jwk = await createAccountJwk()
  const key = await openAccountKey(jwk)
  const body = JSON.parse(await key.sign(undefined, { url: 'https://ca.test/x', nonce: 'n', kid: 'https://ca.test/1' }))
  const publicKey = createPublicKey({ key: key.publicJwk as never, format: 'jwk' })
  const signature = Buffer.from(body.signature, 'base64url')
  assert.ok(
    verify(
      'sha256',
      Buffer.from(`${body.protected}.${body.payload}`),
      { key: publicKey, dsaEncoding: 'ieee-p1363' },
      signature,
    ),
  )
  assert.equal(body.payload, '')
  assert.deepEqual(JSON.parse(Buffer.from(body.protected, 'base64url').toString()), {
    alg: 'ES256',
    nonce: 'n',
    url: 'https://ca.test/x',
    kid: 'https://ca.test/1',
  })
  assert.ok(!('d' in key.publicJwk))
})

test('the HTTPS of a CA is trusted by its own file only; a reply that is too long, late, or not https is refused', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'lastmile-transport-'))
  const tls = await createSelfSigned(['127.0.0.1'])
  const caFile = join(folder, 'ca.pem')
  await writeFile(caFile, tls.certificatePem)
  const server = createServer({ key: tls.keyPem, cert: tls.certificatePem }, (request, response) => {
    if (request.url === '/long') response.end('x'.repeat(2_000))
    if (request.url === '/moved') response.writeHead(302, { location: '/long' }).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const base = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
  const limits = { requestTimeoutMs: 200, replyBytesMax: 1_000 }
  using stranger = await createTransport(limits)
  using friend = await createTransport({ ...limits, caFile })
  const get = (transport: typeof friend, path: string, signal = noAbort) =>
    transport.send('GET', base + path, undefined, signal)
  try {
    await assert.rejects(get(stranger, '/moved'), { code: 'ACME_CA_UNREACHABLE' })
    assert.equal((await get(friend, '/moved')).status, 302, 'not followed')
    await assert.rejects(get(friend, '/long'), { code: 'ACME_CA_BAD_REPLY' })
    await assert.rejects(get(friend, '/never'), { code: 'ACME_CA_UNREACHABLE', message: /no reply in 200 ms/ })
    await assert.rejects(get(friend, '/never', AbortSignal.abort(new Error('stop'))), /stop/)
    await assert.rejects(async () => friend.send('GET', 'http://127.0.0.1/', undefined, noAbort), {
      code: 'ACME_CA_BAD_REPLY',
    })
  } finally {
    server.closeAllConnections()
    server.close()
    await rm(folder, { recursive: true, force: true })
  }
})
