import type { WireName } from './name.ts'

/** Record types that this codec reads and writes field by field; all others travel as raw bytes (RFC 3597). */
export const recordTypes = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  HINFO: 13,
  TXT: 16,
  AAAA: 28,
  OPT: 41,
  SVCB: 64,
  HTTPS: 65,
  ANY: 255,
  CAA: 257,
} as const

export const rcodes = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
  BADVERS: 16,
} as const

export const classIn = 1

export interface DnsQuestion {
  name: WireName
  type: number
  class: number
}

/** What a record says. `raw` keeps the bytes of a type that is not listed in `recordTypes`. */
export type RecordData =
  | { kind: 'A' | 'AAAA'; address: string }
  | { kind: 'NS' | 'CNAME'; target: WireName }
  | { kind: 'SOA'; primary: WireName; mailbox: WireName; serial: number; times: SoaTimes }
  | { kind: 'TXT'; strings: readonly Buffer[] }
  | { kind: 'CAA'; flags: number; tag: string; value: Buffer }
  | { kind: 'SVCB' | 'HTTPS'; priority: number; target: WireName; params: readonly SvcParam[] }
  | { kind: 'raw'; bytes: Buffer }

/** Seconds. `minimum` is the negative TTL (RFC 2308). */
export interface SoaTimes {
  refresh: number
  retry: number
  expire: number
  minimum: number
}

/** A service parameter (RFC 9460 §2.2): numeric key and its raw value. Written in ascending key order. */
export interface SvcParam {
  key: number
  value: Buffer
}

export interface DnsRecord {
  name: WireName
  type: number
  class: number
  /** Seconds, 0 to 2^31-1. */
  ttl: number
  data: RecordData
}

/** EDNS(0), RFC 6891. Its extended rcode bits are joined into the message's `rcode`. */
export interface Edns {
  version: number
  udpPayloadBytes: number
  dnssecOk: boolean
  options: readonly { code: number; data: Buffer }[]
}

/** A DNS message. `rcode` holds all 12 bits. The OPT record is in `edns`, not among the additional records. */
export interface DnsMessage {
  id: number
  response: boolean
  opcode: number
  authoritative: boolean
  truncated: boolean
  recursionDesired: boolean
  recursionAvailable: boolean
  authenticData: boolean
  checkingDisabled: boolean
  rcode: number
  questions: readonly DnsQuestion[]
  answers: readonly DnsRecord[]
  authorities: readonly DnsRecord[]
  additionals: readonly DnsRecord[]
  edns: Edns | undefined
}

/** Why bytes are no DNS message. A value, not an exception: a throw costs ten times a decode and hostile senders choose the rate. */
export interface MalformedMessage {
  malformed: 'short' | 'name' | 'records' | 'data' | 'edns' | 'trailing' | 'limit'
  /** The id, where at least the header was there, so that FORMERR can be sent. */
  id: number | undefined
}
