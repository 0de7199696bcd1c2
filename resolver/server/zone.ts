import { ZoneRecordInvalidError } from '../errors.ts'
import { classIn, type DnsRecord, type RecordData, recordTypes, type SoaTimes } from '../wire/message.ts'
import { nameFromText, nameKey, nameToText, parentName, type WireName } from '../wire/name.ts'
import { parseZoneRecord, type ZoneRecord } from './zone-record.ts'

/** What a zone says to a question. CNAMEs are followed inside the zone by whoever asks. */
export type ZoneAnswer =
  | { kind: 'records'; records: readonly DnsRecord[] }
  /** The name is an alias, and not its CNAME was asked for. */
  | { kind: 'alias'; record: DnsRecord; target: WireName }
  | { kind: 'nodata' }
  | { kind: 'nxdomain' }

export interface ZoneOptions {
  /** The zone's name, for example `example.test`. */
  origin: string
  records?: readonly ZoneRecord[]
  /** Seconds, for records that name none. Default 60. */
  ttlSeconds?: number
  /** Seconds that an absence may be believed (RFC 2308). Default 5: short, since records may be added at any time. */
  negativeTtlSeconds?: number
}

/** An authoritative zone in memory. All changes are seen by the next question. */
export interface Zone {
  readonly origin: string
  /** The number of changes so far plus one; the SOA serial. */
  serial(): number
  soa(): DnsRecord
  has(name: WireName): boolean
  lookup(name: WireName, type: number): ZoneAnswer
  /** Adds records; one that is there already changes nothing but its TTL. All or none. @throws ZoneRecordInvalidError */
  add(...records: readonly ZoneRecord[]): void
  /** Removes the records with the same name, type and value; without `value` the whole set. Absent ones are ignored. */
  remove(...records: readonly (Omit<ZoneRecord, 'value'> & { value?: string })[]): void
  /** DNS-01: adds one TXT value beside those that stand there. */
  addTxt(name: string, value: string): Promise<void>
  removeTxt(name: string, value: string): Promise<void>
}

const ttlDefault = 60
const negativeTtlDefault = 5
const soaTimes: Omit<SoaTimes, 'minimum'> = { refresh: 3_600, retry: 600, expire: 86_400 }

interface Stored {
  record: DnsRecord
  value: string
}

/** Creates a zone. @throws ZoneRecordInvalidError when a record is malformed, outside the zone, or beside a CNAME of the same name */
export function createZone(options: ZoneOptions): Zone {
  const originName = nameFromText(options.origin)
  if (!originName) throw new ZoneRecordInvalidError(`"${options.origin}" is no name for a zone.`)
  const origin = nameToText(originName).toLowerCase()
  const originKey = nameKey(originName)
  const nodes = new Map<string, Stored[]>()
  let serial = 1

  /** Names that exist: those with records and all between them and the origin (RFC 4592 §2.2.2). */
  let existing = new Set<string>([originKey])

  const within = (name: WireName): boolean => isWithin(name, originKey)

  const store = (record: ZoneRecord): void => {
    const parsed = parseZoneRecord(record, options.ttlSeconds ?? ttlDefault)
    if (!within(parsed.name)) throw misplaced(record, `it is outside the zone ${origin}`)
    const key = nameKey(parsed.name)
    const there = (nodes.get(key) ?? []).filter((s) => s.record.type !== parsed.type || s.value !== record.value)
    const alias = [...there, { record: parsed }].some((s) => s.record.type === recordTypes.CNAME)
    if (alias && (there.length > 0 || key === originKey)) throw misplaced(record, 'a CNAME stands alone at its name')
    nodes.set(key, [...there, { record: parsed, value: record.value }])
  }

  const changed = (): void => {
    serial++
    existing = new Set([originKey])
    for (const stored of nodes.values()) {
      let name = stored[0]?.record.name ?? originName
      for (; nameKey(name) !== originKey; name = parentName(name)) existing.add(nameKey(name))
    }
  }

  const zone: Zone = {
    origin,
    serial: () => serial,
    has: within,
    soa: () => soaRecord(originName, origin, serial, options.negativeTtlSeconds ?? negativeTtlDefault),
    lookup: (name, type) => {
      const key = nameKey(name)
      const own = nodes.get(key)
      if (own) return pick(own, name, type)
      if (key === originKey)
        return type === recordTypes.SOA ? { kind: 'records', records: [zone.soa()] } : { kind: 'nodata' }
      if (existing.has(key)) return { kind: 'nodata' }
      const wildcard = nodes.get(wildcardKey(name, existing))
      return wildcard ? pick(wildcard, name, type) : { kind: 'nxdomain' }
    },
    add: (...records) => {
      const before = new Map(nodes)
      try {
        for (const record of records) store(record)
      } catch (error) {
        nodes.clear()
        for (const [key, stored] of before) nodes.set(key, stored)
        throw error
      }
      changed()
    },
    remove: (...records) => {
      for (const { name, type, value } of records) {
        const wire = nameFromText(name)
        const key = wire ? nameKey(wire) : ''
        const gone = (s: Stored): boolean =>
          s.record.type === recordTypes[type] && (value === undefined || s.value === value)
        const left = (nodes.get(key) ?? []).filter((s) => !gone(s))
        if (left.length === 0) nodes.delete(key)
        else nodes.set(key, left)
      }
      changed()
    },
    addTxt: async (name, value) => zone.add({ name, type: 'TXT', value, ttl: 1 }),
    removeTxt: async (name, value) => zone.remove({ name, type: 'TXT', value }),
  }
  function pick(stored: readonly Stored[], name: WireName, type: number): ZoneAnswer {
    if (nameKey(name) === originKey && type === recordTypes.SOA) return { kind: 'records', records: [zone.soa()] }
    // The owner name is the asked one: right for wildcards, and it keeps the asker's letter case.
    const records = stored.filter((s) => s.record.type === type).map((s) => ({ ...s.record, name }))
    if (records.length > 0) return { kind: 'records', records }
    const alias = stored[0]?.record.data
    if (alias?.kind !== 'CNAME') return { kind: 'nodata' }
    return { kind: 'alias', record: { ...(stored[0] as Stored).record, name }, target: alias.target }
  }
  zone.add(...(options.records ?? []))
  return zone
}

function isWithin(name: WireName, originKey: string): boolean {
  const key = nameKey(name)
  for (let at = 0; key.length - at >= originKey.length; at += key.charCodeAt(at) + 1) {
    if (key.length - at === originKey.length) return key.endsWith(originKey)
  }
  return false
}

/** Key of the wildcard that may answer for a name that does not exist: `*` below its closest existing ancestor (RFC 4592 §3.3.1). */
function wildcardKey(name: WireName, existing: ReadonlySet<string>): string {
  let encloser = parentName(name)
  while (!existing.has(nameKey(encloser)) && encloser.length > 1) encloser = parentName(encloser)
  return `\x01*${nameKey(encloser)}`
}

function soaRecord(originName: WireName, origin: string, serial: number, minimum: number): DnsRecord {
  const nameOf = (prefix: string): WireName =>
    nameFromText(origin === '.' ? `${prefix}.` : `${prefix}.${origin}`) ?? originName
  const data: RecordData = {
    kind: 'SOA',
    primary: nameOf('ns'),
    mailbox: nameOf('hostmaster'),
    serial,
    times: { ...soaTimes, minimum },
  }
  return { name: originName, type: recordTypes.SOA, class: classIn, ttl: minimum, data }
}

function misplaced(record: ZoneRecord, why: string): ZoneRecordInvalidError {
  return new ZoneRecordInvalidError(`The ${record.type} record at "${record.name}" cannot be added: ${why}.`)
}
