import type { DnsAnswer } from '../ports.ts'
import { type DnsMessage, type DnsRecord, rcodes, recordTypes } from '../wire/message.ts'
import { nameKey, nameToText, type WireName } from '../wire/name.ts'

/** Negative TTL when the server sends no SOA, seconds. RFC 2308 §5 then forbids caching; a short time protects the server. */
const negativeTtlSecondsWithoutSoa = 5

/** Believed for a server failure (RFC 9520 allows 1 s to 5 min); the cache adds its back-off. */
const failureTtlSeconds = 1

/** One message read for `name` and `type`: an answer, or the name at which the chain leaves the message. */
export interface ReadStep {
  rcode: DnsAnswer['rcode']
  values: string[]
  /** CNAME targets met, in order. */
  chain: string[]
  ttlSeconds: number
  /** Set when the chain ends at a name for which this message has no records: that name must be asked next. */
  askNext: WireName | undefined
}

/** How far a chain may go before the names in it count as a loop; the caller compares against it. */
export const chainMax = 8

/**
 * Reads the records that answer `name`/`type`, following CNAMEs inside the message only. Records of other names are ignored
 * (bailiwick). A loop shows as a chain longer than `chainMax`.
 */
export function readAnswer(message: DnsMessage, name: WireName, type: number): ReadStep {
  const rcode = rcodeName(message.rcode)
  if (rcode !== 'NOERROR' && rcode !== 'NXDOMAIN') {
    return { rcode, values: [], chain: [], ttlSeconds: failureTtlSeconds, askNext: undefined }
  }
  const chain: string[] = []
  let at = name
  let ttlSeconds = Number.POSITIVE_INFINITY
  while (chain.length <= chainMax) {
    const here = message.answers.filter((record) => nameKey(record.name) === nameKey(at))
    const wanted = here.filter((record) => record.type === type)
    if (wanted.length > 0) {
      ttlSeconds = Math.min(ttlSeconds, ...wanted.map((record) => record.ttl))
      return { rcode, values: wanted.map(recordValue), chain, ttlSeconds, askNext: undefined }
    }
    const next = here.find((record) => record.data.kind === 'CNAME')
    if (next?.data.kind !== 'CNAME') break
    ttlSeconds = Math.min(ttlSeconds, next.ttl)
    at = next.data.target
    chain.push(textOf(at))
  }
  const soa = message.authorities.find((record) => record.data.kind === 'SOA')
  // A chain that ends in nothing, with no word on the absence, was cut off by the server: the rest must be asked.
  const cutOff = chain.length > 0 && rcode === 'NOERROR' && soa === undefined
  return {
    rcode,
    values: [],
    chain,
    ttlSeconds: Math.min(ttlSeconds, cutOff ? Number.POSITIVE_INFINITY : negativeTtl(soa)),
    askNext: cutOff && chain.length <= chainMax ? at : undefined,
  }
}

function negativeTtl(soa: DnsRecord | undefined): number {
  if (soa?.data.kind !== 'SOA') return negativeTtlSecondsWithoutSoa
  return Math.min(soa.ttl, soa.data.times.minimum)
}

function rcodeName(rcode: number): DnsAnswer['rcode'] {
  if (rcode === rcodes.NOERROR) return 'NOERROR'
  if (rcode === rcodes.NXDOMAIN) return 'NXDOMAIN'
  if (rcode === rcodes.SERVFAIL) return 'SERVFAIL'
  return rcode === rcodes.REFUSED ? 'REFUSED' : 'OTHER'
}

/** A record's data as the text that `DnsAnswer.values` promises. */
export function recordValue(record: DnsRecord): string {
  const { data } = record
  switch (data.kind) {
    case 'A':
    case 'AAAA':
      return data.address
    case 'NS':
    case 'CNAME':
      return textOf(data.target)
    case 'TXT':
      return Buffer.concat([...data.strings]).toString('utf8')
    case 'CAA':
      return `${data.flags} ${data.tag} "${data.value.toString('utf8')}"`
    case 'SOA': {
      const { refresh, retry, expire, minimum } = data.times
      return `${textOf(data.primary)} ${textOf(data.mailbox)} ${data.serial} ${refresh} ${retry} ${expire} ${minimum}`
    }
    case 'SVCB':
    case 'HTTPS':
      return `${data.priority} ${nameToText(data.target)}`
    case 'raw':
      return `\\# ${data.bytes.length} ${data.bytes.toString('hex')}`
  }
}

function textOf(name: WireName): string {
  return nameToText(name).toLowerCase()
}

/** Wire numbers of the types that a `DnsSource` can ask. */
export const queryTypes = {
  A: recordTypes.A,
  AAAA: recordTypes.AAAA,
  TXT: recordTypes.TXT,
  CNAME: recordTypes.CNAME,
  CAA: recordTypes.CAA,
  NS: recordTypes.NS,
  SOA: recordTypes.SOA,
} as const
