import { CID } from 'multiformats/cid'
import { decodeHostLabel } from '../../node/protocol/host-label.ts'

/** What a host name is by its form alone. */
export type HostKind =
  /** The gateway's own name. */
  | { kind: 'apex'; zone: string }
  | { kind: 'program'; itemHash: string }
  | { kind: 'static'; cid: string }
  /** `name` ends in `.eth`; `zone` is undefined when the host is the bare ENS name. */
  | { kind: 'ens'; name: string; zone: string | undefined }
  | { kind: 'bad-label'; label: string; zone: string; why: string }
  | { kind: 'domain' }

/** DNS names hold at most 253 characters. */
const hostCharsMax = 253

/** Sorts a host name. The suffix is compared at a label boundary: `evil-gw.test` is not under `gw.test`. */
export function hostKind(host: string, zones: readonly string[]): HostKind {
  const zone = zones.find((candidate) => host === candidate || host.endsWith(`.${candidate}`))
  if (zone === undefined) {
    return isEnsName(host) ? { kind: 'ens', name: host, zone: undefined } : { kind: 'domain' }
  }
  if (host === zone) return { kind: 'apex', zone }
  const inner = host.slice(0, -zone.length - 1)
  if (isEnsName(inner)) return { kind: 'ens', name: inner, zone }
  return labelKind(inner, zone)
}

function isEnsName(name: string): boolean {
  return name.endsWith('.eth') && name.length > 4 && name.length <= hostCharsMax
}

function labelKind(label: string, zone: string): HostKind {
  const itemHash = decodeHostLabel(label)
  if (itemHash !== undefined) return { kind: 'program', itemHash }
  const cid = parseCidLabel(label)
  if (cid !== undefined) return { kind: 'static', cid }
  return { kind: 'bad-label', label, zone, why: labelFault(label) }
}

/** A CIDv1 in lower-case base32 or base36, as it fits in a label. Names by content only: dag-pb or raw, SHA-256 of 32 bytes. */
export function parseCidLabel(label: string): string | undefined {
  if (!/^b[a-z2-7]{50,62}$/.test(label)) return undefined
  return parseSiteCid(label)
}

/** Checks a CID for static content: dag-pb or raw, SHA-256. Returns its version 1 text form, or undefined. */
export function parseSiteCid(text: string): string | undefined {
  try {
    const cid = CID.parse(text)
    const supported =
      (cid.code === 0x70 || cid.code === 0x55) && cid.multihash.code === 0x12 && cid.multihash.size === 32
    return supported ? cid.toV1().toString() : undefined
  } catch {
    return undefined
  }
}

function labelFault(label: string): string {
  if (label.includes('.')) return 'it has more than one label before the zone'
  if (/^[0-9a-f]{64}$/i.test(label))
    return 'it is the hash in hex, which is longer than the 63 characters of a DNS label'
  if (label.length !== 52) return `it has ${label.length} characters instead of 52`
  const foreign = [...label].find((letter) => !/[a-z2-7]/.test(letter))
  return foreign ? `"${foreign}" is not in the alphabet a-z2-7` : 'its last letter does not end a 32-byte hash'
}
