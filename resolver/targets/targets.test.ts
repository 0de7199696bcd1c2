import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FakeClock } from '../../core/clock.ts'
import { AppError } from '../../core/errors.ts'
import { silentLog } from '../../core/log.ts'
import { encodeHostLabel } from '../../node/protocol/host-label.ts'
import { createZoneSource } from '../dns/zone-source.ts'
import type { RecordAdvice } from '../errors.ts'
import type { DnsSource, EnsRecords, MessageSource } from '../ports.ts'
import { createZone } from '../server/zone.ts'
import type { ZoneRecord } from '../server/zone-record.ts'
import { targetsConfig } from './config.ts'
import { createTargets, type Targets } from './targets.ts'

const owner = `0x${'ab'.repeat(20)}`
const hash = '1'.repeat(64)
const store = '3'.repeat(64)
const cid = 'bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi'
const label = encodeHostLabel(hash)
const never = new AbortController().signal

class NetworkDown extends AppError {
  readonly code = 'TEST_NETWORK_DOWN'
  readonly fault = 'upstream'
  override readonly status = 503
}

const known: MessageSource = {
  message: async (itemHash) => {
    if (itemHash === hash) return { owner, sender: owner, type: 'PROGRAM' }
    return itemHash === store ? { owner, sender: owner, type: 'STORE', cid } : undefined
  },
  domainEntry: async (who, host) =>
    who === owner && host === 'signed.example.test' ? { kind: 'program', itemHash: hash } : undefined,
}

function ensRecords(changes: Partial<EnsRecords>): EnsRecords {
  return { owner, vm: undefined, contentCid: undefined, unsupported: undefined, blockNumber: 1n, ...changes }
}

const ensTable: Record<string, EnsRecords> = {
  'app.eth': ensRecords({ vm: hash }),
  'both.eth': ensRecords({ vm: hash, contentCid: cid }),
  'site.eth': ensRecords({ contentCid: cid }),
  'typo.eth': ensRecords({ vm: hash.slice(1), contentCid: cid }),
  'swarm.eth': ensRecords({ unsupported: 'bzz' }),
  'empty.eth': ensRecords({}),
  'a.deep.app.eth': ensRecords({ vm: store }),
}

function makeTargets(
  records: readonly ZoneRecord[] = [],
  changes: { dns?: DnsSource; messages?: MessageSource } = {},
): Targets & { asked: string[] } {
  const zones = [
    createZone({ origin: 'example.test', records }),
    createZone({
      origin: 'gw.test',
      records: ['gw.test', '*.gw.test'].map((name) => ({ name, type: 'A', value: '192.0.2.80' })),
    }),
  ]
  const source = changes.dns ?? createZoneSource(zones)
  const asked: string[] = []
  const dns: DnsSource = {
    query: (name, type, signal) => {
      asked.push(`${type} ${name}`)
      return source.query(name, type, signal)
    },
  }
  const ens = { records: async (name: string) => ensTable[name] }
  const config = targetsConfig.parse({ zones: ['gw.test'], gatewayAddresses: ['192.0.2.80'] })
  const ports = { dns, ens, messages: changes.messages ?? known, clock: new FakeClock(), log: silentLog }
  return Object.assign(createTargets(config, ports), { asked })
}

const appRecords: readonly ZoneRecord[] = [
  { name: 'app.example.test', type: 'CNAME', value: 'gw.test', ttl: 45 },
  { name: '_control.app.example.test', type: 'TXT', value: owner },
  { name: '_aleph-id.app.example.test', type: 'TXT', value: hash },
]

async function refusal(work: Promise<unknown>): Promise<{ code: string; status: number; details: RecordAdvice[] }> {
  const error = await work.then(
    () => assert.fail('nothing was refused'),
    (e: unknown) => e,
  )
  assert.ok(error instanceof AppError, String(error))
  return { code: error.code, status: error.status, details: (error.details ?? []) as RecordAdvice[] }
}

test('labels under our zone lead to programs and content without a DNS question', async () => {
  const targets = makeTargets()
  assert.deepEqual(await targets.resolve(`${label}.gw.test`, never), {
    target: { kind: 'program', itemHash: hash },
    via: 'label',
    ttlMs: 3_600_000,
  })
  assert.deepEqual((await targets.resolve(`${cid}.gw.test`, never)).target, { kind: 'static', cid })
  assert.deepEqual((await targets.resolve(`${encodeHostLabel(store)}.gw.test`, never)).target, { kind: 'static', cid })
  assert.deepEqual(targets.asked, [])
})

test('a malformed label gets 404 and is told what a label looks like', async () => {
  const targets = makeTargets()
  for (const [bad, why] of [
    [label.slice(1), /51 characters instead of 52/],
    [`${label.slice(0, -2)}1a`, /"1" is not in the alphabet/],
    [`x.${label}`, /more than one label/],
    ['www', /3 characters instead of 52/],
  ] as const) {
    const error = await targets.resolve(`${bad}.gw.test`, never).catch((e: unknown) => e as AppError)
    assert.ok(error instanceof AppError)
    assert.deepEqual([error.code, error.status], ['RESOLVER_LABEL_INVALID', 404])
    assert.match(error.message, why)
    assert.match(error.hint ?? '', /52 characters of a-z2-7/)
  }
})

test('a label whose hash the network does not know gets 404, and is served blindly while the network is down', async () => {
  const unknown = encodeHostLabel('9'.repeat(64))
  assert.equal((await refusal(makeTargets().resolve(`${unknown}.gw.test`, never))).code, 'RESOLVER_TARGET_UNKNOWN')
  const down: MessageSource = {
    message: async () => Promise.reject(new NetworkDown('down')),
    domainEntry: async () => Promise.reject(new NetworkDown('down')),
  }
  const resolution = await makeTargets([], { messages: down }).resolve(`${unknown}.gw.test`, never)
  assert.equal(resolution.target.kind, 'program')
})

test('a proven custom domain leads to its program, for as long as its shortest record', async () => {
  const resolution = await makeTargets(appRecords).resolve('app.example.test', never)
  assert.deepEqual(resolution, { target: { kind: 'program', itemHash: hash }, via: 'dns', ttlMs: 45_000 })
})

test("the owner's signed entry names the target when DNS does not", async () => {
  const records: ZoneRecord[] = [
    { name: 'signed.example.test', type: 'CNAME', value: 'gw.test' },
    { name: '_control.signed.example.test', type: 'TXT', value: owner },
  ]
  assert.equal((await makeTargets(records).resolve('signed.example.test', never)).target.kind, 'program')
})

test('records of a parent name prove nothing for the names below it', async () => {
  const targets = makeTargets([...appRecords, { name: 'sub.app.example.test', type: 'A', value: '192.0.2.80' }])
  const { code, details } = await refusal(targets.resolve('sub.app.example.test', never))
  assert.equal(code, 'RESOLVER_DOMAIN_NOT_PROVEN')
  assert.equal(details[0]?.record, '_control.sub.app.example.test')
  assert.ok(!targets.asked.includes('TXT _control.app.example.test'))
})

test('a misspelt record name is found and shown', async () => {
  const records: ZoneRecord[] = [
    { name: 'app.example.test', type: 'CNAME', value: 'gw.test' },
    { name: '_control.app.example.test', type: 'TXT', value: owner },
    { name: '_aleph_id.app.example.test', type: 'TXT', value: hash },
  ]
  const { status, details } = await refusal(makeTargets(records).resolve('app.example.test', never))
  assert.equal(status, 421)
  const line = details.find((detail) => detail.record === '_aleph_id.app.example.test')
  assert.deepEqual([line?.found, line?.expected], [hash, 'the same value at _aleph-id.app.example.test'])
})

test("a stranger's host name costs four questions and no more", async () => {
  const targets = makeTargets()
  await refusal(targets.resolve('nobody.example.test', never))
  assert.equal(targets.asked.length, 4)
})

test('a circle of CNAMEs is told as one', async () => {
  const records: ZoneRecord[] = [
    ...appRecords.slice(0, 1),
    { name: '_control.app.example.test', type: 'CNAME', value: 'x.example.test' },
    { name: 'x.example.test', type: 'CNAME', value: '_control.app.example.test' },
  ]
  const { code, status, details } = await refusal(makeTargets(records).resolve('app.example.test', never))
  assert.deepEqual([code, status], ['RESOLVER_DOMAIN_NOT_PROVEN', 421])
  assert.match(details[0]?.found ?? '', /circle/)
})

test('failing name servers give 503, not a verdict', async () => {
  const dns: DnsSource = {
    query: async () => ({ rcode: 'SERVFAIL', values: [], chain: [], ttlSeconds: 1, authenticated: false }),
  }
  const { code, status } = await refusal(makeTargets([], { dns }).resolve('app.example.test', never))
  assert.deepEqual([code, status], ['RESOLVER_LOOKUP_FAILED', 503])
})

test('ENS names lead on, bare and under our zone, at any depth; text aleph.vm comes before the contenthash', async () => {
  const targets = makeTargets()
  const program = { kind: 'program', itemHash: hash }
  for (const [host, target] of [
    ['app.eth.gw.test', program],
    ['app.eth', program],
    ['both.eth.gw.test', program],
    ['site.eth.gw.test', { kind: 'static', cid }],
    ['a.deep.app.eth.gw.test', { kind: 'static', cid }],
  ] as const) {
    assert.deepEqual(await targets.resolve(host, never), { target, via: 'ens', ttlMs: 60_000 }, host)
  }
})

test('ENS names that lead nowhere say which record is wrong', async () => {
  const targets = makeTargets()
  for (const [host, code, record] of [
    ['gone.eth.gw.test', 'RESOLVER_NAME_NOT_FOUND', 'text aleph.vm of gone.eth'],
    ['empty.eth', 'RESOLVER_NAME_NOT_FOUND', 'text aleph.vm of empty.eth'],
    ['typo.eth', 'RESOLVER_NAME_NOT_FOUND', 'text aleph.vm of typo.eth'],
    ['swarm.eth', 'RESOLVER_TARGET_UNSUPPORTED', 'contenthash of swarm.eth'],
  ] as const) {
    const error = await refusal(targets.resolve(host, never))
    assert.deepEqual([error.code, error.details[0]?.record], [code, record])
  }
})

test('certificates are allowed for our zone, for proven domains that lead here, and for ENS names below our zone', async () => {
  const targets = makeTargets(appRecords)
  for (const name of ['gw.test', '*.gw.test', 'app.example.test', 'app.eth.gw.test', `${label}.gw.test`]) {
    await targets.checkIssuance(name, never)
  }
})

test('certificates are refused for unproven names, names that lead elsewhere, bare .eth and foreign wildcards', async () => {
  const elsewhere: ZoneRecord[] = [
    { name: 'app.example.test', type: 'CNAME', value: 'evil-gw.test' },
    ...appRecords.slice(1),
  ]
  const targets = makeTargets(elsewhere)
  for (const [name, code] of [
    ['nobody.example.test', 'RESOLVER_DOMAIN_NOT_PROVEN'],
    ['app.example.test', 'RESOLVER_ISSUANCE_REFUSED'],
    ['app.eth', 'RESOLVER_ISSUANCE_REFUSED'],
    ['*.example.test', 'RESOLVER_ISSUANCE_REFUSED'],
    ['gone.eth.gw.test', 'RESOLVER_NAME_NOT_FOUND'],
    ['www.gw.test', 'RESOLVER_LABEL_INVALID'],
  ] as const) {
    assert.equal((await refusal(targets.checkIssuance(name, never))).code, code, name)
  }
})

test('a report shows good records as well as bad ones, for every kind of name', async () => {
  const targets = makeTargets(appRecords)
  const good = await targets.domainReport('app.example.test', never)
  assert.deepEqual([good.verdict, good.pointsHere, good.owner], ['ok', true, owner])
  assert.deepEqual(
    good.records.map((record) => [record.record, record.state]),
    [
      ['_control.app.example.test', 'ok'],
      ['_aleph-id.app.example.test', 'ok'],
      ['app.example.test', 'ok'],
    ],
  )
  const bad = await targets.domainReport('nobody.example.test', never)
  assert.deepEqual([bad.verdict, bad.code], ['refused', 'RESOLVER_DOMAIN_NOT_PROVEN'])
  assert.equal((await targets.domainReport('www.gw.test', never)).code, 'RESOLVER_LABEL_INVALID')
  assert.equal((await targets.domainReport('app.eth', never)).target?.kind, 'program')
})

test('a look-up that hangs ends with 503 in bounded time', async () => {
  const clock = new FakeClock()
  const dns: DnsSource = {
    query: (_name, _type, signal) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
  }
  const config = targetsConfig.parse({})
  const ens = { records: async () => undefined }
  const targets = createTargets(config, { dns, ens, messages: known, clock, log: silentLog })
  const waiting = refusal(targets.resolve('app.example.test', never))
  await clock.advance(config.lookupMsMax)
  assert.equal((await waiting).code, 'RESOLVER_LOOKUP_FAILED')
})
