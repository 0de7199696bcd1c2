import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decideDomain, type RefusalReason } from './decide-target.ts'
import { type DomainFacts, type KnownMessage, type Lookup, noAnswer } from './facts.ts'
import { refusalError } from './refusal-error.ts'

const host = 'app.example.test'
const owner = `0x${'aB'.repeat(20)}`
const thief = `0x${'66'.repeat(20)}`
const hash = '1'.repeat(64)
const other = '2'.repeat(64)
const store = '3'.repeat(64)
const cid = 'bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi'
const label = labelOf(hash)

function labelOf(itemHash: string): string {
  const bits = [...itemHash]
    .map((d) => Number.parseInt(d, 16).toString(2).padStart(4, '0'))
    .join('')
    .padEnd(260, '0')
  return (bits.match(/.{5}/g) as string[])
    .map((five) => 'abcdefghijklmnopqrstuvwxyz234567'[Number.parseInt(five, 2)])
    .join('')
}

const found = (...values: string[]): Lookup => ({ state: 'found', values, chain: [], ttlSeconds: 60 })
const cname = (...chain: string[]): Lookup => ({ state: 'found', values: ['192.0.2.1'], chain, ttlSeconds: 60 })
const failed = (retry: boolean): Lookup => ({ state: 'failed', reason: 'broken', retry })

const messages = new Map<string, KnownMessage | undefined>([
  [hash, { owner, sender: owner, type: 'PROGRAM' }],
  [other, { owner: thief, sender: thief, type: 'PROGRAM' }],
  [store, { owner, sender: owner, type: 'STORE', cid }],
  ['4'.repeat(64), { owner, sender: owner, type: 'INSTANCE' }],
  ['5'.repeat(64), { owner, sender: owner, type: 'STORE' }],
  ['6'.repeat(64), { owner, sender: owner, type: 'POST' }],
])

function facts(changes: Partial<DomainFacts>): DomainFacts {
  return {
    host,
    zones: ['gw.test'],
    gatewayAddresses: ['192.0.2.80'],
    control: found(owner),
    alephId: noAnswer,
    dnslink: noAnswer,
    address: cname('gw.test'),
    domainEntry: undefined,
    networkFailure: undefined,
    messages,
    misplaced: new Map(),
    ...changes,
  }
}

const program = { kind: 'program', itemHash: hash }
const site = { kind: 'static', cid }
type Expected = { ok: object } | { refused: RefusalReason; says: RegExp }

const cases: [string, Partial<DomainFacts>, Expected][] = [
  // What works.
  ['owner and hash by TXT', { alephId: found(hash) }, { ok: program }],
  ['hash in upper case', { alephId: found(hash.toUpperCase()) }, { ok: program }],
  ['hash in the long form', { alephId: found(`v=aleph1; vm=${hash}; port=80`) }, { ok: program }],
  ['hash in quotes that a panel kept', { alephId: found(`"${hash}"`) }, { ok: program }],
  ['owner as owner=', { control: found(`owner=${owner}`), alephId: found(hash) }, { ok: program }],
  ['owner in lower case', { control: found(owner.toLowerCase()), alephId: found(hash) }, { ok: program }],
  ['owner twice, in two cases', { control: found(owner, owner.toLowerCase()), alephId: found(hash) }, { ok: program }],
  ['hash twice', { alephId: found(hash, hash) }, { ok: program }],
  [
    'foreign TXT records beside ours',
    { control: found('google-site=1', owner), alephId: found('v=spf1 -all', hash) },
    { ok: program },
  ],
  ['label in the CNAME', { address: cname(`${label}.gw.test`) }, { ok: program }],
  ['label behind an alias of the owner', { address: cname('lb.example.test', `${label}.gw.test`) }, { ok: program }],
  ['CNAME label and TXT agree', { address: cname(`${label}.gw.test`), alephId: found(hash) }, { ok: program }],
  ['signed entry', { domainEntry: { kind: 'program', itemHash: hash } }, { ok: program }],
  [
    'signed entry and TXT agree',
    { domainEntry: { kind: 'program', itemHash: hash }, alephId: found(hash) },
    { ok: program },
  ],
  ['dnslink', { dnslink: found(`dnslink=/ipfs/${cid}`) }, { ok: site }],
  ['dnslink with a final slash', { dnslink: found(`dnslink=/ipfs/${cid}/`) }, { ok: site }],
  ['CID label in the CNAME', { address: cname(`${cid}.gw.test`) }, { ok: site }],
  ['STORE hash by TXT', { alephId: found(store) }, { ok: site }],
  [
    'STORE hash and the same CID by dnslink',
    { alephId: found(store), dnslink: found(`dnslink=/ipfs/${cid}`) },
    { ok: site },
  ],
  ['signed entry for a STORE', { domainEntry: { kind: 'ipfs', itemHash: store } }, { ok: site }],
  ['apex with an A record', { alephId: found(hash), address: found('192.0.2.80') }, { ok: program }],
  ['behind a CDN, with TXT', { alephId: found(hash), address: found('203.0.113.9') }, { ok: program }],
  ['address cannot be looked up, TXT can', { alephId: found(hash), address: failed(true) }, { ok: program }],
  // What is missing or misspelt.
  [
    'nothing at all',
    { control: noAnswer },
    { refused: 'not-proven', says: /no TXT record at _control\.app\.example\.test/ },
  ],
  ['no owner, with hash', { control: noAnswer, alephId: found(hash) }, { refused: 'not-proven', says: /_control/ }],
  [
    'no owner, label in the CNAME',
    { control: noAnswer, address: cname(`${label}.gw.test`) },
    { refused: 'not-proven', says: /_control/ },
  ],
  [
    'no owner, dnslink',
    { control: noAnswer, dnslink: found(`dnslink=/ipfs/${cid}`) },
    { refused: 'not-proven', says: /_control/ },
  ],
  ['no target', {}, { refused: 'not-proven', says: /no TXT record at _aleph-id/ }],
  [
    'hash of 63 digits',
    { alephId: found('1'.repeat(63)) },
    { refused: 'not-proven', says: /64 hex digits; these are 63/ },
  ],
  [
    'hash of 65 digits',
    { alephId: found('1'.repeat(65)) },
    { refused: 'not-proven', says: /64 hex digits; these are 65/ },
  ],
  ['hash with 0x', { alephId: found(`0x${hash}`) }, { refused: 'not-proven', says: /64 hex digits/ }],
  [
    'owner of 39 digits',
    { control: found(owner.slice(0, -1)), alephId: found(hash) },
    { refused: 'not-proven', says: /40 hex digits; these are 39/ },
  ],
  [
    'owner without 0x',
    { control: found(owner.slice(2)), alephId: found(hash) },
    { refused: 'not-proven', says: /0x and 40 hex/ },
  ],
  ['dnslink without the key', { dnslink: found(`/ipfs/${cid}`) }, { refused: 'not-proven', says: /no target/ }],
  ['dnslink with ipns', { dnslink: found('dnslink=/ipns/k51abc') }, { refused: 'not-proven', says: /no target/ }],
  [
    'dnslink with a broken CID',
    { dnslink: found('dnslink=/ipfs/bafybroken') },
    { refused: 'not-proven', says: /no target/ },
  ],
  [
    'dnslink with an identity CID',
    { dnslink: found('dnslink=/ipfs/bafkqaaa') },
    { refused: 'not-proven', says: /no target/ },
  ],
  // Contradictions are never settled by order.
  ['two hashes', { alephId: found(hash, other) }, { refused: 'conflict', says: /different targets/ }],
  [
    'two hashes in the other order',
    { alephId: found(other, hash) },
    { refused: 'conflict', says: /different targets/ },
  ],
  [
    'two owners',
    { control: found(owner, thief), alephId: found(hash) },
    { refused: 'conflict', says: /2 different owners/ },
  ],
  [
    'two CIDs',
    { dnslink: found(`dnslink=/ipfs/${cid}`, 'dnslink=/ipfs/QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG') },
    { refused: 'conflict', says: /different targets/ },
  ],
  [
    'hash and dnslink',
    { alephId: found(hash), dnslink: found(`dnslink=/ipfs/${cid}`) },
    { refused: 'conflict', says: /different targets/ },
  ],
  [
    'TXT and CNAME label differ',
    { alephId: found(hash), address: cname(`${labelOf(other)}.gw.test`) },
    { refused: 'conflict', says: /different targets/ },
  ],
  [
    'TXT and signed entry differ',
    { alephId: found(hash), domainEntry: { kind: 'program', itemHash: store } },
    { refused: 'conflict', says: /different targets/ },
  ],
  // Takeover attempts.
  [
    'thief names the program of another in his own domain',
    { control: found(thief), alephId: found(hash) },
    { refused: 'owner-differs', says: /belongs to 0xaB/ },
  ],
  [
    "domain of the owner made to name a thief's program",
    { alephId: found(other) },
    { refused: 'owner-differs', says: /belongs to 0x66/ },
  ],
  [
    "thief's program by a CNAME label",
    { address: cname(`${labelOf(other)}.gw.test`) },
    { refused: 'owner-differs', says: /belongs to 0x66/ },
  ],
  [
    'CNAME left behind, thief cannot write TXT',
    { control: noAnswer, address: cname('gw.test') },
    { refused: 'not-proven', says: /_control/ },
  ],
  [
    'look-alike zone that only ends in our name',
    { address: cname(`${label}.evil-gw.test`) },
    { refused: 'not-proven', says: /no target/ },
  ],
  [
    'look-alike zone glued to a label',
    { address: cname(`${label}-gw.test`) },
    { refused: 'not-proven', says: /no target/ },
  ],
  [
    'our zone in the middle of a foreign name',
    { address: cname(`${label}.gw.test.evil.test`) },
    { refused: 'not-proven', says: /no target/ },
  ],
  ['label below a label', { address: cname(`x.${label}.gw.test`) }, { refused: 'not-proven', says: /no target/ }],
  [
    "signed entry of somebody else's program",
    { domainEntry: { kind: 'program', itemHash: other } },
    { refused: 'owner-differs', says: /belongs to/ },
  ],
  [
    'owner text with a thief hidden behind',
    { control: found(`${owner} ${thief}`), alephId: found(hash) },
    { refused: 'not-proven', says: /_control/ },
  ],
  [
    'hash text with a second hash behind',
    { alephId: found(`${hash} ${other}`) },
    { refused: 'not-proven', says: /_aleph-id/ },
  ],
  // The network and the name servers.
  ['hash unknown', { alephId: found('9'.repeat(64)) }, { refused: 'unknown-hash', says: /does not know the hash 9/ }],
  ['hash of an instance', { alephId: found('4'.repeat(64)) }, { refused: 'unsupported', says: /INSTANCE/ }],
  [
    'hash of a file that is no IPFS content',
    { alephId: found('5'.repeat(64)) },
    { refused: 'unsupported', says: /STORE/ },
  ],
  ['hash of a post', { alephId: found('6'.repeat(64)) }, { refused: 'unsupported', says: /POST/ }],
  [
    'network down',
    { alephId: found(hash), messages: new Map(), networkFailure: 'no node answers' },
    { refused: 'lookup-failed', says: /no node answers/ },
  ],
  [
    'network down, and perhaps a signed entry',
    { networkFailure: 'no node answers' },
    { refused: 'lookup-failed', says: /no node answers/ },
  ],
  [
    'SERVFAIL at _control',
    { control: failed(true), alephId: found(hash) },
    { refused: 'lookup-failed', says: /_control.*broken/ },
  ],
  ['SERVFAIL at _aleph-id', { alephId: failed(true) }, { refused: 'lookup-failed', says: /_aleph-id.*broken/ }],
  [
    'SERVFAIL at _dnslink hides a contradiction',
    { alephId: found(hash), dnslink: failed(true) },
    { refused: 'lookup-failed', says: /_dnslink/ },
  ],
  [
    'loop at _control',
    { control: failed(false), alephId: found(hash) },
    { refused: 'not-proven', says: /_control.*broken/ },
  ],
]

for (const [title, changes, expected] of cases) {
  test(`a domain with ${title} ${'ok' in expected ? 'is served' : `is refused (${expected.refused})`}`, () => {
    const verdict = decideDomain(facts(changes))
    if ('ok' in expected) {
      assert.equal(verdict.verdict, 'ok', JSON.stringify(verdict))
      assert.deepEqual(verdict.verdict === 'ok' && verdict.target, expected.ok)
      return
    }
    assert.equal(verdict.verdict, 'refused', JSON.stringify(verdict))
    if (verdict.verdict !== 'refused') return
    assert.equal(verdict.reason, expected.refused, verdict.message)
    assert.match(verdict.message, expected.says)
    const error = refusalError(host, 'gw.test', verdict)
    assert.ok(Array.isArray(error.details))
    // Only a network that cannot be asked is no record's fault.
    assert.ok(error.details.length > 0 || changes.networkFailure !== undefined)
    for (const line of error.details) assert.deepEqual(Object.keys(line), ['record', 'type', 'found', 'expected'])
  })
}

test('the advice names the exact record and what to write', () => {
  const verdict = decideDomain(facts({ control: noAnswer, address: noAnswer }))
  assert.deepEqual(
    verdict.records.map(({ record, type, found, state }) => [record, type, found, state]),
    [
      ['_control.app.example.test', 'TXT', '(none)', 'missing'],
      ['_aleph-id.app.example.test', 'TXT', '(none)', 'missing'],
      ['app.example.test', 'CNAME', '(none)', 'warning'],
    ],
  )
  assert.match(verdict.records[2]?.expected ?? '', /CNAME gw\.test \(apex: A 192\.0\.2\.80\)/)
})

test('a record at a misspelt name is shown with the right name', () => {
  const misplaced = new Map([['_aleph_id.app.example.test', [hash]]])
  const line = decideDomain(facts({ misplaced })).records.find((r) => r.record.startsWith('_aleph_id'))
  assert.deepEqual(line?.expected, 'the same value at _aleph-id.app.example.test')
})

test('the answer lives as long as the shortest record', () => {
  const control: Lookup = { state: 'found', values: [owner], chain: [], ttlSeconds: 7 }
  assert.equal(decideDomain(facts({ control, alephId: found(hash) })).ttlSeconds, 7)
})
