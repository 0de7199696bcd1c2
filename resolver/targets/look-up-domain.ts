import { AppError } from '../../core/errors.ts'
import { DnsLoopError, DnsNameInvalidError } from '../errors.ts'
import type { DnsSource, MessageSource } from '../ports.ts'
import { misspeltNames, pointsToUs } from './advice.ts'
import { hashesToCheck, soleOwner, valuesOf } from './decide-target.ts'
import { type DomainFacts, type KnownMessage, type Lookup, noAnswer } from './facts.ts'
import { parseAlephId, parseDnslink } from './record-syntax.ts'

export interface LookUpPorts {
  dns: DnsSource
  messages: MessageSource
}

/** Collects what the rules need to know of a custom domain: 4 DNS questions, then the network; more only to explain what is missing. */
export async function lookUpDomain(
  host: string,
  place: Pick<DomainFacts, 'zones' | 'gatewayAddresses'>,
  ports: LookUpPorts,
  signal: AbortSignal,
): Promise<DomainFacts> {
  const [control, alephId, dnslink, address] = await Promise.all([
    lookUp(ports.dns, `_control.${host}`, 'TXT', signal),
    lookUp(ports.dns, `_aleph-id.${host}`, 'TXT', signal),
    lookUp(ports.dns, `_dnslink.${host}`, 'TXT', signal),
    lookUp(ports.dns, host, 'A', signal),
  ])
  const facts: DomainFacts = {
    ...place,
    host,
    control,
    alephId,
    dnslink,
    address,
    domainEntry: undefined,
    networkFailure: undefined,
    messages: new Map(),
    misplaced: new Map(),
  }
  const known = await lookUpNetwork(facts, ports.messages, signal)
  return { ...known, misplaced: await lookUpMisspelt(known, ports.dns, signal) }
}

async function lookUp(dns: DnsSource, name: string, type: 'A' | 'TXT', signal: AbortSignal): Promise<Lookup> {
  try {
    const answer = await dns.query(name, type, signal)
    const { chain, ttlSeconds, values, rcode } = answer
    if (rcode !== 'NOERROR' && rcode !== 'NXDOMAIN')
      return { state: 'failed', reason: `the name servers answer ${rcode}`, retry: true }
    return values.length > 0 ? { state: 'found', values, chain, ttlSeconds } : { state: 'none', chain, ttlSeconds }
  } catch (error) {
    if (error instanceof DnsNameInvalidError) return noAnswer
    if (!(error instanceof AppError)) throw error
    return { state: 'failed', reason: error.message, retry: !(error instanceof DnsLoopError) }
  }
}

async function lookUpNetwork(facts: DomainFacts, messages: MessageSource, signal: AbortSignal): Promise<DomainFacts> {
  const owner = soleOwner(facts.control)
  // Nothing is asked of the network on behalf of a domain that does not name an owner.
  if (owner === undefined) return facts
  try {
    const domainEntry = await messages.domainEntry(owner, facts.host, signal)
    const hashes = hashesToCheck({ ...facts, domainEntry })
    const found = await Promise.all(hashes.map((hash) => messages.message(hash, signal)))
    const known = new Map<string, KnownMessage | undefined>(hashes.map((hash, index) => [hash, found[index]]))
    return { ...facts, domainEntry, messages: known }
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    return { ...facts, networkFailure: error.message }
  }
}

/**
 * Looks for records at likely misspellings when one is missing. Only for a domain that leads to us or has one of the records:
 * otherwise any stranger's Host header would cost nine questions.
 */
async function lookUpMisspelt(
  facts: DomainFacts,
  dns: DnsSource,
  signal: AbortSignal,
): Promise<Map<string, readonly string[]>> {
  const target =
    parseAlephId(valuesOf(facts.alephId)).values.length + parseDnslink(valuesOf(facts.dnslink)).values.length > 0
  const missing = { control: facts.control.state === 'none', target: !target && facts.alephId.state === 'none' }
  const begun = facts.control.state === 'found' || facts.alephId.state === 'found' || pointsToUs(facts)
  if (!begun || facts.messages.size > 0) return new Map()
  const names = misspeltNames(facts.host, missing)
  const lookups = await Promise.all(names.map((name) => lookUp(dns, name, 'TXT', signal)))
  const found = names.map((name, index): [string, readonly string[]] => [name, valuesOf(lookups[index] as Lookup)])
  return new Map(found.filter(([, values]) => values.length > 0))
}
