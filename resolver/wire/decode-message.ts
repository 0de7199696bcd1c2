import { bytesToAddress } from './address.ts'
import { decodedNameBytesMax, messageBytesMax, partsMax, recordsMax } from './limits.ts'
import {
  type DnsMessage,
  type DnsQuestion,
  type DnsRecord,
  type Edns,
  type MalformedMessage,
  type RecordData,
  recordTypes,
  type SvcParam,
} from './message.ts'
import { nameBytesMax, type WireName } from './name.ts'

/** Where reading stands. A fault sticks: later reads give zeros, and the end result is the fault. */
interface Cursor {
  readonly packet: Buffer
  at: number
  nameBytes: number
  parts: number
  fault: MalformedMessage['malformed'] | undefined
}

/**
 * Decodes a whole message. Never throws, whatever the bytes: the result is a message or says why it is none.
 * Work is bounded by `recordsMax` and `decodedNameBytesMax`.
 * @see RFC 1035 §4, RFC 6891, RFC 9460, RFC 8659
 */
export function decodeMessage(packet: Buffer): DnsMessage | MalformedMessage {
  if (packet.length < 12) return { malformed: 'short', id: undefined }
  const id = packet.readUInt16BE(0)
  if (packet.length > messageBytesMax) return { malformed: 'limit', id }
  const cursor: Cursor = { packet, at: 12, nameBytes: 0, parts: 0, fault: undefined }
  const [questionCount, answerCount, authorityCount, additionalCount] = [4, 6, 8, 10].map((at) =>
    packet.readUInt16BE(at),
  ) as [number, number, number, number]
  if (questionCount + answerCount + authorityCount + additionalCount > recordsMax) return { malformed: 'limit', id }
  const questions: DnsQuestion[] = []
  for (let n = 0; n < questionCount && !cursor.fault; n++) questions.push(readQuestion(cursor))
  const answers = readRecords(cursor, answerCount)
  const authorities = readRecords(cursor, authorityCount)
  const all = readRecords(cursor, additionalCount)
  if (cursor.fault) return { malformed: cursor.fault, id }
  if (cursor.at !== packet.length) return { malformed: 'trailing', id }
  const opts = all.filter((record) => record.type === recordTypes.OPT)
  const edns = opts[0] ? readEdns(opts[0]) : undefined
  if (opts.length > 1 || (opts[0] && !edns)) return { malformed: 'edns', id }
  const flags = packet.readUInt16BE(2)
  return {
    id,
    response: (flags & 0x8000) !== 0,
    opcode: (flags >> 11) & 15,
    authoritative: (flags & 0x0400) !== 0,
    truncated: (flags & 0x0200) !== 0,
    recursionDesired: (flags & 0x0100) !== 0,
    recursionAvailable: (flags & 0x0080) !== 0,
    authenticData: (flags & 0x0020) !== 0,
    checkingDisabled: (flags & 0x0010) !== 0,
    rcode: (flags & 15) | ((((opts[0]?.ttl ?? 0) >>> 24) & 0xff) << 4),
    questions,
    answers,
    authorities,
    additionals: opts.length === 0 ? all : all.filter((record) => record.type !== recordTypes.OPT),
    edns,
  }
}

function readQuestion(cursor: Cursor): DnsQuestion {
  const name = readName(cursor)
  return { name, type: readUint16(cursor), class: readUint16(cursor) }
}

function readRecords(cursor: Cursor, count: number): DnsRecord[] {
  const records: DnsRecord[] = []
  for (let n = 0; n < count && !cursor.fault; n++) records.push(readRecord(cursor))
  return records
}

function readRecord(cursor: Cursor): DnsRecord {
  const name = readName(cursor)
  const type = readUint16(cursor)
  const recordClass = readUint16(cursor)
  const ttl = readUint32(cursor)
  const size = readUint16(cursor)
  const end = cursor.at + size
  if (end > cursor.packet.length) fail(cursor, 'records')
  const data = cursor.fault ? rawData(Buffer.alloc(0)) : readData(cursor, type, end)
  // Names inside the data may not reach past its end, and nothing may be left over.
  if (cursor.at !== end) fail(cursor, 'data')
  // A TTL with the top bit set counts as 0 (RFC 2181 §8). For OPT the field has another meaning.
  return { name, type, class: recordClass, ttl: type !== recordTypes.OPT && ttl > 0x7fff_ffff ? 0 : ttl, data }
}

function readData(cursor: Cursor, type: number, end: number): RecordData {
  switch (type) {
    case recordTypes.A:
      return { kind: 'A', address: bytesToAddress(readBytes(cursor, 4)) }
    case recordTypes.AAAA:
      return { kind: 'AAAA', address: bytesToAddress(readBytes(cursor, 16)) }
    case recordTypes.NS:
      return { kind: 'NS', target: readName(cursor) }
    case recordTypes.CNAME:
      return { kind: 'CNAME', target: readName(cursor) }
    case recordTypes.SOA:
      return readSoa(cursor)
    case recordTypes.TXT:
      return readTxt(cursor, end)
    case recordTypes.CAA:
      return readCaa(cursor, end)
    case recordTypes.SVCB:
      return readSvcb(cursor, 'SVCB', end)
    case recordTypes.HTTPS:
      return readSvcb(cursor, 'HTTPS', end)
    default:
      return rawData(readBytes(cursor, end - cursor.at))
  }
}

function rawData(bytes: Buffer): RecordData {
  return { kind: 'raw', bytes }
}

function readSoa(cursor: Cursor): RecordData {
  const primary = readName(cursor)
  const mailbox = readName(cursor)
  const serial = readUint32(cursor)
  const times = {
    refresh: readUint32(cursor),
    retry: readUint32(cursor),
    expire: readUint32(cursor),
    minimum: readUint32(cursor),
  }
  return { kind: 'SOA', primary, mailbox, serial, times }
}

function readTxt(cursor: Cursor, end: number): RecordData {
  const strings: Buffer[] = []
  while (cursor.at < end && isPartAllowed(cursor)) strings.push(readBytes(cursor, readUint8(cursor)))
  if (strings.length === 0) fail(cursor, 'data')
  return { kind: 'TXT', strings }
}

function readCaa(cursor: Cursor, end: number): RecordData {
  const flags = readUint8(cursor)
  const tag = readBytes(cursor, readUint8(cursor)).toString('latin1')
  if (tag === '' || cursor.at > end) fail(cursor, 'data')
  return { kind: 'CAA', flags, tag, value: readBytes(cursor, Math.max(0, end - cursor.at)) }
}

function readSvcb(cursor: Cursor, kind: 'SVCB' | 'HTTPS', end: number): RecordData {
  const priority = readUint16(cursor)
  const target = readName(cursor)
  const params: SvcParam[] = []
  while (cursor.at < end && isPartAllowed(cursor)) {
    const key = readUint16(cursor)
    // Keys ascend strictly (RFC 9460 §2.2); else the record is malformed.
    if (key <= (params.at(-1)?.key ?? -1)) fail(cursor, 'data')
    params.push({ key, value: readBytes(cursor, readUint16(cursor)) })
  }
  return { kind, priority, target, params }
}

function isPartAllowed(cursor: Cursor): boolean {
  if (++cursor.parts > partsMax) fail(cursor, 'limit')
  return cursor.fault === undefined
}

function readEdns(record: DnsRecord): Edns | undefined {
  if (record.name.length !== 1 || record.data.kind !== 'raw') return undefined
  const bytes = record.data.bytes
  const options: { code: number; data: Buffer }[] = []
  for (let at = 0; at < bytes.length; ) {
    if (at + 4 > bytes.length || options.length === partsMax) return undefined
    const size = bytes.readUInt16BE(at + 2)
    if (at + 4 + size > bytes.length) return undefined
    options.push({ code: bytes.readUInt16BE(at), data: bytes.subarray(at + 4, at + 4 + size) })
    at += 4 + size
  }
  return {
    version: (record.ttl >>> 16) & 0xff,
    udpPayloadBytes: record.class,
    dnssecOk: (record.ttl & 0x8000) !== 0,
    options,
  }
}

/** Where a name is put together before it is copied out. Reading is synchronous, so one is enough. */
const scratch = Buffer.alloc(nameBytesMax)

/**
 * Reads a name at the cursor, following compression pointers.
 * Each pointer must aim before the place where the current run of labels began, so it only goes backwards: that rules out loops.
 */
function readName(cursor: Cursor): WireName {
  const { packet } = cursor
  const out = scratch
  let size = 0
  let at = cursor.at
  let runStart = at
  let after = -1
  while (!cursor.fault) {
    const length = packet[at]
    if (length === undefined) return failName(cursor)
    if (length === 0) {
      out[size++] = 0
      cursor.nameBytes += size
      if (cursor.nameBytes > decodedNameBytesMax) return failName(cursor, 'limit')
      cursor.at = after === -1 ? at + 1 : after
      return Buffer.from(out.subarray(0, size))
    }
    if (length >= 0xc0) {
      const low = packet[at + 1]
      const target = low === undefined ? runStart : ((length & 0x3f) << 8) | low
      if (target >= runStart || target < 12) return failName(cursor)
      if (after === -1) after = at + 2
      at = target
      runStart = target
      continue
    }
    if (length > 63 || at + length >= packet.length || size + length + 2 > nameBytesMax) return failName(cursor)
    // Labels are short: a loop beats a call into native code.
    for (let left = length; left >= 0; left--) out[size++] = packet[at++] as number
  }
  return failName(cursor)
}

function failName(cursor: Cursor, why: MalformedMessage['malformed'] = 'name'): WireName {
  fail(cursor, why)
  return Buffer.from([0])
}

function fail(cursor: Cursor, why: MalformedMessage['malformed']): void {
  cursor.fault ??= why
}

function readBytes(cursor: Cursor, count: number): Buffer {
  const end = cursor.at + count
  if (count < 0 || end > cursor.packet.length) fail(cursor, 'data')
  if (cursor.fault) return Buffer.alloc(Math.max(0, Math.min(count, 16)))
  const bytes = cursor.packet.subarray(cursor.at, end)
  cursor.at = end
  return bytes
}

function readUint8(cursor: Cursor): number {
  if (cursor.at >= cursor.packet.length) fail(cursor, 'data')
  return cursor.fault ? 0 : (cursor.packet[cursor.at++] as number)
}

function readUint16(cursor: Cursor): number {
  return readUint8(cursor) * 0x100 + readUint8(cursor)
}

function readUint32(cursor: Cursor): number {
  return readUint16(cursor) * 0x1_0000 + readUint16(cursor)
}
