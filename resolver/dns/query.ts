import type { Random } from '../../core/random.ts'
import { encodeMessage } from '../wire/encode-message.ts'
import { udpPayloadBytesMax } from '../wire/limits.ts'
import { classIn, type DnsMessage } from '../wire/message.ts'
import type { WireName } from '../wire/name.ts'

/** A query ready to send, with what its answer must repeat byte for byte: the id and the question. */
export interface PreparedQuery {
  packet: Buffer
  /** Whether a packet is a response with our id and our question, letter case included. */
  accepts: (packet: Buffer) => boolean
}

/**
 * Builds a recursive query with a random id and randomly mixed letter case ("0x20"), which a forger would have to guess too.
 * AD is set: it asks the server to tell whether it validated (RFC 6840 §5.7).
 */
export function prepareQuery(name: WireName, type: number, random: Random): PreparedQuery {
  const packet = encodeMessage({ ...emptyQuery, questions: [{ name: mixCase(name, random), type, class: classIn }] })
  packet.set(random.bytes(2), 0)
  const questionEnd = 12 + name.length + 4
  return {
    packet,
    accepts: (answer) =>
      answer.length >= questionEnd &&
      ((answer[2] as number) & 0x80) !== 0 &&
      answer.subarray(0, 2).equals(packet.subarray(0, 2)) &&
      answer.subarray(12, questionEnd).equals(packet.subarray(12, questionEnd)),
  }
}

const emptyQuery: DnsMessage = {
  id: 0,
  response: false,
  opcode: 0,
  authoritative: false,
  truncated: false,
  recursionDesired: true,
  recursionAvailable: false,
  authenticData: true,
  checkingDisabled: false,
  rcode: 0,
  questions: [],
  answers: [],
  authorities: [],
  additionals: [],
  edns: { version: 0, udpPayloadBytes: udpPayloadBytesMax, dnssecOk: false, options: [] },
}

function mixCase(name: WireName, random: Random): WireName {
  const out = Buffer.from(name)
  const coins = random.bytes(name.length)
  for (let index = 0; index < out.length; index++) {
    const byte = out[index] as number
    // Length bytes are at most 63 and so no letters.
    const letter = (byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x7a
    if (letter) out[index] = (coins[index] as number) & 1 ? byte | 0x20 : byte & ~0x20
  }
  return out
}
