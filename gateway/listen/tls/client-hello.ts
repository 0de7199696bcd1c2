/** What decides about a TLS connection before TLS itself begins. */
export interface ClientHello {
  /** As sent, any case, at most 255 bytes, not checked as a host name; undefined when the client names no server. */
  serverName: string | undefined
  /** ALPN offers `acme-tls/1`: a CA that validates (RFC 8737). */
  challenge: boolean
}

/**
 * Longest ClientHello that is read, bytes, record headers included. Browsers send 0.5-2 KiB, with a large ticket 4; the rest is room. OpenSSL
 * itself would take 128 KiB, which is memory that a stranger makes us hold.
 */
export const helloBytesMax = 16_384

const recordHeaderBytes = 5
const messageHeaderBytes = 4
const handshakeRecord = 22
const clientHelloMessage = 1
const serverNameExtension = 0
const alpnExtension = 16
const hostNameType = 0
/** Longest DNS name in text form, RFC 1035 §2.3.4. */
const nameBytesMax = 255
const challengeProtocol = Buffer.from('acme-tls/1')
const malformed = 'malformed'

/**
 * Reads server name and protocols from the first bytes of a connection. Never throws and keeps no state: call it again with more bytes after
 * `more`. A message may be cut into records, and bytes may follow it.
 *
 * Only what is needed is understood, but all lengths must be right to the end: what OpenSSL reads from these bytes later must not differ.
 *
 * @returns `more` when the message is not complete, `malformed` when it is no ClientHello or longer than `helloBytesMax`
 * @see RFC 8446 §4.1.2 and §5.1, RFC 6066 §3, RFC 7301 §3.1
 */
export function parseClientHello(bytes: Buffer): ClientHello | 'more' | 'malformed' {
  const recordBytes = recordLength(bytes, 0)
  if (typeof recordBytes !== 'number') return recordBytes
  const start = recordHeaderBytes
  const messageBytes = messageLength(bytes, start, start + recordBytes)
  // Nearly always the whole message is one record, and is read where it stands.
  if (messageBytes > 0 && messageBytes <= recordBytes) return parseMessage(bytes, start, start + messageBytes)
  if (messageBytes < 0) return malformed
  const message = joinRecords(bytes)
  return typeof message === 'string' ? message : parseMessage(message, 0, message.length)
}

/** Length of the body of the handshake record at `at`, once all of it is there. */
function recordLength(bytes: Buffer, at: number): number | 'more' | 'malformed' {
  const present = bytes.length - at
  if (present >= 1 && bytes[at] !== handshakeRecord) return malformed
  if (present >= 2 && bytes[at + 1] !== 3) return malformed
  if (present < recordHeaderBytes) return 'more'
  const length = uint16(bytes, at + 3)
  if (length === 0 || at + recordHeaderBytes + length > helloBytesMax) return malformed
  return present < recordHeaderBytes + length ? 'more' : length
}

/** Length of the message with its header, 0 when too little is there to tell, -1 when it is no acceptable ClientHello. */
function messageLength(bytes: Buffer, at: number, end: number): number {
  if (at < end && bytes[at] !== clientHelloMessage) return -1
  if (end - at < messageHeaderBytes) return 0
  const length = messageHeaderBytes + (((bytes[at + 1] as number) << 16) | uint16(bytes, at + 2))
  return length > helloBytesMax ? -1 : length
}

/** Puts together a message that spans several records. */
function joinRecords(bytes: Buffer): Buffer | 'more' | 'malformed' {
  const message = Buffer.allocUnsafe(Math.min(bytes.length, helloBytesMax))
  let have = 0
  for (let at = 0; ; ) {
    const length = recordLength(bytes, at)
    if (typeof length !== 'number') return length
    bytes.copy(message, have, at + recordHeaderBytes, at + recordHeaderBytes + length)
    have += length
    at += recordHeaderBytes + length
    const wanted = messageLength(message, 0, have)
    if (wanted < 0) return malformed
    if (wanted > 0 && have >= wanted) return message.subarray(0, wanted)
  }
}

function parseMessage(bytes: Buffer, start: number, end: number): ClientHello | 'malformed' {
  // Version and random, then three vectors that are passed over: session id, cipher suites, compression methods.
  let at = start + messageHeaderBytes + 2 + 32
  if (at + 1 > end) return malformed
  const sessionIdBytes = bytes[at] as number
  at += 1 + sessionIdBytes
  if (sessionIdBytes > 32 || at + 2 > end) return malformed
  const suitesBytes = uint16(bytes, at)
  at += 2 + suitesBytes
  if (suitesBytes < 2 || suitesBytes % 2 !== 0 || at + 1 > end) return malformed
  const methodsBytes = bytes[at] as number
  at += 1 + methodsBytes
  if (methodsBytes === 0 || at > end) return malformed
  // TLS 1.2 allows a message without extensions.
  if (at === end) return { serverName: undefined, challenge: false }
  if (at + 2 > end || at + 2 + uint16(bytes, at) !== end) return malformed
  return parseExtensions(bytes, at + 2, end)
}

function parseExtensions(bytes: Buffer, start: number, end: number): ClientHello | 'malformed' {
  const hello: ClientHello = { serverName: undefined, challenge: false }
  let alpnSeen = false
  for (let at = start; at < end; ) {
    if (at + 4 > end) return malformed
    const type = uint16(bytes, at)
    const from = at + 4
    at = from + uint16(bytes, at + 2)
    if (at > end) return malformed
    if (type === serverNameExtension) {
      // Twice the same extension: two readers might believe two names.
      if (hello.serverName !== undefined) return malformed
      const name = parseServerName(bytes, from, at)
      if (name === undefined) return malformed
      hello.serverName = name
    } else if (type === alpnExtension) {
      const challenge = alpnSeen ? undefined : offersChallenge(bytes, from, at)
      if (challenge === undefined) return malformed
      hello.challenge = challenge
      alpnSeen = true
    }
  }
  return hello
}

/** The list may hold one name only, as OpenSSL has it too. */
function parseServerName(bytes: Buffer, from: number, to: number): string | undefined {
  if (from + 5 > to || uint16(bytes, from) !== to - from - 2 || bytes[from + 2] !== hostNameType) return undefined
  const length = uint16(bytes, from + 3)
  if (length === 0 || length > nameBytesMax || from + 5 + length !== to) return undefined
  return bytes.toString('latin1', from + 5, to)
}

function offersChallenge(bytes: Buffer, from: number, to: number): boolean | undefined {
  if (from + 2 > to || uint16(bytes, from) !== to - from - 2 || from + 2 === to) return undefined
  let found = false
  for (let at = from + 2; at < to; ) {
    const length = bytes[at] as number
    const next = at + 1 + length
    if (length === 0 || next > to) return undefined
    if (length === challengeProtocol.length && challengeProtocol.compare(bytes, at + 1, next) === 0) found = true
    at = next
  }
  return found
}

function uint16(bytes: Buffer, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number)
}
