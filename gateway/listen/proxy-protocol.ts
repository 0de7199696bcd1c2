import { isIPv6 } from 'node:net'
import { formatAddress, parseAddress } from '../guard/ip-address.ts'
import { crc32c } from './crc32c.ts'

/** One end of a connection. */
export interface Endpoint {
  address: string
  port: number
}

/** Both ends of the connection that a balancer before us (or behind us) speaks of. */
export interface ProxyAddresses {
  source: Endpoint
  destination: Endpoint
}

export type ProxyHeader =
  /** What is there may become a header; more bytes will tell. */
  | { kind: 'more' }
  /** These bytes are no header and never become one. Where one is required, that is an error too. */
  | { kind: 'absent' }
  /** A header that is not valid: close the connection. `what` says why, for counting and debugging; it repeats nothing of the input. */
  | { kind: 'error'; what: string }
  | {
      kind: 'header'
      version: 1 | 2
      /** LOCAL: the balancer itself connects, for a health check; the addresses of the socket are the right ones. */
      command: 'LOCAL' | 'PROXY'
      /** Undefined for LOCAL, and where the balancer does not know or tell: then the addresses of the socket count. */
      addresses: ProxyAddresses | undefined
      /** Index just past the header. */
      next: number
    }

/** Longest header of version 1 with its CRLF, bytes. Set by the protocol (§2.1). */
export const proxyV1BytesMax = 107
/**
 * Longest header of version 2 that is taken, bytes. The protocol promises 536 in one segment (§2.2) and lets TLVs go beyond; 4 KiB leaves
 * room for an authority, a unique id and what a balancer tells of TLS, and bounds what a connection can make us hold.
 */
export const proxyV2BytesMax = 4_096
/** Version 2 with two IPv6 addresses and no TLV. */
const proxyV2WrittenBytes = 52
/** Most bytes that `writeProxyHeader` writes. */
export const proxyWrittenBytesMax = Math.max(proxyV1BytesMax, proxyV2WrittenBytes)

const v1Signature = Buffer.from('PROXY ')
const v2Signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
const v2FixedBytes = 16

const more: ProxyHeader = { kind: 'more' }
const absent: ProxyHeader = { kind: 'absent' }

/**
 * Reads the PROXY header at the start of a connection, from `bytes[start, end)`. Never throws and keeps no state: call it again with more
 * bytes after `more`. To be used only where the peer is trusted: anybody can write such a header.
 * @see The PROXY protocol, versions 1 and 2 (haproxy.org/download/2.6/doc/proxy-protocol.txt)
 */
export function parseProxyHeader(bytes: Buffer, start: number, end: number): ProxyHeader {
  if (start >= end) return more
  const first = bytes[start]
  if (first === v1Signature[0]) return parseAs(v1Signature, bytes, start, end) ?? parseV1(bytes, start, end)
  if (first === v2Signature[0]) return parseAs(v2Signature, bytes, start, end) ?? parseV2(bytes, start, end)
  return absent
}

/** Compares with a signature; undefined when all of it is there. */
function parseAs(signature: Buffer, bytes: Buffer, start: number, end: number): ProxyHeader | undefined {
  const count = Math.min(signature.length, end - start)
  for (let i = 0; i < count; i++) if (bytes[start + i] !== signature[i]) return absent
  return count < signature.length ? more : undefined
}

function wrong(what: string): ProxyHeader {
  return { kind: 'error', what }
}

function parseV1(bytes: Buffer, start: number, end: number): ProxyHeader {
  const limit = Math.min(end, start + proxyV1BytesMax)
  for (let i = start + v1Signature.length; i < limit; i++) {
    const byte = bytes[i] as number
    if (byte >= 0x20 && byte < 0x7f) continue
    if (byte !== 0x0d) return wrong('a byte that is no printable ASCII')
    if (i + 1 === start + proxyV1BytesMax) break
    if (i + 1 === end) return more
    if (bytes[i + 1] !== 0x0a) return wrong('a CR without LF')
    return parseV1Line(bytes.toString('latin1', start + v1Signature.length, i), i + 2)
  }
  return end - start < proxyV1BytesMax ? more : wrong('no line end within 107 bytes')
}

function parseV1Line(line: string, next: number): ProxyHeader {
  // What follows UNKNOWN has no meaning and must be ignored (§2.1).
  if (line === 'UNKNOWN' || line.startsWith('UNKNOWN '))
    return { kind: 'header', version: 1, command: 'PROXY', addresses: undefined, next }
  const words = line.split(' ')
  if (words.length !== 5) return wrong('not five words after PROXY')
  const [family, from, to, fromPort, toPort] = words as [string, string, string, string, string]
  if (family !== 'TCP4' && family !== 'TCP6') return wrong('a family other than TCP4, TCP6 and UNKNOWN')
  const [source, destination] = [readV1Address(family, from), readV1Address(family, to)]
  if (source === undefined || destination === undefined) return wrong(`an address that is not of ${family}`)
  const [sourcePort, destinationPort] = [readPort(fromPort), readPort(toPort)]
  if (sourcePort < 0 || destinationPort < 0) return wrong('a port that is not 0 to 65535 without leading zeros')
  return {
    kind: 'header',
    version: 1,
    command: 'PROXY',
    addresses: {
      source: { address: source, port: sourcePort },
      destination: { address: destination, port: destinationPort },
    },
    next,
  }
}

const groups = new Uint16Array(8)

/** The address in canonical text, or undefined when it is not one of the family. */
function readV1Address(family: 'TCP4' | 'TCP6', text: string): string | undefined {
  const is6 = text.includes(':')
  if (is6 !== (family === 'TCP6') || text.includes('%')) return undefined
  return parseAddress(text, groups) === 0 ? undefined : formatAddress(groups)
}

function readPort(text: string): number {
  if (text.length === 0 || text.length > 5 || (text.length > 1 && text.startsWith('0'))) return -1
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code < 0x30 || code > 0x39) return -1
  }
  const port = Number(text)
  return port <= 65_535 ? port : -1
}

function parseV2(bytes: Buffer, start: number, end: number): ProxyHeader {
  if (end - start < v2FixedBytes) return more
  const version = bytes[start + 12] as number
  if (version >> 4 !== 2) return wrong('a version other than 2')
  const command = version & 15
  if (command > 1) return wrong('a command other than LOCAL and PROXY')
  const next = start + v2FixedBytes + bytes.readUInt16BE(start + 14)
  if (next - start > proxyV2BytesMax) return wrong(`more than ${proxyV2BytesMax} bytes`)
  if (next > end) return more
  // The receiver of LOCAL must discard the rest, the family included (§2.2).
  if (command === 0) return { kind: 'header', version: 2, command: 'LOCAL', addresses: undefined, next }
  return parseV2Body(bytes, start, next)
}

/** Bytes of the address block, by the upper half of the family byte: unspecified, IPv4, IPv6, Unix. */
const addressBytes = [0, 12, 36, 216] as const

function parseV2Body(bytes: Buffer, start: number, next: number): ProxyHeader {
  const family = (bytes[start + 13] as number) >> 4
  const transport = (bytes[start + 13] as number) & 15
  if (family > 3 || transport > 2) return wrong('an unknown family or transport')
  if (transport === 2) return wrong('datagrams, on a connection')
  const header: ProxyHeader = { kind: 'header', version: 2, command: 'PROXY', addresses: undefined, next }
  // Where family or transport is unspecified, the size of what follows is not known either: all of it is skipped (§2.2).
  if (family === 0 || transport === 0) return header
  const at = start + v2FixedBytes
  const tlvs = at + (addressBytes[family] as number)
  if (tlvs > next) return wrong('less than the addresses of its family need')
  const fault = checkTlvs(bytes, start, tlvs, next)
  if (fault !== undefined) return wrong(fault)
  if (family === 1) header.addresses = readV2Addresses(bytes, at, 4)
  if (family === 2) header.addresses = readV2Addresses(bytes, at, 16)
  return header
}

function readV2Addresses(bytes: Buffer, at: number, size: 4 | 16): ProxyAddresses {
  const ports = at + 2 * size
  return {
    source: { address: readBinaryAddress(bytes, at, size), port: bytes.readUInt16BE(ports) },
    destination: { address: readBinaryAddress(bytes, at + size, size), port: bytes.readUInt16BE(ports + 2) },
  }
}

function readBinaryAddress(bytes: Buffer, at: number, size: 4 | 16): string {
  groups.fill(0, 0, 5)
  groups[5] = 0xffff
  const first = 8 - size / 2
  for (let i = first; i < 8; i++) groups[i] = bytes.readUInt16BE(at + (i - first) * 2)
  return formatAddress(groups)
}

const tlvCrc32c = 0x03
const tlvUniqueId = 0x05
const uniqueIdBytesMax = 128

/** Steps over the TLVs, which must fill the header exactly; verifies a checksum. Returns what is wrong, or undefined. */
function checkTlvs(bytes: Buffer, start: number, from: number, next: number): string | undefined {
  let checked = false
  for (let at = from; at < next; ) {
    if (next - at < 3) return 'a TLV that is cut off'
    const type = bytes[at] as number
    const value = at + 3
    const length = bytes.readUInt16BE(at + 1)
    if (length > next - value) return 'a TLV that is longer than the header'
    if (type === tlvUniqueId && length > uniqueIdBytesMax) return 'a unique id of more than 128 bytes'
    if (type === tlvCrc32c) {
      if (checked || length !== 4) return 'a checksum that is no single one of four bytes'
      if (crc32c(bytes, start, next, value) !== bytes.readUInt32BE(value)) return 'a checksum that does not match'
      checked = true
    }
    at = value + length
  }
  return undefined
}

/**
 * Writes a PROXY header for a connection to a host.
 *
 * @param out - at least `proxyWrittenBytesMax` bytes free from `at`
 * @param addresses - undefined when there is no client: UNKNOWN in version 1, LOCAL in version 2. Addresses of two kinds both go as IPv6.
 *   What is no address goes as UNKNOWN or unspecified, so that a strange socket never makes a wrong claim
 * @returns the index just past it
 */
export function writeProxyHeader(
  version: 1 | 2,
  out: Buffer,
  at: number,
  addresses: ProxyAddresses | undefined,
): number {
  const size = addresses === undefined ? 0 : commonSize(addresses)
  if (version === 1) return at + out.write(v1Text(addresses, size), at, 'latin1')
  const next = at + v2FixedBytes + (size === 0 ? 0 : 2 * size + 4)
  v2Signature.copy(out, at)
  out[at + 12] = addresses === undefined ? 0x20 : 0x21
  out[at + 13] = size === 0 ? 0 : size === 4 ? 0x11 : 0x21
  out.writeUInt16BE(next - at - v2FixedBytes, at + 14)
  if (addresses === undefined || size === 0) return next
  const { source, destination } = addresses
  writeBinaryAddress(source.address, out, at + 16, size)
  writeBinaryAddress(destination.address, out, at + 16 + size, size)
  out.writeUInt16BE(source.port, next - 4)
  out.writeUInt16BE(destination.port, next - 2)
  return next
}

/** Bytes of an address that can hold both: 4, 16, or 0 when one of the texts is none. */
function commonSize({ source, destination }: ProxyAddresses): 0 | 4 | 16 {
  const from = parseAddress(source.address, groups)
  const to = parseAddress(destination.address, groups)
  if (from === 0 || to === 0) return 0
  return from === 4 && to === 4 ? 4 : 16
}

function v1Text(addresses: ProxyAddresses | undefined, size: 0 | 4 | 16): string {
  if (addresses === undefined || size === 0) return 'PROXY UNKNOWN\r\n'
  const { source, destination } = addresses
  const [from, to] = [v1Address(source.address, size), v1Address(destination.address, size)]
  return `PROXY ${size === 4 ? 'TCP4' : 'TCP6'} ${from} ${to} ${source.port} ${destination.port}\r\n`
}

function v1Address(address: string, size: 4 | 16): string {
  parseAddress(address, groups)
  const text = formatAddress(groups)
  return size === 16 && !isIPv6(text) ? `::ffff:${text}` : text
}

function writeBinaryAddress(address: string, out: Buffer, at: number, size: 4 | 16): void {
  parseAddress(address, groups)
  const first = 8 - size / 2
  for (let i = first; i < 8; i++) out.writeUInt16BE(groups[i] as number, at + (i - first) * 2)
}
