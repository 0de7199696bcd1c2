import { randomInt } from 'node:crypto'
import { DnsLoopError, DnsNameInvalidError } from '../errors.ts'
import type { DnsSource } from '../ports.ts'
import { planAnswer } from '../server/answer-query.ts'
import type { Zone } from '../server/zone.ts'
import { decodeMessage } from '../wire/decode-message.ts'
import { encodeMessage } from '../wire/encode-message.ts'
import { type DnsMessage, rcodes } from '../wire/message.ts'
import { nameFromText } from '../wire/name.ts'
import { prepareQuery } from './query.ts'
import { chainMax, queryTypes, readAnswer } from './read-answer.ts'

const random = { bytes: (count: number) => new Uint8Array(count).map(() => randomInt(256)), float: () => 0.5 }

/** A DNS source over zones in memory, with no network between; for tests and for a process that serves its own zones. */
export function createZoneSource(zones: readonly Zone[]): DnsSource {
  return {
    query: async (name, type, signal) => {
      signal.throwIfAborted()
      const wire = nameFromText(name)
      if (!wire) throw new DnsNameInvalidError(`"${name}" cannot be asked in DNS.`)
      const query = decodeMessage(prepareQuery(wire, queryTypes[type], random).packet) as DnsMessage
      const plan = planAnswer(query, zones, { eth: false, forward: false })
      // Through the codec, so that the answer is what a real asker would read.
      const reply = plan.kind === 'reply' ? (decodeMessage(encodeMessage(plan.reply)) as DnsMessage) : undefined
      if (!reply) return { rcode: 'REFUSED', values: [], chain: [], ttlSeconds: 1, authenticated: false }
      const step = readAnswer(reply, wire, queryTypes[type])
      const names = [name.toLowerCase(), ...step.chain]
      if (step.chain.length > chainMax || new Set(names).size < names.length) {
        throw new DnsLoopError(`The CNAME records of ${name} lead in a circle: ${names.join(' -> ')}.`)
      }
      // A chain that leaves the zones cannot be followed here; a real server would answer SERVFAIL or the rest.
      const rcode = step.askNext && reply.rcode === rcodes.NOERROR ? 'NXDOMAIN' : step.rcode
      const ttlSeconds = Number.isFinite(step.ttlSeconds) ? step.ttlSeconds : 1
      return { rcode, values: step.values, chain: step.chain, ttlSeconds, authenticated: false }
    },
  }
}
