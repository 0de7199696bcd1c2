import { CR, inValue, LF, SP } from './bytes.ts'
import { Option, readConnection } from './connection-options.ts'
import { type FieldBlock, releaseBlock, takeBlock } from './field-block.ts'
import { Field } from './known-fields.ts'
import { equalsLower, needMore, parseLength, Refusal, scanFields } from './scan-fields.ts'

/** Length of a body that ends with its connection (RFC 9112 §6.3, rule 8). */
export const untilClose = -2
/** Length of a body in chunks. */
export const inChunks = -1

/** The head of an answer as scanned from HTTP/1. */
export class ScannedAnswer {
  status = 0
  fields: FieldBlock = takeBlock()
  /** Bytes of body, `inChunks` or `untilClose`; 0 for answers that have none. */
  bodyBytes = 0
  /** The connection may be used again once the body is through. */
  keepAlive = false
  /** Connection names fields of its own, which must not pass (`dropNominated`). */
  nominates = false

  release(): void {
    releaseBlock(this.fields)
  }
}

const chunked = Buffer.from('chunked')
const versionText = Buffer.from('HTTP/1.')

/**
 * Scans the head of an answer, held to the same rules as requests: an answer that can be read in two ways is refused.
 *
 * @param requestMethod - HEAD makes every answer one without a body
 * @returns the offset of the body, `needMore`, or a refusal of `Refusal`
 * @see RFC 9112 §4 (status line), §6.3 (length of the body)
 */
export function scanAnswer(
  bytes: Buffer,
  start: number,
  end: number,
  answer: ScannedAnswer,
  limits: { headBytesMax: number; headFieldsMax: number },
  requestMethod: string,
): number {
  let at = start
  for (let i = 0; i < 7; i++, at++) {
    if (at >= end) return needMore
    if (bytes[at] !== versionText[i]) return Refusal.badStatusLine
  }
  if (at + 6 > end) return needMore
  const minor = bytes[at] as number
  if ((minor !== 0x31 && minor !== 0x30) || bytes[at + 1] !== SP) return Refusal.badStatusLine
  const status = parseLength(bytes, at + 2, at + 5)
  if (status < 0) return Refusal.badStatusLine
  // HTTP/1.0 has no informational answers: what follows might be taken for another one (RFC 9110 §15.2).
  if (status < 100 || status > 599 || (status < 200 && minor === 0x30)) return Refusal.badStatus
  at += 5
  if (bytes[at] === SP) {
    at++
    while (at < end && inValue[bytes[at] as number] === 1) at++
    if (at >= end) return end - start > limits.headBytesMax ? Refusal.headTooLarge : needMore
  }
  if (bytes[at] !== CR) return bytes[at] === LF ? Refusal.bareLineEnd : Refusal.badStatusLine
  if (at + 1 >= end) return needMore
  if (bytes[at + 1] !== LF) return Refusal.bareLineEnd
  const fieldsStart = at + 2
  answer.fields.reset(bytes, fieldsStart)
  const next = scanFields(bytes, fieldsStart, end, answer.fields, limits.headFieldsMax)
  if (next < 0) return next
  if ((next === needMore ? end : next) - start > limits.headBytesMax) return Refusal.headTooLarge
  if (next === needMore) return needMore
  answer.status = status
  const refusal = readFields(answer, minor === 0x31, requestMethod)
  return refusal !== 0 ? refusal : next
}

function readFields(answer: ScannedAnswer, version11: boolean, requestMethod: string): number {
  const { fields, status } = answer
  const { code, at, bytes, count } = fields
  let lengthIndex = -1
  let codingIndex = -1
  let options = 0
  for (let i = 0; i < count; i++) {
    const which = code[i] as number
    if (which === 0) continue
    if (which === Field.contentLength) {
      if (lengthIndex >= 0) return Refusal.repeatedLength
      lengthIndex = i
    } else if (which === Field.transferEncoding) {
      if (codingIndex >= 0) return Refusal.badCoding
      codingIndex = i
    } else if (which === Field.connection) {
      options |= readConnection(bytes, at[i * 4 + 2] as number, at[i * 4 + 3] as number)
    }
  }
  if ((options & Option.malformed) !== 0) return Refusal.badConnection
  answer.nominates = (options & Option.other) !== 0
  answer.keepAlive = (options & Option.close) === 0 && (version11 || (options & Option.keepAlive) !== 0)
  if (codingIndex >= 0) {
    if (lengthIndex >= 0) return Refusal.lengthAndCoding
    // 1xx and 204 have no body to code (RFC 9112 §6.1).
    if (!version11 || status < 200 || status === 204) return Refusal.codingIn10
    if (!equalsLower(bytes, at[codingIndex * 4 + 2] as number, at[codingIndex * 4 + 3] as number, chunked))
      return Refusal.badCoding
  }
  let length = codingIndex >= 0 ? inChunks : untilClose
  if (lengthIndex >= 0) {
    length = parseLength(bytes, at[lengthIndex * 4 + 2] as number, at[lengthIndex * 4 + 3] as number)
    if (length < 0) return Refusal.badLength
    // A length on an answer that cannot have a body is dropped (RFC 9110 §8.6 forbids it there).
    if (status < 200 || status === 204) fields.dropped[lengthIndex] = 1
  }
  answer.bodyBytes = requestMethod === 'HEAD' || status < 200 || status === 204 || status === 304 ? 0 : length
  if (answer.bodyBytes === untilClose) answer.keepAlive = false
  return 0
}
