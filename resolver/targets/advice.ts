import type { ReportedRecord } from './decide-target.ts'
import type { DomainFacts, Lookup } from './facts.ts'
import { type ParsedRecords, shorten } from './record-syntax.ts'

const addressForm = '0x and the 40 hex digits of the address that publishes your program'
const hashForm = "the 64 hex digits of your program's item hash"

/** Lines about `_control.<host>`. */
export function adviseControl(facts: DomainFacts, control: ParsedRecords): ReportedRecord[] {
  const record = `_control.${facts.host}`
  if (facts.control.state === 'failed') return [failedLine(record, 'TXT', facts.control)]
  if (control.values.length > 1) {
    const found = control.values.join(', ')
    return [{ record, type: 'TXT', found, expected: 'one owner only: remove the others', state: 'conflict' }]
  }
  if (control.values[0]) {
    return [{ record, type: 'TXT', found: control.values[0], expected: control.values[0], state: 'ok' }]
  }
  return [missingLine(record, 'TXT', control, facts.control, addressForm)]
}

/** Lines about the records that may name a target. Those that are absent are shown only when none names one. */
export function adviseTarget(
  facts: DomainFacts,
  alephId: ParsedRecords,
  dnslink: ParsedRecords,
  hasTarget: boolean,
): ReportedRecord[] {
  const lines: ReportedRecord[] = []
  for (const [prefix, lookup, parsed, form] of [
    ['_aleph-id', facts.alephId, alephId, hashForm],
    ['_dnslink', facts.dnslink, dnslink, 'dnslink=/ipfs/<cid>'],
  ] as const) {
    const record = `${prefix}.${facts.host}`
    if (lookup.state === 'failed') lines.push(failedLine(record, 'TXT', lookup))
    else if (parsed.values.length > 1) {
      const expected = 'one value only: remove the others'
      lines.push({ record, type: 'TXT', found: parsed.values.join(', '), expected, state: 'conflict' })
    } else if (parsed.values[0]) {
      lines.push({ record, type: 'TXT', found: parsed.values[0], expected: parsed.values[0], state: 'ok' })
    } else if (!hasTarget && (prefix === '_aleph-id' || parsed.nearMisses.length > 0)) {
      lines.push(missingLine(record, 'TXT', parsed, lookup, form))
    }
  }
  return lines
}

/** The line about where the host itself points. A warning only: behind a CDN it may rightly point elsewhere. */
export function adviseRoute(facts: DomainFacts): ReportedRecord[] {
  const { host, address } = facts
  const expected = routeForm(facts)
  if (address.state === 'failed') return [{ ...failedLine(host, 'CNAME', address), expected }]
  const found = address.chain.length > 0 ? address.chain.join(' -> ') : addressesText(address)
  const state = pointsToUs(facts) ? 'ok' : 'warning'
  return [
    { record: host, type: address.chain.length > 0 || found === '(none)' ? 'CNAME' : 'A', found, expected, state },
  ]
}

/** Whether the host leads to this gateway, by a CNAME that ends on a label boundary of our zone or by an address of ours. */
export function pointsToUs({ address, zones, gatewayAddresses }: DomainFacts): boolean {
  if (address.state === 'failed') return false
  const inZone = address.chain.some((name) => zones.some((zone) => name === zone || name.endsWith(`.${zone}`)))
  return inZone || (address.state === 'found' && address.values.some((value) => gatewayAddresses.includes(value)))
}

function routeForm({ zones, gatewayAddresses }: DomainFacts): string {
  const cname = `CNAME ${zones[0]}`
  return gatewayAddresses.length === 0 ? cname : `${cname} (apex: A ${gatewayAddresses.join(', ')})`
}

/** Lines about records that stand at a misspelt name. */
export function adviseMisplaced(facts: DomainFacts): ReportedRecord[] {
  return [...facts.misplaced].map(([record, values]) => ({
    record,
    type: 'TXT',
    found: shorten(values.join(', ')),
    expected: `the same value at ${rightName(record, facts.host)}`,
    state: 'wrong',
  }))
}

/** Names at which people put the records by mistake. */
export function misspeltNames(host: string, missing: { control: boolean; target: boolean }): string[] {
  const control = ['control', '_controls', '-control']
  const target = ['_aleph_id', 'aleph-id', '_alephid', '_aleph-ids']
  const prefixes = [...(missing.control ? control : []), ...(missing.target ? target : [])]
  // The doubled form comes from panels that add the zone to what was typed in full.
  const doubled = [...(missing.control ? ['_control'] : []), ...(missing.target ? ['_aleph-id'] : [])]
  return [...prefixes.map((prefix) => `${prefix}.${host}`), ...doubled.map((prefix) => `${prefix}.${host}.${host}`)]
}

function rightName(record: string, host: string): string {
  return record.toLowerCase().includes('control') ? `_control.${host}` : `_aleph-id.${host}`
}

function missingLine(
  record: string,
  type: string,
  parsed: ParsedRecords,
  lookup: Lookup,
  expected: string,
): ReportedRecord {
  const near = parsed.nearMisses[0]
  if (near) return { record, type, found: near.text, expected: `${expected} (${near.fault})`, state: 'wrong' }
  const other = lookup.state === 'found' ? shorten(lookup.values.join(', ')) : '(none)'
  return { record, type, found: other, expected, state: 'missing' }
}

function failedLine(record: string, type: string, lookup: Lookup): ReportedRecord {
  const reason = lookup.state === 'failed' ? lookup.reason : ''
  const retry = lookup.state === 'failed' && lookup.retry
  const expected = retry ? 'an answer from the name servers of the domain' : 'records that do not lead in a circle'
  return { record, type, found: reason, expected, state: 'failed' }
}

function addressesText(address: Lookup): string {
  return address.state === 'found' ? address.values.join(', ') : '(none)'
}
