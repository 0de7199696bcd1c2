import { hashStep } from '../http1/known-fields.ts'
import { type FieldTable, metaStride } from './dynamic-table.ts'
import { kindOfName, withValue } from './field-kind.ts'

/** RFC 7541 appendix A: names, with their values where the table has them. */
const staticText = `:authority
:method GET
:method POST
:path /
:path /index.html
:scheme http
:scheme https
:status 200
:status 204
:status 206
:status 304
:status 400
:status 404
:status 500
accept-charset
accept-encoding gzip, deflate
accept-language
accept-ranges
accept
access-control-allow-origin
age
allow
authorization
cache-control
content-disposition
content-encoding
content-language
content-length
content-location
content-range
content-type
cookie
date
etag
expect
expires
from
host
if-match
if-modified-since
if-none-match
if-range
if-unmodified-since
last-modified
link
location
max-forwards
proxy-authenticate
proxy-authorization
range
referer
refresh
retry-after
server
set-cookie
strict-transport-security
transfer-encoding
user-agent
vary
via
www-authenticate`

/** Number of entries of the static table; index 1 has slot 0. */
export const staticCount = 61

/** The static table. */
export const staticTable: FieldTable = buildStatic()

function buildStatic(): FieldTable {
  const pairs = staticText.split('\n').map((entry) => {
    const space = entry.indexOf(' ')
    return space < 0 ? [entry, ''] : [entry.slice(0, space), entry.slice(space + 1)]
  }) as [string, string][]
  const bytes = Buffer.from(pairs.map(([name, value]) => `${name}: ${value}\r\n`).join(''))
  const meta = new Int32Array(staticCount * metaStride)
  let at = 0
  pairs.forEach(([name, value], slot) => {
    const valueAt = at + name.length + 2
    const kind = withValue(kindOfName(bytes, at, at + name.length), bytes, valueAt, valueAt + value.length)
    meta.set([at, name.length, value.length, kind], slot * metaStride)
    at = valueAt + value.length + 2
  })
  const texts = pairs.map(([name, value]) => (name.startsWith(':') && name !== ':path' ? value : ''))
  return { bytes, meta, texts }
}

const places = 256
/** Open addressing over the hash of the name: slot plus one, 0 for empty. */
const staticPlaces = buildPlaces()

function buildPlaces(): Uint8Array {
  const table = new Uint8Array(places)
  let previous = ''
  for (let slot = 0; slot < staticCount; slot++) {
    const start = staticTable.meta[slot * metaStride] as number
    const end = start + (staticTable.meta[slot * metaStride + 1] as number)
    const name = staticTable.bytes.toString('latin1', start, end)
    // Entries of one name are neighbours; the first is the one to name.
    if (name === previous) continue
    previous = name
    let hash = 0
    for (let i = start; i < end; i++) hash = hashStep(hash, staticTable.bytes[i] as number)
    let place = (hash ^ (hash >>> 15)) & (places - 1)
    while (table[place] !== 0) place = (place + 1) & (places - 1)
    table[place] = slot + 1
  }
  return table
}

/**
 * Slot in the static table of the first entry named as `bytes[start, end)`, which is lower case; -1 for none.
 * @param hash - of the name, by `hashStep`
 */
export function staticSlotOf(bytes: Uint8Array, start: number, end: number, hash: number): number {
  let place = (hash ^ (hash >>> 15)) & (places - 1)
  for (;;) {
    const slot = (staticPlaces[place] as number) - 1
    if (slot < 0 || isNamed(slot, bytes, start, end)) return slot
    place = (place + 1) & (places - 1)
  }
}

function isNamed(slot: number, bytes: Uint8Array, start: number, end: number): boolean {
  const at = staticTable.meta[slot * metaStride] as number
  if (staticTable.meta[slot * metaStride + 1] !== end - start) return false
  for (let i = start; i < end; i++) if (bytes[i] !== staticTable.bytes[at + i - start]) return false
  return true
}
