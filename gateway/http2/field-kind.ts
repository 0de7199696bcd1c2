import { classify, codeOf, Field, hashStep } from '../http1/known-fields.ts'

/** Pseudo-header fields (RFC 9113 §8.3, RFC 8441 §4). */
export const Pseudo = {
  none: 0,
  method: 1,
  scheme: 2,
  authority: 3,
  path: 4,
  protocol: 5,
  status: 6,
  unknown: 7,
} as const

/**
 * What a field is, as one number that its table entry keeps, so that a field is judged once however often it is repeated:
 * the code of `known-fields.ts`, which pseudo-header field it is, and what is wrong with it.
 */
export const Kind = {
  /** Mask of the code. */
  code: 0xff,
  pseudoShift: 8,
  /** Mask of the `Pseudo` number, in place. */
  pseudo: 0xf00,
  /** The name is no lower-case token, is an unknown pseudo-header field, or belongs to one connection (RFC 9113 §8.2). */
  badName: 0x1000,
  /** The value holds a byte it may not hold (RFC 9113 §8.2.1), or one that this field may not have. */
  badValue: 0x2000,
  /** The value of `:path` is neither a path of visible ASCII nor `*`. Worth an answer rather than a bare reset. */
  badPath: 0x4000,
  /** The value of `:path` has a percent sign or two dots side by side: it may climb, and is worth a closer look. */
  riskyPath: 0x8000,
} as const

/** What a name alone tells; the rest is of the value. */
const nameBits = Kind.code | Kind.pseudo | Kind.badName

const inName = 1
const inMethod = 2
const inValue = 4
const inPath = 8
const classes = new Uint8Array(256)
for (let byte = 0; byte < 256; byte++) {
  const upper = byte >= 0x41 && byte <= 0x5a
  const token =
    upper ||
    (byte >= 0x61 && byte <= 0x7a) ||
    (byte >= 0x30 && byte <= 0x39) ||
    (byte < 0x7f && "!#$%&'*+-.^_`|~".includes(String.fromCharCode(byte)))
  if (token) classes[byte] = upper ? inMethod : inMethod | inName
  if ((byte >= 0x20 || byte === 0x09) && byte !== 0x7f) classes[byte] = (classes[byte] as number) | inValue
  if (byte > 0x20 && byte < 0x7f && byte !== 0x23) classes[byte] = (classes[byte] as number) | inPath
}

/** Fields that say something of one HTTP/1 connection: none of them may be in HTTP/2 (RFC 9113 §8.2.2). */
const connectionSpecific = new Uint8Array(256)
for (const name of ['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade'] as const)
  connectionSpecific[codeOf(name)] = 1

/** Judges the name at `bytes[start, end)`. */
export function kindOfName(bytes: Uint8Array, start: number, end: number): number {
  if (start === end) return Kind.badName
  if (bytes[start] === 0x3a) return pseudoKind(bytes, start, end)
  let hash = 0
  let all = inName
  for (let i = start; i < end; i++) {
    const byte = bytes[i] as number
    all &= classes[byte] as number
    hash = hashStep(hash, byte)
  }
  if (all === 0) return Kind.badName
  const code = classify(bytes, start, end, hash)
  return connectionSpecific[code] === 1 ? code | Kind.badName : code
}

/** Adds what the value at `bytes[start, end)` tells to the kind of its name. */
export function withValue(kind: number, bytes: Uint8Array, start: number, end: number): number {
  const pseudo = (kind & Kind.pseudo) >>> Kind.pseudoShift
  const named = kind & nameBits
  if (pseudo === Pseudo.path) return named | pathFault(bytes, start, end)
  const ok =
    pseudo === Pseudo.none
      ? isValue(bytes, start, end) && (named !== Field.te || isTrailers(bytes, start, end))
      : isPseudoValue(pseudo, bytes, start, end)
  return ok ? named : named | Kind.badValue
}

function isPseudoValue(pseudo: number, bytes: Uint8Array, start: number, end: number): boolean {
  if (start === end) return false
  if (pseudo === Pseudo.status) return isStatus(bytes, start, end)
  return all(bytes, start, end, pseudo === Pseudo.method || pseudo === Pseudo.protocol ? inMethod : inPath)
}

function isValue(bytes: Uint8Array, start: number, end: number): boolean {
  if (start === end) return true
  if (isBlank(bytes[start] as number) || isBlank(bytes[end - 1] as number)) return false
  return all(bytes, start, end, inValue)
}

function isBlank(byte: number): boolean {
  return byte === 0x20 || byte === 0x09
}

function all(bytes: Uint8Array, start: number, end: number, wanted: number): boolean {
  let common = wanted
  for (let i = start; i < end; i++) common &= classes[bytes[i] as number] as number
  return common !== 0
}

function pathFault(bytes: Uint8Array, start: number, end: number): number {
  if (start === end) return Kind.badValue
  const first = bytes[start]
  if (first !== 0x2f && !(first === 0x2a && end === start + 1)) return Kind.badPath
  let common = inPath
  let risky = 0
  let last = 0
  for (let i = start; i < end; i++) {
    const byte = bytes[i] as number
    common &= classes[byte] as number
    if (byte === 0x25 || (byte === 0x2e && last === 0x2e)) risky = Kind.riskyPath
    last = byte
  }
  return common === 0 ? Kind.badPath : risky
}

function isStatus(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start !== 3 || (bytes[start] as number) < 0x31 || (bytes[start] as number) > 0x35) return false
  for (let i = start + 1; i < end; i++) if ((bytes[i] as number) < 0x30 || (bytes[i] as number) > 0x39) return false
  return true
}

const trailersValue = Buffer.from('trailers')

function isTrailers(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start !== trailersValue.length) return false
  for (let i = start; i < end; i++) if (((bytes[i] as number) | 0x20) !== trailersValue[i - start]) return false
  return true
}

const pseudoNames: readonly (readonly [string, number])[] = [
  [':method', Pseudo.method],
  [':scheme', Pseudo.scheme],
  [':authority', Pseudo.authority],
  [':path', Pseudo.path],
  [':protocol', Pseudo.protocol],
  [':status', Pseudo.status],
]

function pseudoKind(bytes: Uint8Array, start: number, end: number): number {
  for (const [name, pseudo] of pseudoNames) {
    if (end - start !== name.length) continue
    let same = true
    for (let i = 1; i < name.length && same; i++) same = bytes[start + i] === name.charCodeAt(i)
    if (same) return pseudo << Kind.pseudoShift
  }
  return (Pseudo.unknown << Kind.pseudoShift) | Kind.badName
}
