import { addressToBytes } from './address.ts'
import { messageBytesMax } from './limits.ts'
import { type DnsMessage, type DnsRecord, type Edns, type RecordData, recordTypes } from './message.ts'
import { nameLabels, type WireName } from './name.ts'

interface Writer {
  chunks: Buffer[]
  size: number
  /** Where each name suffix was written first; only offsets that a pointer can hold. Letter case counts, so it is kept. */
  suffixes: Map<string, number>
}

/**
 * Encodes a message, with names compressed. When it exceeds `bytesMax` the records are left out and TC is set, so that the
 * asker comes back over TCP: part of a record set would be worse than none.
 * @throws RangeError when a record of ours cannot be written (an address that is none, a string over 255 bytes)
 */
export function encodeMessage(message: DnsMessage, bytesMax: number = messageBytesMax): Buffer {
  const whole = write(message)
  if (whole.length <= bytesMax) return whole
  return write({ ...message, truncated: true, answers: [], authorities: [], additionals: [] })
}

function write(message: DnsMessage): Buffer {
  const writer: Writer = { chunks: [], size: 0, suffixes: new Map() }
  put(writer, header(message))
  for (const question of message.questions) {
    putName(writer, question.name, true)
    put(writer, uint16(question.type, question.class))
  }
  for (const section of [message.answers, message.authorities, message.additionals]) {
    for (const record of section) putRecord(writer, record)
  }
  if (message.edns) putEdns(writer, message.edns, message.rcode)
  return Buffer.concat(writer.chunks, writer.size)
}

function header(message: DnsMessage): Buffer {
  const flags =
    (message.response ? 0x8000 : 0) |
    ((message.opcode & 15) << 11) |
    (message.authoritative ? 0x0400 : 0) |
    (message.truncated ? 0x0200 : 0) |
    (message.recursionDesired ? 0x0100 : 0) |
    (message.recursionAvailable ? 0x0080 : 0) |
    (message.authenticData ? 0x0020 : 0) |
    (message.checkingDisabled ? 0x0010 : 0) |
    (message.rcode & 15)
  const { questions, answers, authorities, additionals, edns } = message
  return uint16(
    message.id,
    flags,
    questions.length,
    answers.length,
    authorities.length,
    additionals.length + (edns ? 1 : 0),
  )
}

function putRecord(writer: Writer, record: DnsRecord): void {
  putName(writer, record.name, true)
  const head = Buffer.alloc(10)
  head.writeUInt16BE(record.type, 0)
  head.writeUInt16BE(record.class, 2)
  head.writeUInt32BE(record.ttl, 4)
  put(writer, head)
  const start = writer.size
  putData(writer, record.data)
  head.writeUInt16BE(writer.size - start, 8)
}

function putData(writer: Writer, data: RecordData): void {
  switch (data.kind) {
    case 'A':
    case 'AAAA':
      put(writer, addressBytes(data.kind, data.address))
      break
    case 'NS':
    case 'CNAME':
      putName(writer, data.target, true)
      break
    case 'SOA':
      putName(writer, data.primary, true)
      putName(writer, data.mailbox, true)
      put(writer, uint32(data.serial, ...soaTimes(data.times)))
      break
    case 'TXT':
      for (const text of data.strings) putString(writer, text)
      break
    case 'CAA':
      put(writer, Buffer.from([data.flags]))
      putString(writer, Buffer.from(data.tag, 'latin1'))
      put(writer, data.value)
      break
    case 'SVCB':
    case 'HTTPS':
      put(writer, uint16(data.priority))
      // Never compressed: RFC 9460 §2.2.
      putName(writer, data.target, false)
      for (const param of [...data.params].sort((a, b) => a.key - b.key)) {
        put(writer, uint16(param.key, param.value.length))
        put(writer, param.value)
      }
      break
    case 'raw':
      put(writer, data.bytes)
      break
  }
}

function soaTimes(times: { refresh: number; retry: number; expire: number; minimum: number }): number[] {
  return [times.refresh, times.retry, times.expire, times.minimum]
}

function addressBytes(kind: 'A' | 'AAAA', address: string): Buffer {
  const bytes = addressToBytes(address)
  if (bytes?.length !== (kind === 'A' ? 4 : 16))
    throw new RangeError(`"${address}" is no address for a ${kind} record.`)
  return bytes
}

function putEdns(writer: Writer, edns: Edns, rcode: number): void {
  const options = edns.options.flatMap((option) => [uint16(option.code, option.data.length), option.data])
  const data = Buffer.concat(options)
  const ttl = ((rcode >> 4) << 24) | (edns.version << 16) | (edns.dnssecOk ? 0x8000 : 0)
  put(writer, Buffer.from([0]))
  put(writer, uint16(recordTypes.OPT, edns.udpPayloadBytes))
  put(writer, uint32(ttl >>> 0))
  put(writer, uint16(data.length))
  put(writer, data)
}

function putName(writer: Writer, name: WireName, compress: boolean): void {
  let at = 0
  for (const label of nameLabels(name)) {
    const key = name.toString('latin1', at)
    const seen = writer.suffixes.get(key)
    if (compress && seen !== undefined) {
      put(writer, uint16(0xc000 | seen))
      return
    }
    if (writer.size < 0x4000) writer.suffixes.set(key, writer.size)
    put(writer, name.subarray(at, at + label.length + 1))
    at += label.length + 1
  }
  put(writer, Buffer.from([0]))
}

function putString(writer: Writer, text: Buffer): void {
  if (text.length > 255) throw new RangeError(`A DNS character string holds at most 255 bytes, not ${text.length}.`)
  put(writer, Buffer.from([text.length]))
  put(writer, text)
}

function put(writer: Writer, bytes: Buffer): void {
  writer.chunks.push(bytes)
  writer.size += bytes.length
}

function uint16(...values: number[]): Buffer {
  const out = Buffer.alloc(values.length * 2)
  for (const [index, value] of values.entries()) out.writeUInt16BE(value, index * 2)
  return out
}

function uint32(...values: number[]): Buffer {
  const out = Buffer.alloc(values.length * 4)
  for (const [index, value] of values.entries()) out.writeUInt32BE(value, index * 4)
  return out
}
