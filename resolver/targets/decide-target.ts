import type { RecordAdvice } from '../errors.ts'
import { adviseControl, adviseMisplaced, adviseRoute, adviseTarget } from './advice.ts'
import type { DomainFacts, Lookup } from './facts.ts'
import { hostKind, parseSiteCid } from './host-kind.ts'
import { type ParsedRecords, parseAlephId, parseControl, parseDnslink, shorten } from './record-syntax.ts'
import type { Target } from './target.ts'

export type RefusalReason =
  | 'not-proven'
  | 'conflict'
  | 'owner-differs'
  | 'unknown-hash'
  | 'unsupported'
  | 'lookup-failed'

/** One record of a domain as a report shows it. */
export interface ReportedRecord extends RecordAdvice {
  state: 'ok' | 'missing' | 'wrong' | 'conflict' | 'failed' | 'warning'
}

/** What the rules say about a custom domain. `records` has one line per record that matters, good ones included. */
export type Verdict = { records: ReportedRecord[]; owner: string | undefined; ttlSeconds: number } & (
  | { verdict: 'ok'; target: Target }
  | { verdict: 'refused'; reason: RefusalReason; message: string }
)

/** A place that names a target. */
interface Claim {
  record: string
  type: string
  value: string
  /** `hash` is the hash of a message, `cid` content that the domain itself names. */
  what: 'hash' | 'cid'
}

/**
 * Decides where a custom domain leads, from looked-up values alone.
 * The owner is whoever `_control.<host>` names; the target comes from `_aleph-id`, `_dnslink`, a CNAME to a label of ours, or the
 * owner's signed entry. All that are there must agree, and a message must belong to the owner. Nothing is taken from parent names.
 * @see the rules 1 to 6 in docs/guides/connect-a-domain.md
 */
export function decideDomain(facts: DomainFacts): Verdict {
  const control = parseControl(valuesOf(facts.control))
  const alephId = parseAlephId(valuesOf(facts.alephId))
  const dnslink = parseDnslink(valuesOf(facts.dnslink))
  const owner = control.values.length === 1 ? control.values[0] : undefined
  const claims = collectClaims(facts, alephId, dnslink)
  const records = [
    ...adviseControl(facts, control),
    ...adviseTarget(facts, alephId, dnslink, claims.length > 0),
    ...adviseRoute(facts),
    ...adviseMisplaced(facts),
  ]
  const base = { records, owner, ttlSeconds: smallestTtl(facts) }
  const refuse = (reason: RefusalReason, message: string): Verdict => ({ ...base, verdict: 'refused', reason, message })

  const failed = firstFailure(facts)
  if (failed) return refuse(failed.retry ? 'lookup-failed' : 'not-proven', failed.message)
  if (control.values.length > 1) {
    return refuse('conflict', `_control.${facts.host} names ${control.values.length} different owners.`)
  }
  if (owner === undefined)
    return refuse('not-proven', `${facts.host} does not prove its owner: ${missing(control, '_control', facts)}.`)
  if (claims.length === 0) {
    if (facts.networkFailure)
      return refuse('lookup-failed', `The network could not be asked about ${facts.host}: ${facts.networkFailure}`)
    return refuse(
      'not-proven',
      `${facts.host} has an owner but names no target: ${missing(alephId, '_aleph-id', facts)}.`,
    )
  }
  if (new Set(claims.map((claim) => contentOf(facts, claim))).size > 1) {
    const both = claims.map((claim) => `${claim.record} (${claim.type}) says ${claim.value}`).join('; ')
    return {
      ...refuse('conflict', `${facts.host} names different targets: ${both}.`),
      records: withConflict(records, claims),
    }
  }
  return decideClaim(facts, claims[0] as Claim, owner, base)
}

function decideClaim(
  facts: DomainFacts,
  claim: Claim,
  owner: string,
  base: Pick<Verdict, 'records' | 'owner' | 'ttlSeconds'>,
): Verdict {
  const refuse = (reason: RefusalReason, message: string, advice?: ReportedRecord): Verdict => ({
    ...base,
    records: advice ? replaceRecord(base.records, advice) : base.records,
    verdict: 'refused',
    reason,
    message,
  })
  if (claim.what === 'cid') return { ...base, verdict: 'ok', target: { kind: 'static', cid: claim.value } }
  const at = { record: claim.record, type: claim.type, found: claim.value, state: 'wrong' as const }
  const message = facts.messages.get(claim.value)
  if (!message) {
    if (facts.networkFailure) return refuse('lookup-failed', `The network could not be asked: ${facts.networkFailure}`)
    const expected = 'the hash of a PROGRAM message that the network has processed'
    return refuse('unknown-hash', `The network does not know the hash ${claim.value}.`, { ...at, expected })
  }
  if (!isSameOwner(message.owner, owner)) {
    const record = `_control.${facts.host}`
    const expected = `${message.owner} (who published ${claim.value}), or name a program of ${owner}`
    return refuse('owner-differs', `${record} names ${owner}, but ${claim.value} belongs to ${message.owner}.`, {
      record,
      type: 'TXT',
      found: owner,
      expected,
      state: 'wrong',
    })
  }
  if (message.type === 'PROGRAM') return { ...base, verdict: 'ok', target: { kind: 'program', itemHash: claim.value } }
  if (message.type === 'STORE' && message.cid)
    return { ...base, verdict: 'ok', target: { kind: 'static', cid: message.cid } }
  const expected = 'the hash of a PROGRAM, or of a STORE message of an IPFS directory'
  return refuse('unsupported', `${claim.value} is a message of type ${message.type}, which cannot be served here.`, {
    ...at,
    expected,
  })
}

function collectClaims(facts: DomainFacts, alephId: ParsedRecords, dnslink: ParsedRecords): Claim[] {
  const { host } = facts
  const claims: Claim[] = [
    ...alephId.values.map((value): Claim => ({ record: `_aleph-id.${host}`, type: 'TXT', value, what: 'hash' })),
    ...dnslink.values.map((value): Claim => ({ record: `_dnslink.${host}`, type: 'TXT', value, what: 'cid' })),
  ]
  const routed = routeTarget(facts)
  if (routed) claims.push({ record: host, type: 'CNAME', ...routed })
  if (facts.domainEntry) {
    claims.push({ record: `domains["${host}"]`, type: 'AGGREGATE', value: facts.domainEntry.itemHash, what: 'hash' })
  }
  // Messages first: where one agrees with a CID of the domain's own, its owner is checked as well.
  return claims.sort((x, y) => Number(y.what === 'hash') - Number(x.what === 'hash'))
}

/** A STORE message and the CID in it are one target, so a dnslink and a signed entry for the same files do not conflict. */
function contentOf(facts: DomainFacts, claim: Claim): string {
  const cid = claim.what === 'hash' ? facts.messages.get(claim.value)?.cid : claim.value
  return cid === undefined ? claim.value : (parseSiteCid(cid) ?? cid)
}

/** What the CNAME chain says: the first name in it that is a label under one of our zones. */
function routeTarget(facts: DomainFacts): { value: string; what: 'hash' | 'cid' } | undefined {
  for (const name of chainOf(facts.address)) {
    const kind = hostKind(name, facts.zones)
    if (kind.kind === 'program') return { value: kind.itemHash, what: 'hash' }
    if (kind.kind === 'static') return { value: kind.cid, what: 'cid' }
  }
  return undefined
}

/** Hashes that the network must be asked about before the decision. */
export function hashesToCheck(facts: DomainFacts): string[] {
  const claims = collectClaims(facts, parseAlephId(valuesOf(facts.alephId)), parseDnslink([]))
  return [...new Set(claims.filter((claim) => claim.what === 'hash').map((claim) => claim.value))]
}

/** The one owner that `_control` names, or undefined. */
export function soleOwner(control: Lookup): string | undefined {
  const { values } = parseControl(valuesOf(control))
  return values.length === 1 ? values[0] : undefined
}

/** Ethereum addresses are compared without case: checksums differ between tools. Base58 is case-sensitive. */
export function isSameOwner(a: string, b: string): boolean {
  return /^0x/i.test(a) ? a.toLowerCase() === b.toLowerCase() : a === b
}

export function valuesOf(lookup: Lookup): readonly string[] {
  return lookup.state === 'found' ? lookup.values : []
}

export function chainOf(lookup: Lookup): readonly string[] {
  return lookup.state === 'failed' ? [] : lookup.chain
}

function firstFailure(facts: DomainFacts): { retry: boolean; message: string } | undefined {
  const lookups = [
    [`_control.${facts.host}`, facts.control],
    [`_aleph-id.${facts.host}`, facts.alephId],
    [`_dnslink.${facts.host}`, facts.dnslink],
  ] as const
  // Without an answer there might be a record that contradicts: nothing is decided on half the facts.
  for (const [record, lookup] of lookups) {
    if (lookup.state === 'failed')
      return { retry: lookup.retry, message: `${record} (TXT) cannot be read: ${lookup.reason}` }
  }
  return undefined
}

function missing(parsed: ParsedRecords, prefix: string, facts: DomainFacts): string {
  const near = parsed.nearMisses[0]
  if (near) return `the TXT record at ${prefix}.${facts.host} is "${near.text}", and ${near.fault}`
  return `there is no TXT record at ${prefix}.${facts.host}`
}

function withConflict(records: readonly ReportedRecord[], claims: readonly Claim[]): ReportedRecord[] {
  const lines = claims.map(
    (claim): ReportedRecord => ({
      record: claim.record,
      type: claim.type,
      found: shorten(claim.value),
      expected: 'one target only: keep the record that is right, remove the other',
      state: 'conflict',
    }),
  )
  const kept = records.filter((r) => !lines.some((line) => line.record === r.record && line.type === r.type))
  return [...kept, ...lines]
}

function replaceRecord(records: readonly ReportedRecord[], advice: ReportedRecord): ReportedRecord[] {
  return [...records.filter((r) => r.record !== advice.record || r.type !== advice.type), advice]
}

/** The smallest TTL of the records that are there. Absences count only when there is nothing else: their TTL is short everywhere. */
function smallestTtl(facts: DomainFacts): number {
  const lookups = [facts.control, facts.alephId, facts.dnslink, facts.address]
  const found = lookups.filter((lookup) => lookup.state === 'found')
  const absent = lookups.filter((lookup) => lookup.state === 'none')
  return Math.min(3_600, ...(found.length > 0 ? found : absent).map((lookup) => lookup.ttlSeconds))
}
