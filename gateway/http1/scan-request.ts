import { METHODS } from 'node:http'
import type { RequestHead } from '../forward/exchange.ts'
import { parseHost } from '../guard/host-name.ts'
import { hasParentSegment } from '../guard/request-path.ts'
import { CR, inTarget, LF, SP } from './bytes.ts'
import { Option, readConnection } from './connection-options.ts'
import { type FieldBlock, releaseBlock, takeBlock } from './field-block.ts'
import { Field } from './known-fields.ts'
import { equalsLower, needMore, parseLength, Refusal, scanFields } from './scan-fields.ts'

export interface HeadLimits {
  headBytesMax: number
  headFieldsMax: number
  uriBytesMax: number
}

/** A request head as scanned from HTTP/1. `release` gives its block back. */
export class ScannedRequest implements RequestHead {
  method = ''
  pathStart = 0
  pathEnd = 0
  host = ''
  fields: FieldBlock = takeBlock()
  bodyBytes = 0
  upgrade: 'websocket' | undefined = undefined
  version: '1.0' | '1.1' = '1.1'
  /** The client wants the connection to go on after this exchange. */
  keepAlive = true
  /** Connection names fields of its own, which must not pass (`dropNominated`). */
  nominates = false
  /** The client waits for a 100 before it sends the body (RFC 9110 §10.1.1). */
  expectsContinue = false

  /** Copies the head out of the buffer it was read into, which is read into again. `[start, end)` is where it stands. */
  keep(bytes: Buffer, start: number, end: number): void {
    if (this.fields.bytes !== bytes) return
    const own = Buffer.allocUnsafe(end - start)
    bytes.copy(own, 0, start, end)
    this.fields.moveTo(own, -start)
    this.pathStart -= start
    this.pathEnd -= start
  }

  release(): void {
    releaseBlock(this.fields)
  }
}

const chunked = Buffer.from('chunked')
const websocket = Buffer.from('websocket')
const continueText = Buffer.from('100-continue')
const versionText = Buffer.from('HTTP/1.')

/** Methods by length and first letter, so that the usual ones cost one comparison. */
const methods = METHODS.filter((name) => name !== 'CONNECT' && name !== 'TRACE').map((name) => Buffer.from(name))
const methodNames = methods.map((bytes) => bytes.toString())
const refusedMethods = ['TRACE', 'TRACK', 'CONNECT']

/**
 * Scans the head of a request and decides whether it can be read in one way only.
 *
 * @param start - where the request line begins
 * @param end - just past the last byte received
 * @param head - filled in; its block is reset first
 * @returns the offset of the body, `needMore`, or a refusal of `Refusal`
 * @see RFC 9112 §3 (request line), §6 (framing), RFC 9110 §7.2 (Host)
 */
export function scanRequest(
  bytes: Buffer,
  start: number,
  end: number,
  head: ScannedRequest,
  limits: HeadLimits,
): number {
  // One empty line before a request is let pass (RFC 9112 §2.2): old clients end their bodies with it.
  let at = start
  if (bytes[at] === CR) {
    if (at + 1 >= end) return needMore
    if (bytes[at + 1] === LF) at += 2
  }
  const lineStart = at
  while (at < end && inMethod(bytes[at] as number)) at++
  if (at - lineStart > longestMethod) return Refusal.badMethod
  if (at >= end) return needMore
  if (bytes[at] !== SP) return bytes[at] === LF ? Refusal.bareLineEnd : Refusal.badMethod
  const method = methodAt(bytes, lineStart, at)
  if (method === undefined) return isRefusedMethod(bytes, lineStart, at) ? Refusal.methodNotAllowed : Refusal.badMethod
  at++
  const targetStart = at
  let risky = false
  let last = 0
  for (; at < end; at++) {
    const byte = bytes[at] as number
    if (inTarget[byte] === 0) break
    if (byte === 0x25 || (byte === 0x2e && last === 0x2e)) risky = true
    last = byte
  }
  const targetEnd = at
  if (targetEnd - targetStart > limits.uriBytesMax) return Refusal.targetTooLong
  if (at >= end) return needMore
  if (bytes[at] !== SP) return bytes[at] === CR || bytes[at] === LF ? Refusal.badVersion : Refusal.badTarget
  if (targetEnd === targetStart) return Refusal.badTarget
  at++
  for (let i = 0; i < 7; i++) {
    if (at + i >= end) return needMore
    if (bytes[at + i] !== versionText[i]) return Refusal.badVersion
  }
  if (at + 7 >= end) return needMore
  const minor = bytes[at + 7] as number
  if (minor !== 0x31 && minor !== 0x30) return Refusal.badVersion
  if (at + 8 >= end) return needMore
  if (bytes[at + 8] !== CR) return bytes[at + 8] === LF ? Refusal.bareLineEnd : Refusal.badVersion
  if (at + 9 >= end) return needMore
  if (bytes[at + 9] !== LF) return Refusal.bareLineEnd
  const fieldsStart = at + 10
  const { fields } = head
  fields.reset(bytes, fieldsStart)
  const next = scanFields(bytes, fieldsStart, end, fields, limits.headFieldsMax)
  if (next < 0) return next
  // The empty line does not count.
  if ((next === needMore ? end : next - 2) - fieldsStart > limits.headBytesMax) return Refusal.headTooLarge
  if (next === needMore) return needMore
  head.method = method
  head.pathStart = targetStart
  head.pathEnd = targetEnd
  head.version = minor === 0x31 ? '1.1' : '1.0'
  const refusal = readFields(head)
  if (refusal !== 0) return refusal
  if (bytes[targetStart] === 0x2f) return risky && hasParentSegment(pathText(head)) ? Refusal.parentSegment : next
  return readOtherTarget(head, next)
}

const longestMethod = Math.max(...methods.map((name) => name.length))

/** Capital letters, and the hyphen of M-SEARCH. */
function inMethod(byte: number): boolean {
  return (byte >= 0x41 && byte <= 0x5a) || byte === 0x2d
}

function methodAt(bytes: Uint8Array, start: number, end: number): string | undefined {
  const length = end - start
  if (length === 3 && bytes[start] === 0x47 && bytes[start + 1] === 0x45 && bytes[start + 2] === 0x54) return 'GET'
  for (let i = 0; i < methods.length; i++) {
    const name = methods[i] as Buffer
    if (name.length === length && name[0] === bytes[start] && equalsBytes(bytes, start, name)) return methodNames[i]
  }
  return undefined
}

function equalsBytes(bytes: Uint8Array, start: number, other: Uint8Array): boolean {
  for (let i = 0; i < other.length; i++) if (bytes[start + i] !== other[i]) return false
  return true
}

function isRefusedMethod(bytes: Buffer, start: number, end: number): boolean {
  return refusedMethods.includes(bytes.toString('latin1', start, end))
}

function pathText(head: ScannedRequest): string {
  return head.fields.bytes.toString('latin1', head.pathStart, head.pathEnd)
}

/** Reads what frames and routes the request out of its fields. Returns 0 or a refusal. */
function readFields(head: ScannedRequest): number {
  const { fields } = head
  const { code, at, bytes, count } = fields
  let hosts = 0
  let hostIndex = -1
  let lengthIndex = -1
  let codingIndex = -1
  let options = 0
  let upgrades = 0
  let expects = -1
  for (let i = 0; i < count; i++) {
    const which = code[i] as number
    if (which === 0) continue
    if (which === Field.host) {
      hosts++
      hostIndex = i
    } else if (which === Field.contentLength) {
      if (lengthIndex >= 0) return Refusal.repeatedLength
      lengthIndex = i
    } else if (which === Field.transferEncoding) {
      if (codingIndex >= 0) return Refusal.badCoding
      codingIndex = i
    } else if (which === Field.connection) {
      options |= readConnection(bytes, at[i * 4 + 2] as number, at[i * 4 + 3] as number)
    } else if (which === Field.upgrade) {
      upgrades += equalsLower(bytes, at[i * 4 + 2] as number, at[i * 4 + 3] as number, websocket) ? 1 : 0
    } else if (which === Field.expect) {
      expects = i
    }
  }
  if (hosts !== 1) return Refusal.badHostCount
  const host = parseHost(fields.value(hostIndex))
  if (host === undefined) return Refusal.badHost
  if (host.kind === 'address') return Refusal.hostIsAddress
  head.host = host.name
  const framing = readFraming(head, lengthIndex, codingIndex)
  if (framing !== 0) return framing
  if ((options & Option.malformed) !== 0) return Refusal.badConnection
  head.keepAlive = (options & Option.close) === 0 && (head.version === '1.1' || (options & Option.keepAlive) !== 0)
  head.nominates = (options & Option.other) !== 0
  head.upgrade =
    upgrades > 0 && (options & Option.upgrade) !== 0 && head.method === 'GET' && head.version === '1.1'
      ? 'websocket'
      : undefined
  if (head.upgrade && head.bodyBytes !== 0) return Refusal.bodyOnUpgrade
  return readExpect(head, expects)
}

function readFraming(head: ScannedRequest, lengthIndex: number, codingIndex: number): number {
  const { bytes, at } = head.fields
  head.bodyBytes = 0
  if (codingIndex >= 0) {
    if (lengthIndex >= 0) return Refusal.lengthAndCoding
    if (head.version === '1.0') return Refusal.codingIn10
    if (!equalsLower(bytes, at[codingIndex * 4 + 2] as number, at[codingIndex * 4 + 3] as number, chunked))
      return Refusal.badCoding
    head.bodyBytes = -1
  } else if (lengthIndex >= 0) {
    const length = parseLength(bytes, at[lengthIndex * 4 + 2] as number, at[lengthIndex * 4 + 3] as number)
    if (length < 0) return Refusal.badLength
    head.bodyBytes = length
  }
  return 0
}

/** An expectation that we cannot meet is refused; 1.0 clients cannot expect (RFC 9110 §10.1.1). */
function readExpect(head: ScannedRequest, index: number): number {
  head.expectsContinue = false
  if (index < 0 || head.version === '1.0') return 0
  const { bytes, at } = head.fields
  if (!equalsLower(bytes, at[index * 4 + 2] as number, at[index * 4 + 3] as number, continueText))
    return Refusal.unsupportedExpect
  head.expectsContinue = head.bodyBytes !== 0
  return 0
}

/** The target is `*`, an absolute URL, or wrong. */
function readOtherTarget(head: ScannedRequest, next: number): number {
  const text = pathText(head)
  if (text === '*') return head.method === 'OPTIONS' ? next : Refusal.badTarget
  const match = /^https?:\/\/([^/?]*)([/?].*)?$/i.exec(text)
  const authority = match && parseHost(match[1] as string)
  if (!match || !authority) return Refusal.badTarget
  if (authority.kind !== 'name' || authority.name !== head.host) return Refusal.otherAuthority
  const path = match[2] ?? ''
  if (hasParentSegment(path)) return Refusal.parentSegment
  head.pathStart = head.pathEnd - path.length
  // Without a path the URL means "/" (RFC 9112 §3.2.1), which then stands nowhere in the bytes: a prefix the forwarder puts in.
  if (path === '' || path.startsWith('?')) return prefixSlash(head, path, next)
  return next
}

/** Copies the head behind a slash, so that the path is a range of bytes like any other. Offsets of the fields move along. */
function prefixSlash(head: ScannedRequest, path: string, next: number): number {
  const { fields } = head
  const lead = Buffer.from(`/${path}`, 'latin1')
  const first = fields.count > 0 ? fields.lineStart(0) : fields.end
  fields.moveTo(Buffer.concat([lead, fields.bytes.subarray(first, fields.end)]), lead.length - first)
  head.pathStart = 0
  head.pathEnd = lead.length
  return next
}
