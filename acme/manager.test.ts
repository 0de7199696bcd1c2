import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import { AppError } from '../core/errors.ts'
import type { CertificateStore } from './ports.ts'
import { until } from './testing/edge.ts'
import { startTestIssuing, type TestIssuing } from './testing/start-manager.ts'

const noAbort = new AbortController().signal
const minuteMs = 60_000
const hourMs = 60 * minuteMs
const dayMs = 24 * hourMs
const name = 'app.example.test'

/** The owner has not proven the name. */
class UnprovenError extends AppError {
  readonly code = 'TEST_UNPROVEN'
  readonly fault = 'caller'
}

/** Moves the clock in steps, letting real network replies arrive between, until the condition holds. */
async function advanceUntil(
  { clock }: TestIssuing,
  stepMs: number,
  condition: () => boolean,
  what: string,
): Promise<void> {
  for (let turn = 0; turn < 400 && !condition(); turn++) {
    await clock.advance(stepMs)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  assert.ok(condition(), what)
}

test('many first visitors to one name cause one order', async () => {
  await using issuing = await startTestIssuing()
  const manager = await issuing.manager()
  const found = await Promise.all(Array.from({ length: 20 }, () => manager.obtain(name, noAbort)))
  assert.equal(new Set(found.map((certificate) => certificate.id)).size, 1)
  assert.equal(issuing.ca.orders.length, 1)
})

test('instances that share a store order once between them', async () => {
  await using issuing = await startTestIssuing()
  const [first, second] = [await issuing.manager(), await issuing.manager()]
  const both = Promise.all([first.obtain(name, noAbort), second.obtain(name, noAbort)])
  let done = false
  void both.finally(() => {
    done = true
  })
  await advanceUntil(issuing, 100, () => done, 'both have it')
  const [a, b] = await both
  assert.equal(a.id, b.id)
  assert.equal(issuing.ca.orders.length, 1)
  assert.equal(issuing.ca.count('/new-account'), 1)
})

test('a certificate that the store has is served after a restart, with the CA away, and ordered never again', async () => {
  await using issuing = await startTestIssuing()
  const before = await issuing.manager()
  const { id } = await before.obtain(name, noAbort)
  await before[Symbol.asyncDispose]()
  issuing.ca.behaviour.down = true
  const after = await issuing.manager()
  assert.equal(after.find(name)?.id, id)
  assert.equal((await after.obtain(name, noAbort)).id, id)
  assert.equal(issuing.ca.orders.length, 1)
})

test('a certificate that another instance put into the store later is used, not ordered again', async () => {
  await using issuing = await startTestIssuing()
  const [first, second] = [await issuing.manager(), await issuing.manager()]
  const { id } = await first.obtain(name, noAbort)
  assert.equal((await second.obtain(name, noAbort)).id, id)
  assert.equal(issuing.ca.orders.length, 1)
})

test('a visitor who gives up does not stop the order', async () => {
  await using issuing = await startTestIssuing()
  const manager = await issuing.manager()
  const impatient = new AbortController()
  issuing.ca.behaviour.before = (path) => {
    if (path === '/finalize') impatient.abort(new Error('gone'))
  }
  await assert.rejects(manager.obtain(name, impatient.signal), /gone/)
  await until(() => manager.find(name) !== undefined, 'the certificate')
  assert.equal(issuing.ca.orders.length, 1)
})

test('a stopped manager leaves its order behind, and the next one finishes it', async () => {
  await using issuing = await startTestIssuing()
  const before = await issuing.manager()
  issuing.ca.behaviour.looksPending = 3
  const waiting = before.obtain(name, noAbort)
  await Promise.all([
    assert.rejects(waiting, { code: 'ACME_STOPPED' }),
    until(() => issuing.ca.count('/chall') === 1, 'the challenge').then(() => before[Symbol.asyncDispose]()),
  ])
  const after = await issuing.manager()
  await advanceUntil(issuing, 500, () => after.find(name) !== undefined, 'resumed by itself')
  assert.equal(issuing.ca.orders.length, 1)
  assert.equal(issuing.ca.count('/chall'), 1)
})

test('a name that the policy refuses costs no request to the CA, and the policy is asked again only after a while', async () => {
  await using issuing = await startTestIssuing()
  let asked = 0
  let proven = false
  const manager = await issuing.manager({
    policy: async () => {
      asked++
      if (!proven) throw new UnprovenError('no TXT record', { hint: 'Add it.' })
    },
  })
  for (let turn = 0; turn < 5; turn++) await assert.rejects(manager.obtain(name, noAbort), { code: 'TEST_UNPROVEN' })
  assert.deepEqual([asked, issuing.ca.count('/dir')], [1, 0])
  assert.deepEqual(
    manager.status().map(({ names, state, failure }) => ({ names, state, code: failure?.code })),
    [{ names: [name], state: 'refused', code: 'TEST_UNPROVEN' }],
  )
  proven = true
  await issuing.clock.advance(31_000)
  assert.ok(await manager.obtain(name, noAbort))
})

test('a policy that fails for reasons of its own allows nothing', async () => {
  await using issuing = await startTestIssuing()
  const manager = await issuing.manager({ policy: () => Promise.reject(new TypeError('bug')) })
  await assert.rejects(manager.obtain(name, noAbort), { code: 'ACME_POLICY_FAILED', fault: 'ours' })
  assert.equal(issuing.ca.count('/dir'), 0)
})

test('names that cannot have a certificate are refused before anything is asked', async () => {
  await using issuing = await startTestIssuing()
  const manager = await issuing.manager({ policy: () => Promise.reject(new Error('asked')) })
  for (const bad of [
    '',
    'localhost',
    '127.0.0.1',
    '*.example.test',
    'a..b',
    '-a.test',
    'a_b.test',
    `${'a'.repeat(64)}.test`,
    'ex ample.test',
    '::1',
    '\0.test',
  ]) {
    await assert.rejects(manager.obtain(bad, noAbort), { code: 'ACME_NAME_INVALID', fault: 'caller' }, bad)
    assert.equal(manager.find(bad), undefined)
  }
})

for (const [type, code, fault] of [
  ['unauthorized', 'ACME_UNAUTHORIZED', 'caller'],
  ['caa', 'ACME_CAA', 'caller'],
  ['dns', 'ACME_DNS', 'caller'],
  ['connection', 'ACME_CONNECTION', 'caller'],
  ['tls', 'ACME_CONNECTION', 'caller'],
  ['somethingNew', 'ACME_CA_REFUSED', 'upstream'],
] as const) {
  test(`a validation that fails with ${type} is reported as ${code}, with the name and what to do`, async () => {
    await using issuing = await startTestIssuing()
    const manager = await issuing.manager()
    issuing.ca.behaviour.invalidates = () => ({ type, detail: 'because', status: 403 })
    const error = await manager.obtain(name, noAbort).then(
      () => assert.fail('issued'),
      (reason: AppError) => reason,
    )
    assert.deepEqual([error.code, error.fault], [code, fault])
    assert.match(error.message, /app\.example\.test.*because/)
    assert.ok((error.hint ?? '').length > 20)
  })
}

for (const [type, status, code, fault] of [
  ['rateLimited', 429, 'ACME_RATE_LIMITED', 'upstream'],
  ['rejectedIdentifier', 400, 'ACME_REJECTED_IDENTIFIER', 'caller'],
  ['badCSR', 400, 'ACME_BAD_CSR', 'ours'],
  ['serverInternal', 500, 'ACME_CA_REFUSED', 'upstream'],
] as const) {
  test(`an order refused with ${type} is reported as ${code}`, async () => {
    await using issuing = await startTestIssuing()
    const manager = await issuing.manager()
    issuing.ca.behaviour.refuse = (path) => (path === '/new-order' ? { type, status, detail: 'no' } : undefined)
    await assert.rejects(manager.obtain(name, noAbort), { code, fault })
  })
}

test('failures climb a ladder that outlives a restart, and a success forgets them', async () => {
  await using issuing = await startTestIssuing()
  issuing.ca.behaviour.invalidates = () => ({ type: 'unauthorized', detail: 'no', status: 403 })
  const attempt = async (): Promise<string> => {
    const manager = await issuing.manager()
    const code = await manager.obtain(name, noAbort).then(
      () => 'issued',
      (error: AppError) => error.code,
    )
    await manager[Symbol.asyncDispose]()
    return code
  }
  const seen: string[] = [await attempt(), await attempt()]
  for (const waitMs of [minuteMs, 10 * minuteMs, 100 * minuteMs, dayMs]) {
    await issuing.clock.advance(waitMs - 1_000)
    seen.push(await attempt())
    await issuing.clock.advance(waitMs * 0.11)
    if (waitMs === dayMs) issuing.ca.behaviour.invalidates = () => undefined
    seen.push(await attempt())
  }
  const refused = ['ACME_BACKING_OFF', 'ACME_UNAUTHORIZED']
  assert.deepEqual(seen, [
    'ACME_UNAUTHORIZED',
    'ACME_BACKING_OFF',
    ...refused,
    ...refused,
    ...refused,
    'ACME_BACKING_OFF',
    'issued',
  ])
  assert.deepEqual(
    (await issuing.store.list('')).filter((key) => key.includes('/failure/') || key.includes('/order/')),
    [],
  )
})

test('what an order that failed leaves pending is given up at the CA', async () => {
  await using issuing = await startTestIssuing()
  const manager = await issuing.manager({
    responders: [{ type: 'dns-01', present: async () => {}, clean: async () => {} }],
  })
  issuing.ca.behaviour.looksPending = 1
  issuing.ca.behaviour.challengeTypes = ['http-01']
  await assert.rejects(manager.ensure(['zone.test', '*.zone.test']), { code: 'ACME_NO_CHALLENGE' })
  assert.deepEqual(issuing.ca.deactivated.sort(), ['*.zone.test', 'zone.test'])
})

test('a CA that limits the rate is left alone for as long as it asks, within our cap', async () => {
  await using issuing = await startTestIssuing()
  const manager = await issuing.manager({ config: { retryAfterMsMax: hourMs } })
  issuing.ca.behaviour.refuse = (path) =>
    path === '/new-order' ? { type: 'rateLimited', status: 429, detail: 'slow down', retryAfter: '999999' } : undefined
  await assert.rejects(manager.obtain(name, noAbort), { code: 'ACME_RATE_LIMITED' })
  issuing.ca.behaviour.refuse = () => undefined
  await issuing.clock.advance(hourMs - 10_000)
  await assert.rejects(manager.obtain(name, noAbort), { code: 'ACME_BACKING_OFF' })
  await issuing.clock.advance(11_000)
  assert.ok(await manager.obtain(name, noAbort))
})

test('a CA that is away is reported as such; a managed name gets its certificate soon after it is back', async () => {
  await using issuing = await startTestIssuing()
  const manager = await issuing.manager()
  issuing.ca.behaviour.down = true
  await assert.rejects(manager.ensure([name]), { code: 'ACME_CA_UNREACHABLE', fault: 'upstream' })
  assert.equal(manager.status()[0]?.failure?.code, 'ACME_CA_UNREACHABLE')
  issuing.ca.behaviour.down = false
  const downMs = issuing.clock.nowMs()
  await advanceUntil(issuing, 500, () => manager.find(name) !== undefined, 'the certificate')
  assert.ok(issuing.clock.nowMs() - downMs < 20_000)
})

test('while the CA is in trouble other names are not sent to it, and not blamed', async () => {
  await using issuing = await startTestIssuing()
  const manager = await issuing.manager()
  issuing.ca.behaviour.refuse = (path) =>
    path === '/new-order' ? { type: 'serverInternal', status: 503, retryAfter: '30' } : undefined
  await assert.rejects(manager.obtain(name, noAbort), { code: 'ACME_CA_REFUSED' })
  const before = issuing.ca.count('/new-order')
  await assert.rejects(manager.obtain('other.example.test', noAbort), { code: 'ACME_BACKING_OFF', fault: 'upstream' })
  assert.equal(issuing.ca.count('/new-order'), before)
  issuing.ca.behaviour.refuse = () => undefined
  await issuing.clock.advance(35_000)
  assert.ok(await manager.obtain('other.example.test', noAbort))
})

test('a domain has its own budget, so a flood of names under it leaves others alone; restarts do not refill it', async () => {
  await using issuing = await startTestIssuing()
  const config = { budgets: { ordersPerDomain: { count: 2, perMs: dayMs } } }
  const manager = await issuing.manager({ config })
  await manager.obtain('a.evil.test', noAbort)
  await manager.obtain('b.evil.test', noAbort)
  await manager[Symbol.asyncDispose]()
  const again = await issuing.manager({ config })
  await assert.rejects(again.obtain('c.evil.test', noAbort), { code: 'ACME_BUDGET_USED_UP', status: 429 })
  assert.ok(await again.obtain('good.test.example', noAbort))
  assert.equal(issuing.ca.orders.length, 3)
  await issuing.clock.advance(dayMs / 2)
  assert.ok(await again.obtain('c.evil.test', noAbort))
})

test('renewals have a budget of their own: new names cannot use it up', async () => {
  await using issuing = await startTestIssuing()
  const manager = await issuing.manager({ config: { budgets: { orders: { count: 1, perMs: 365 * dayMs } } } })
  const { id } = await manager.ensure([name])
  await assert.rejects(manager.obtain('other.test', noAbort), { code: 'ACME_BUDGET_USED_UP' })
  await advanceUntil(issuing, dayMs, () => manager.find(name)?.id !== id, 'renewed')
})

test('without a store nothing is ordered', async () => {
  await using issuing = await startTestIssuing()
  const failing: CertificateStore = Object.create(issuing.store)
  const manager = await issuing.manager({ store: failing })
  for (const method of ['write', 'lock', 'read'] as const) {
    Object.assign(failing, { [method]: () => Promise.reject(new Error('disk full')) })
    await assert.rejects(manager.obtain(name, noAbort), { code: 'ACME_STORE_DOWN', fault: 'ours' }, method)
    await issuing.clock.advance(5_000)
  }
  assert.deepEqual([issuing.ca.count('/new-order'), issuing.ca.orders.length], [0, 0])
})

test('a certificate that could not be stored is served, and stored once the store is back, without another order', async () => {
  await using issuing = await startTestIssuing()
  const failing: CertificateStore = Object.create(issuing.store)
  const manager = await issuing.manager({ store: failing })
  failing.write = async (key, value, lock) => {
    if (key.includes('/certificate/')) throw new Error('disk full')
    return issuing.store.write(key, value, lock)
  }
  const { id } = await manager.obtain(name, noAbort)
  assert.equal(manager.find(name)?.id, id)
  await manager[Symbol.asyncDispose]()
  const after = await issuing.manager()
  await advanceUntil(issuing, 1_000, () => after.find(name) !== undefined, 'downloaded again')
  assert.equal(after.find(name)?.id, id)
  assert.equal(issuing.ca.orders.length, 1)
})

test('an order whose record outlived its certificate is not taken for a renewal', async () => {
  await using issuing = await startTestIssuing()
  const failing: CertificateStore = Object.create(issuing.store)
  // As a crash between the two steps: the certificate is stored, the order's record is still there.
  failing.remove = () => Promise.reject(new Error('crash'))
  const before = await issuing.manager({ store: failing })
  const first = await before.obtain(name, noAbort)
  await before[Symbol.asyncDispose]()
  const after = await issuing.manager()
  await issuing.clock.advance(59 * dayMs)
  assert.deepEqual([after.find(name)?.id, issuing.ca.orders.length], [first.id, 1])
  await advanceUntil(issuing, hourMs, () => after.find(name)?.id !== first.id, 'renewed')
  assert.equal(issuing.ca.orders.length, 2)
})

test('a set that is no longer asked for is served to its end and not renewed', async () => {
  await using issuing = await startTestIssuing()
  issuing.ca.behaviour.lifeMs = 3 * dayMs
  const before = await issuing.manager()
  const { id } = await before.ensure([name])
  await before[Symbol.asyncDispose]()
  const after = await issuing.manager()
  await issuing.clock.advance(2.9 * dayMs)
  assert.equal(after.find(name)?.id, id)
  await issuing.clock.advance(dayMs)
  assert.deepEqual([after.find(name), issuing.ca.orders.length, after.status()], [undefined, 1, []])
})

test('an instance that lost its lock writes nothing over the result of the one that took over', async () => {
  await using issuing = await startTestIssuing()
  const stuck: CertificateStore = Object.create(issuing.store)
  // As a process that stands still: no heartbeat gets through.
  stuck.extend = async (lock) => lock
  const slow = await issuing.manager({ store: stuck })
  const gate = Promise.withResolvers<void>()
  let gated = false
  issuing.ca.behaviour.before = async (path) => {
    if (path !== '/finalize' || gated) return
    gated = true
    await gate.promise
  }
  const lost = slow.obtain(name, noAbort)
  await until(() => gated, 'the slow one is at its order')
  await issuing.clock.advance(16_000)
  const fast = await issuing.manager()
  await advanceUntil(issuing, 100, () => fast.find(name) !== undefined, 'the other took over')
  gate.resolve()
  const { id } = await lost
  assert.equal(id, fast.find(name)?.id, 'both finished the same order')
  assert.equal(issuing.ca.orders.length, 1)
  const later = await issuing.manager()
  assert.equal(later.find(name)?.id, fast.find(name)?.id)
})

test('a certificate is renewed with a third of its life left, under a new key, while visitors see no gap', async () => {
  await using issuing = await startTestIssuing()
  const manager = await issuing.manager()
  const first = await manager.ensure([name])
  await issuing.clock.advance(59 * dayMs)
  assert.equal(manager.find(name)?.id, first.id)
  await advanceUntil(issuing, hourMs, () => manager.find(name)?.id !== first.id, 'renewed')
  const second = manager.find(name)!
  assert.ok(second.notAfterMs - first.notAfterMs > 59 * dayMs)
  assert.notEqual(second.keyPem, first.keyPem)
  assert.ok(new X509Certificate(second.certificatePem).verify(new X509Certificate(issuing.ca.rootPem).publicKey))
})

test('whoever keeps copies is told of each certificate that comes, changes or goes, until they leave', async () => {
  await using issuing = await startTestIssuing()
  const manager = await issuing.manager()
  const told: string[] = []
  const watch = manager.onChange((changed) => told.push(changed))
  const { id } = await manager.obtain(name, noAbort)
  assert.deepEqual(told, [name])
  await advanceUntil(issuing, dayMs, () => manager.find(name)?.id !== id, 'renewed')
  assert.deepEqual(told, [name, name])
  watch[Symbol.dispose]()
  await manager.obtain(`more-${name}`, noAbort)
  assert.equal(told.length, 2)
})

test('the CA can have certificates replaced early by its renewal window, and the order names what it replaces', async () => {
  await using issuing = await startTestIssuing()
  const soonMs = issuing.clock.nowMs() + 3 * dayMs
  issuing.ca.behaviour.window = () => ({ startMs: soonMs, endMs: soonMs + dayMs })
  const manager = await issuing.manager()
  const first = await manager.ensure([name])
  await advanceUntil(issuing, hourMs, () => manager.find(name)?.id !== first.id, 'replaced')
  assert.ok(issuing.clock.nowMs() >= soonMs && issuing.clock.nowMs() < soonMs + 1.5 * dayMs)
  assert.match(String(issuing.ca.orders[1]?.replaces), /^[\w-]+\.[\w-]+$/)
})

test('a CA that refuses the replacement gets a plain order instead', async () => {
  await using issuing = await startTestIssuing()
  issuing.ca.behaviour.window = () => ({ startMs: issuing.clock.nowMs() - 1, endMs: issuing.clock.nowMs() })
  issuing.ca.behaviour.refuse = (path, payload) =>
    path === '/new-order' && payload.replaces !== undefined ? { type: 'alreadyReplaced', status: 409 } : undefined
  const manager = await issuing.manager()
  const first = await manager.ensure([name])
  await advanceUntil(issuing, hourMs, () => manager.find(name)?.id !== first.id, 'replaced')
  assert.deepEqual(
    issuing.ca.orders.map((order) => order.replaces),
    [undefined, undefined],
  )
})

test('a certificate dies at its end in every memory: with the CA away an expired one is not served', async () => {
  await using issuing = await startTestIssuing()
  issuing.ca.behaviour.lifeMs = 12 * hourMs
  // A lock held for hours keeps heartbeats out of the time that passes here.
  const manager = await issuing.manager({ config: { lockHoldMs: 12 * hourMs } })
  const { notAfterMs } = await manager.ensure([name])
  issuing.ca.behaviour.down = true
  await advanceUntil(issuing, 30 * minuteMs, () => issuing.clock.nowMs() > notAfterMs - hourMs, 'the last hour')
  assert.match(await manager.metrics.text(), /acme_late_renewals_total [1-9]/)
  await issuing.clock.advance(notAfterMs - issuing.clock.nowMs() - 1_000)
  assert.ok(manager.find(name))
  await issuing.clock.advance(1_000)
  assert.equal(manager.find(name), undefined)
  assert.notEqual(manager.status()[0]?.state, 'valid')
})

test('at renewal the policy is asked again, and a name that left us keeps its certificate only to its end', async () => {
  await using issuing = await startTestIssuing()
  let ours = true
  issuing.ca.behaviour.lifeMs = 3 * dayMs
  const manager = await issuing.manager({
    policy: async () => {
      if (!ours) throw new UnprovenError('moved away')
    },
  })
  const { notAfterMs } = await manager.obtain(name, noAbort)
  ours = false
  await issuing.clock.advance(2.5 * dayMs)
  assert.ok(manager.find(name))
  assert.equal(manager.status()[0]?.failure?.code, 'TEST_UNPROVEN')
  await advanceUntil(issuing, hourMs, () => issuing.clock.nowMs() > notAfterMs + hourMs, 'past its end')
  assert.equal(manager.find(name), undefined)
  assert.equal(issuing.ca.orders.length, 1)
})

test('a name under a managed wildcard waits for the wildcard instead of getting a certificate of its own', async () => {
  await using issuing = await startTestIssuing()
  const responder = { type: 'dns-01', present: async () => {}, clean: async () => {} } as const
  const manager = await issuing.manager({ responders: [responder], policy: () => Promise.reject(new Error('asked')) })
  const zone = manager.ensure(['zone.test', '*.zone.test'])
  const label = await manager.obtain('label.zone.test', noAbort)
  assert.equal(label.id, (await zone).id)
  assert.equal(issuing.ca.orders.length, 1)
})

test('a CA that forgot our account gets it again', async () => {
  await using issuing = await startTestIssuing()
  const manager = await issuing.manager()
  await manager.obtain(name, noAbort)
  issuing.ca.forgetAccounts()
  assert.ok(await manager.obtain('other.test', noAbort))
  assert.equal(issuing.ca.count('/new-account'), 2)
})

test('a third of all nonces refused still issues every time, and no signed body is sent twice', async () => {
  await using issuing = await startTestIssuing()
  issuing.ca.behaviour.nonceRejects = 0.3
  const manager = await issuing.manager()
  const names = Array.from({ length: 10 }, (_, index) => `n${index}.example.test`)
  const all = Promise.all(names.map((each) => manager.obtain(each, noAbort)))
  await advanceUntil(issuing, 100, () => names.every((each) => manager.find(each)), 'all of them')
  await all
  assert.equal(issuing.ca.orders.length, 10)
  assert.ok(issuing.ca.count('/new-nonce') <= 12, `${issuing.ca.count('/new-nonce')} fetched; replies feed the pool`)
})

test('terms not agreed to, an unlisted profile and a missing account binding are told apart', async () => {
  await using issuing = await startTestIssuing()
  const attempt = async (config: Record<string, unknown>) => {
    const manager = await issuing.manager({ config })
    const host = `${Object.keys(config).join('-').toLowerCase()}.test`
    return manager.obtain(host, noAbort)
  }
  await assert.rejects(attempt({ termsOfServiceAgreed: false }), { code: 'ACME_TERMS_NOT_AGREED', fault: 'ours' })
  issuing.ca.behaviour.profiles = { classic: 'the usual' }
  await assert.rejects(attempt({ profile: 'shortlived' }), { code: 'ACME_PROFILE_UNKNOWN' })
  const externalAccount = {
    keyId: 'kid-1',
    macKeyBase64Url: Buffer.from('a secret of some length').toString('base64url'),
  }
  issuing.ca.behaviour.externalAccount = externalAccount
  assert.ok(await attempt({ profile: 'classic', externalAccount }))
  assert.equal(issuing.ca.orders[0]?.profile, 'classic')
})

test('no metric and no log line names a secret, and the metrics parse as counts', async () => {
  await using issuing = await startTestIssuing()
  const manager = await issuing.manager()
  const { keyPem } = await manager.obtain(name, noAbort)
  const text = (await manager.metrics.text()) + JSON.stringify(manager.lines)
  assert.match(text, /acme_orders_total\{kind="new",result="issued"\} 1/)
  assert.ok(!text.includes(keyPem.slice(40, 80)))
  assert.ok(!(await manager.metrics.text()).includes(name))
})
