import { z } from '../../core/schema.ts'
import { ZoneRecordInvalidError } from '../errors.ts'
import { addressToBytes } from '../wire/address.ts'
import { classIn, type DnsRecord, type RecordData, recordTypes, type SvcParam } from '../wire/message.ts'
import { nameFromText, type WireName } from '../wire/name.ts'

export const zoneRecordShape = z.strictObject({
  name: z.string().max(1_100),
  type: z.enum(['A', 'AAAA', 'NS', 'CNAME', 'TXT', 'CAA', 'HTTPS', 'SVCB']),
  value: z.string().max(16_384),
  ttl: z.int().min(0).max(0x7fff_ffff).optional(),
})

/**
 * A record of a zone as people write it. `name` is absolute, a final dot is optional, a first label `*` makes a wildcard.
 * `value` by type: A, AAAA the address; NS, CNAME the name; TXT the text itself, without quotes, any length;
 * CAA `0 issue "ca.test"`; HTTPS, SVCB `1 . alpn=h2,http/1.1 port=443 ipv4hint=192.0.2.1`. `ttl` in seconds, default that of the zone.
 */
export type ZoneRecord = z.infer<typeof zoneRecordShape>

const textChunkBytes = 255

/** @throws ZoneRecordInvalidError that names the record and what is wrong with it */
export function parseZoneRecord(record: ZoneRecord, ttlDefault: number): DnsRecord {
  const name = nameFromText(record.name)
  if (!name) throw invalid(record, `its name is no DNS name`)
  const data = parseValue(record)
  return { name, type: recordTypes[record.type], class: classIn, ttl: record.ttl ?? ttlDefault, data }
}

function parseValue(record: ZoneRecord): RecordData {
  const { type, value } = record
  switch (type) {
    case 'A':
    case 'AAAA':
      if (addressToBytes(value)?.length !== (type === 'A' ? 4 : 16))
        throw invalid(record, 'its value is no such address')
      return { kind: type, address: value }
    case 'NS':
    case 'CNAME':
      return { kind: type, target: parseName(record, value) }
    case 'TXT':
      return { kind: 'TXT', strings: splitText(Buffer.from(value, 'utf8')) }
    case 'CAA':
      return parseCaa(record)
    case 'HTTPS':
    case 'SVCB':
      return parseSvcb(record, type)
  }
}

function parseName(record: ZoneRecord, text: string): WireName {
  const name = nameFromText(text)
  if (!name) throw invalid(record, `"${text}" is no DNS name`)
  return name
}

function splitText(text: Buffer): Buffer[] {
  const strings: Buffer[] = []
  for (let at = 0; at < text.length || at === 0; at += textChunkBytes)
    strings.push(text.subarray(at, at + textChunkBytes))
  return strings
}

function parseCaa(record: ZoneRecord): RecordData {
  const match = /^(\d{1,3}) ([a-z0-9]{1,15}) "([^"]*)"$/i.exec(record.value)
  if (!match || Number(match[1]) > 255) throw invalid(record, 'write it like: 0 issue "ca.example"')
  return {
    kind: 'CAA',
    flags: Number(match[1]),
    tag: (match[2] as string).toLowerCase(),
    value: Buffer.from(match[3] as string),
  }
}

/** Numbers of the service parameters that can be written by name (RFC 9460 §14.3.2). */
const svcKeys: Record<string, number> = { alpn: 1, port: 3, ipv4hint: 4, ipv6hint: 6 }

function parseSvcb(record: ZoneRecord, kind: 'HTTPS' | 'SVCB'): RecordData {
  const [priority = '', target = '', ...rest] = record.value.split(/\s+/)
  if (!/^\d{1,5}$/.test(priority) || Number(priority) > 0xffff) throw invalid(record, 'write it like: 1 . alpn=h2')
  const params = rest.map((text) => parseParam(record, text)).sort((a, b) => a.key - b.key)
  if (new Set(params.map((param) => param.key)).size < params.length) throw invalid(record, 'a parameter stands twice')
  return { kind, priority: Number(priority), target: parseName(record, target), params }
}

function parseParam(record: ZoneRecord, text: string): SvcParam {
  const [name = '', value = ''] = text.split('=', 2)
  const key = svcKeys[name]
  if (key === undefined)
    throw invalid(record, `the parameter "${name}" is not one of ${Object.keys(svcKeys).join(', ')}`)
  return { key, value: paramValue(record, name, value.split(',')) }
}

function paramValue(record: ZoneRecord, name: string, items: readonly string[]): Buffer {
  if (name === 'port') {
    const port = Number(items[0])
    if (!Number.isInteger(port) || port < 0 || port > 0xffff) throw invalid(record, 'its port is no port')
    return Buffer.from([port >> 8, port & 255])
  }
  if (name === 'alpn') return Buffer.concat(items.flatMap((item) => [Buffer.from([item.length]), Buffer.from(item)]))
  const addresses = items.map(addressToBytes)
  if (addresses.some((bytes) => bytes?.length !== (name === 'ipv4hint' ? 4 : 16))) {
    throw invalid(record, `its ${name} is no list of addresses`)
  }
  return Buffer.concat(addresses as Buffer[])
}

function invalid(record: ZoneRecord, why: string): ZoneRecordInvalidError {
  return new ZoneRecordInvalidError(`The ${record.type} record at "${record.name}" is not valid: ${why}.`, {
    details: [{ record: record.name, type: record.type, found: record.value, expected: why }],
  })
}
