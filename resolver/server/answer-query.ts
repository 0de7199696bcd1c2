import { chainMax } from '../dns/read-answer.ts'
import { udpPayloadBytesMax } from '../wire/limits.ts'
import { classIn, type DnsMessage, type DnsQuestion, type DnsRecord, rcodes, recordTypes } from '../wire/message.ts'
import { nameKey, type WireName } from '../wire/name.ts'
import type { Zone } from './zone.ts'

/**
 * What to do with a decoded query: answer now, look at the chain (`eth`), pass it on, or say nothing. `continueAt` is the name outside
 * our zones at which an alias ends: who may ask recursively gets the rest appended.
 */
export type QueryPlan =
  | { kind: 'reply'; reply: DnsMessage; continueAt?: WireName }
  | { kind: 'eth'; question: DnsQuestion }
  | { kind: 'forward' }
  | { kind: 'silence' }

const ethKey = '\x03eth\x00'

/** Decides what a query gets. Reads only its arguments; zones are asked, nothing is changed. */
export function planAnswer(
  query: DnsMessage,
  zones: readonly Zone[],
  serves: { eth: boolean; forward: boolean },
): QueryPlan {
  // Answering responses would let two servers talk to each other for ever.
  if (query.response) return { kind: 'silence' }
  if (query.opcode !== 0) return refuse(query, rcodes.NOTIMP)
  const question = query.questions[0]
  if (!question || query.questions.length !== 1) return refuse(query, rcodes.FORMERR)
  if (query.edns && query.edns.version !== 0) return refuse(query, rcodes.BADVERS)
  if (question.class !== classIn) return refuse(query, rcodes.REFUSED)
  if (question.type === recordTypes.ANY) return { kind: 'reply', reply: answerAny(query, question) }
  const zone = findZone(zones, question.name)
  if (zone) return { kind: 'reply', ...answerFromZones(query, question, zone, zones) }
  // .eth never leaves this machine: names that people open are nobody else's business (and DNS has no .eth).
  if (nameKey(question.name).endsWith(ethKey))
    return serves.eth ? { kind: 'eth', question } : refuse(query, rcodes.REFUSED)
  if (!serves.forward || !query.recursionDesired) return refuse(query, rcodes.REFUSED)
  return { kind: 'forward' }
}

function refuse(query: DnsMessage, rcode: number): QueryPlan {
  return { kind: 'reply', reply: replyTo(query, { rcode }) }
}

/** The skeleton of a reply: id, question, RD and CD come from the query, all other flags are ours. */
export function replyTo(query: DnsMessage, fields: Partial<DnsMessage>): DnsMessage {
  return {
    id: query.id,
    response: true,
    opcode: query.opcode,
    authoritative: false,
    truncated: false,
    recursionDesired: query.recursionDesired,
    recursionAvailable: false,
    authenticData: false,
    checkingDisabled: query.checkingDisabled,
    rcode: rcodes.NOERROR,
    questions: query.questions.slice(0, 1),
    answers: [],
    authorities: [],
    additionals: [],
    edns: query.edns && {
      version: 0,
      udpPayloadBytes: udpPayloadBytesMax,
      dnssecOk: query.edns.dnssecOk,
      options: [],
    },
    ...fields,
  }
}

/** The zone with the longest name that holds `name`. */
export function findZone(zones: readonly Zone[], name: WireName): Zone | undefined {
  let found: Zone | undefined
  for (const zone of zones) {
    if (zone.has(name) && (found === undefined || zone.origin.length > found.origin.length)) found = zone
  }
  return found
}

/** Follows CNAMEs through all zones that we hold, so that an asker gets the whole chain at once. */
function answerFromZones(
  query: DnsMessage,
  question: DnsQuestion,
  first: Zone,
  zones: readonly Zone[],
): { reply: DnsMessage; continueAt?: WireName } {
  const answers: DnsRecord[] = []
  let zone = first
  let name = question.name
  for (let hop = 0; hop <= chainMax; hop++) {
    const found = zone.lookup(name, question.type)
    if (found.kind === 'records') {
      return { reply: replyTo(query, { authoritative: true, answers: [...answers, ...found.records] }) }
    }
    if (found.kind !== 'alias') {
      const rcode = found.kind === 'nxdomain' ? rcodes.NXDOMAIN : rcodes.NOERROR
      return { reply: replyTo(query, { authoritative: true, rcode, answers, authorities: [zone.soa()] }) }
    }
    answers.push(found.record)
    name = found.target
    const next = findZone(zones, name)
    if (!next) return { reply: replyTo(query, { authoritative: true, answers }), continueAt: name }
    zone = next
  }
  // A circle: the chain is shown as far as it was followed, and the asker sees the loop.
  return { reply: replyTo(query, { authoritative: true, answers }) }
}

/** RFC 8482 §4.2: one small HINFO record instead of everything, so that ANY cannot amplify. */
function answerAny(query: DnsMessage, question: DnsQuestion): DnsMessage {
  const bytes = Buffer.concat([Buffer.from([7]), Buffer.from('RFC8482'), Buffer.from([0])])
  const record: DnsRecord = {
    name: question.name,
    type: recordTypes.HINFO,
    class: classIn,
    ttl: 3_600,
    data: { kind: 'raw', bytes },
  }
  return replyTo(query, { answers: [record] })
}
