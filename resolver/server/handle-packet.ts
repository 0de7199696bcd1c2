import type { Clock } from '../../core/clock.ts'
import type { ResolverMetrics } from '../metrics.ts'
import type { EnsSource } from '../ports.ts'
import { decodeMessage } from '../wire/decode-message.ts'
import { encodeMessage } from '../wire/encode-message.ts'
import { messageBytesMax, udpPayloadBytesMax, udpPlainBytesMax } from '../wire/limits.ts'
import { classIn, type DnsMessage, rcodes, recordTypes } from '../wire/message.ts'
import type { WireName } from '../wire/name.ts'
import { planAnswer, replyTo } from './answer-query.ts'
import { answerCookie, cookieOption } from './cookie.ts'
import { answerEth } from './eth-answer.ts'
import type { Forwarder } from './forward.ts'
import type { Zone } from './zone.ts'

export interface PacketContext {
  zones: readonly Zone[]
  forwarder: Forwarder | undefined
  eth: { addresses: readonly string[]; ttlSeconds: number; source?: EnsSource } | undefined
  clock: Clock
  cookieSecret: Uint8Array
  metrics: ResolverMetrics | undefined
  signal: AbortSignal
}

/** Where a packet came from. The address serves the cookie and the reply, nothing else. */
export interface PacketOrigin {
  transport: 'udp' | 'tcp'
  address: string
}

/** The reply to a packet, or undefined when it gets none. Zone answers are made without waiting. Never throws for what came in. */
export function handlePacket(
  packet: Buffer,
  origin: PacketOrigin,
  context: PacketContext,
): Buffer | undefined | Promise<Buffer | undefined> {
  const query = decodeMessage(packet)
  if ('malformed' in query) return formatError(packet, query.id)
  const finish = (reply: DnsMessage): Buffer => {
    context.metrics?.served.add({ transport: origin.transport, rcode: rcodeLabel(reply.rcode) })
    return encodeMessage(withCookie(reply, query, origin, context), replyBytesMax(query, origin))
  }
  const serves = { eth: context.eth !== undefined, forward: context.forwarder !== undefined }
  const plan = planAnswer(query, context.zones, serves)
  if (plan.kind === 'silence') return undefined
  if (plan.kind === 'reply') {
    const reply = { ...plan.reply, recursionAvailable: serves.forward }
    if (!plan.continueAt || !context.forwarder || !query.recursionDesired) return finish(reply)
    return appendForwarded(reply, plan.continueAt, context.forwarder, context).then(finish)
  }
  if (plan.kind === 'eth' && context.eth) {
    return answerEth(query, plan.question, { ...context.eth, signal: context.signal }).then(finish)
  }
  return forward(packet, query, origin, context, finish)
}

/**
 * Asks the forwarder for the rest of a chain that leaves our zones: simple resolvers expect the whole answer at once (RFC 1034 §3.6.2).
 * Without an answer the chain is given as far as it is known, with SERVFAIL.
 */
async function appendForwarded(
  reply: DnsMessage,
  target: WireName,
  forwarder: Forwarder,
  context: PacketContext,
): Promise<DnsMessage> {
  const type = reply.questions[0]?.type ?? recordTypes.A
  // The forwarder sets the id. Over TCP, so that the rest is whole whatever its size.
  const question = { name: target, type, class: classIn }
  const query = encodeMessage({ ...reply, ...plainQuery, questions: [question] })
  const packet = await forwarder.forward(query, true, context.signal)
  const rest = packet && decodeMessage(packet)
  if (!rest || 'malformed' in rest) return { ...reply, authoritative: false, rcode: rcodes.SERVFAIL }
  return {
    ...reply,
    authoritative: false,
    rcode: rest.rcode,
    answers: [...reply.answers, ...rest.answers],
    authorities: rest.authorities,
  }
}

const plainQuery = {
  response: false,
  authoritative: false,
  recursionDesired: true,
  recursionAvailable: false,
  rcode: 0,
  answers: [],
  edns: undefined,
}

async function forward(
  packet: Buffer,
  query: DnsMessage,
  origin: PacketOrigin,
  context: PacketContext,
  finish: (reply: DnsMessage) => Buffer,
): Promise<Buffer> {
  const answer = await context.forwarder?.forward(packet, origin.transport === 'tcp', context.signal)
  if (!answer) return finish(replyTo(query, { rcode: rcodes.SERVFAIL, recursionAvailable: true }))
  context.metrics?.served.add({ transport: origin.transport, rcode: rcodeLabel((answer[3] as number) & 15) })
  if (answer.length <= replyBytesMax(query, origin)) return answer
  return finish(replyTo(query, { truncated: true, recursionAvailable: true }))
}

function replyBytesMax(query: DnsMessage, origin: PacketOrigin): number {
  if (origin.transport === 'tcp') return messageBytesMax
  const offered = query.edns?.udpPayloadBytes ?? udpPlainBytesMax
  return Math.min(udpPayloadBytesMax, Math.max(udpPlainBytesMax, offered))
}

function withCookie(reply: DnsMessage, query: DnsMessage, origin: PacketOrigin, context: PacketContext): DnsMessage {
  const asked = query.edns?.options.find((option) => option.code === cookieOption)?.data
  const cookie = answerCookie(asked, origin.address, context.cookieSecret, context.clock.nowMs())
  if (!reply.edns || !cookie) return reply
  return { ...reply, edns: { ...reply.edns, options: [{ code: cookieOption, data: cookie }] } }
}

/** FORMERR by the header alone (RFC 1035 §4.1.1); nothing for packets without one, or for broken responses. */
function formatError(packet: Buffer, id: number | undefined): Buffer | undefined {
  if (id === undefined || ((packet[2] as number) & 0x80) !== 0) return undefined
  const header = Buffer.alloc(12)
  header.writeUInt16BE(id, 0)
  header[2] = 0x80 | ((packet[2] as number) & 0x79)
  header[3] = rcodes.FORMERR
  return header
}

function rcodeLabel(rcode: number): string {
  for (const [name, value] of Object.entries(rcodes)) if (value === rcode) return name
  return 'OTHER'
}
