import type { EnsRecords } from '../ports.ts'
import { parseSiteCid } from './host-kind.ts'
import { readHash, shorten } from './record-syntax.ts'

/** What the records of an ENS name lead to; a hash must still be looked up. */
export type EnsDecision =
  | { kind: 'hash'; itemHash: string }
  | { kind: 'cid'; cid: string }
  | { kind: 'refused'; reason: 'missing' | 'invalid' | 'unsupported'; record: string; found: string; expected: string }

const hashForm = "the 64 hex digits of your program's item hash"

/** Text `aleph.vm` before contenthash. A text that is there but no hash is refused, not skipped: its owner meant something by it. */
export function decideEns(name: string, records: EnsRecords | undefined): EnsDecision {
  const vm = records?.vm?.trim()
  if (vm) {
    const read = readHash(vm)
    if (read && 'value' in read) return { kind: 'hash', itemHash: read.value }
    const expected = read ? `${hashForm} (${read.fault})` : hashForm
    return { kind: 'refused', reason: 'invalid', record: `text aleph.vm of ${name}`, found: shorten(vm), expected }
  }
  const record = `contenthash of ${name}`
  if (records?.contentCid) {
    const cid = parseSiteCid(records.contentCid)
    if (cid) return { kind: 'cid', cid }
    const expected = 'ipfs://<cid> with SHA-256, as dag-pb or raw'
    return { kind: 'refused', reason: 'unsupported', record, found: shorten(records.contentCid), expected }
  }
  if (records?.unsupported) {
    return { kind: 'refused', reason: 'unsupported', record, found: records.unsupported, expected: 'ipfs://<cid>' }
  }
  const found = records ? '(none)' : '(no resolver)'
  return { kind: 'refused', reason: 'missing', record: `text aleph.vm of ${name}`, found, expected: hashForm }
}
