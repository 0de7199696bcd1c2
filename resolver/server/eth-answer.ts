import { isIPv4 } from 'node:net'
import { AppError } from '../../core/errors.ts'
import type { EnsSource } from '../ports.ts'
import { classIn, type DnsMessage, type DnsQuestion, type DnsRecord, rcodes, recordTypes } from '../wire/message.ts'
import { nameToText } from '../wire/name.ts'
import { replyTo } from './answer-query.ts'

export interface EthOptions {
  /** Addresses of the gateway that serves `.eth` names. */
  addresses: readonly string[]
  ttlSeconds: number
  /** Tells which names exist; absent: all do. */
  source?: EnsSource
  signal: AbortSignal
}

/** Answers a question about a `.eth` name: the gateway's addresses when the name has a resolver on the chain, NXDOMAIN when not. */
export async function answerEth(query: DnsMessage, question: DnsQuestion, options: EthOptions): Promise<DnsMessage> {
  const exists = await nameExists(question, options)
  const reply = { authoritative: true, recursionAvailable: true }
  if (exists === 'unknown') return replyTo(query, { ...reply, rcode: rcodes.SERVFAIL })
  if (exists === 'no') return replyTo(query, { ...reply, rcode: rcodes.NXDOMAIN })
  return replyTo(query, { ...reply, answers: addressRecords(question, options) })
}

async function nameExists(question: DnsQuestion, options: EthOptions): Promise<'yes' | 'no' | 'unknown'> {
  if (!options.source) return 'yes'
  try {
    const records = await options.source.records(nameToText(question.name).toLowerCase(), options.signal)
    return records ? 'yes' : 'no'
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    return error.fault === 'caller' ? 'no' : 'unknown'
  }
}

function addressRecords(question: DnsQuestion, { addresses, ttlSeconds }: EthOptions): DnsRecord[] {
  const kind = question.type === recordTypes.A ? 'A' : question.type === recordTypes.AAAA ? 'AAAA' : undefined
  if (!kind) return []
  return addresses
    .filter((address) => isIPv4(address) === (kind === 'A'))
    .map((address) => ({
      name: question.name,
      type: question.type,
      class: classIn,
      ttl: ttlSeconds,
      data: { kind, address },
    }))
}
