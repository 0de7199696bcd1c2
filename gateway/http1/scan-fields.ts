import { COLON, CR, inValue, LF, SP, TAB, tokenLower } from './bytes.ts'
import { blockFieldsMax, type FieldBlock } from './field-block.ts'
import { classify, hashStep } from './known-fields.ts'

/** The head is not complete yet. */
export const needMore = 0

/** Why a message head is refused. Negative, so that one number tells an offset, "need more" or a refusal. */
export const Refusal = {
  badMethod: -1,
  badTarget: -2,
  badVersion: -3,
  badStatusLine: -4,
  badName: -5,
  badValue: -6,
  folded: -7,
  bareLineEnd: -8,
  tooManyFields: -9,
  headTooLarge: -10,
  targetTooLong: -11,
  lengthAndCoding: -12,
  badLength: -13,
  repeatedLength: -14,
  badCoding: -15,
  codingIn10: -16,
  badHostCount: -17,
  badHost: -18,
  hostIsAddress: -19,
  otherAuthority: -20,
  parentSegment: -21,
  bodyOnUpgrade: -22,
  badConnection: -23,
  badStatus: -24,
  badChunk: -25,
  methodNotAllowed: -26,
  unsupportedExpect: -27,
} as const

/** What each refusal says, to the one who sent the message. */
export const refusalTexts: Readonly<Record<number, string>> = {
  [Refusal.badMethod]: 'The request line does not begin with a known method in capital letters.',
  [Refusal.badTarget]: 'The request target is neither a path of visible ASCII characters nor a valid URL.',
  [Refusal.badVersion]: 'The request line carries no HTTP/1.1 version.',
  [Refusal.badStatusLine]: 'the status line is not one of HTTP/1.1',
  [Refusal.badName]: 'A header field name is not a token followed by a colon.',
  [Refusal.badValue]: 'A header field holds a control character.',
  [Refusal.folded]: 'A header field is folded over two lines.',
  [Refusal.bareLineEnd]: 'A line does not end with CR LF.',
  [Refusal.tooManyFields]: 'There are too many header fields.',
  [Refusal.headTooLarge]: 'The header fields are too large.',
  [Refusal.targetTooLong]: 'The request target is too long.',
  [Refusal.lengthAndCoding]: 'The message has both Content-Length and Transfer-Encoding.',
  [Refusal.badLength]: 'Content-Length must be one decimal number.',
  [Refusal.repeatedLength]: 'Content-Length is given twice.',
  [Refusal.badCoding]: 'Transfer-Encoding must be exactly "chunked".',
  [Refusal.codingIn10]: 'HTTP/1.0 has no Transfer-Encoding.',
  [Refusal.badHostCount]: 'The request must have exactly one Host field.',
  [Refusal.badHost]: 'The Host field is not a valid host name.',
  [Refusal.hostIsAddress]: 'The Host field is an address; sites have names.',
  [Refusal.otherAuthority]: 'The URL in the request line and the Host field name different hosts.',
  [Refusal.parentSegment]: 'The path has a ".." segment.',
  [Refusal.bodyOnUpgrade]: 'A request to upgrade has no body.',
  [Refusal.badConnection]: 'The Connection field is not a list of names.',
  [Refusal.badStatus]: 'its status is out of range',
  [Refusal.badChunk]: 'A chunk of the body is malformed.',
  [Refusal.methodNotAllowed]: 'The method is not allowed.',
  [Refusal.unsupportedExpect]: 'The only expectation that can be met is 100-continue.',
}

/**
 * Scans field lines up to and including the empty line that ends them, in one pass, and notes them in `block` (which has been reset).
 * Stricter than the grammar asks: only CR LF ends a line, no folding, no white space before the colon, no control characters.
 *
 * @param at - where the first line begins
 * @param end - just past the last byte received
 * @returns the offset past the empty line, `needMore`, or a refusal
 * @see RFC 9112 §2.2, §5
 */
export function scanFields(bytes: Buffer, at: number, end: number, block: FieldBlock, fieldsMax: number): number {
  const most = Math.min(fieldsMax, blockFieldsMax)
  for (;;) {
    if (at >= end) return needMore
    let byte = bytes[at] as number
    if (byte === CR) {
      if (at + 1 >= end) return needMore
      if (bytes[at + 1] !== LF) return Refusal.bareLineEnd
      block.end = at
      return at + 2
    }
    if (byte === SP || byte === TAB) return Refusal.folded
    const nameStart = at
    let hash = 0
    let lower = tokenLower[byte] as number
    while (lower !== 0) {
      hash = hashStep(hash, lower)
      at++
      if (at >= end) return needMore
      lower = tokenLower[bytes[at] as number] as number
    }
    const nameEnd = at
    byte = bytes[at] as number
    if (byte !== COLON || nameEnd === nameStart) return byte === LF ? Refusal.bareLineEnd : Refusal.badName
    at++
    while (at < end && (bytes[at] === SP || bytes[at] === TAB)) at++
    const valueStart = at
    while (at < end && inValue[bytes[at] as number] === 1) at++
    // Both bytes of the line end must be there: a lone CR is refused, and whether it is lone only the next byte tells.
    if (at + 1 >= end) return at < end && bytes[at] !== CR ? badLineByte(bytes[at] as number) : needMore
    if (bytes[at] !== CR) return badLineByte(bytes[at] as number)
    if (bytes[at + 1] !== LF) return Refusal.bareLineEnd
    let valueEnd = at
    while (valueEnd > valueStart && (bytes[valueEnd - 1] === SP || bytes[valueEnd - 1] === TAB)) valueEnd--
    if (block.count >= most) return Refusal.tooManyFields
    block.add(nameStart, nameEnd, valueStart, valueEnd, classify(bytes, nameStart, nameEnd, hash))
    at += 2
  }
}

function badLineByte(byte: number): number {
  return byte === LF ? Refusal.bareLineEnd : Refusal.badValue
}

/**
 * Reads a Content-Length value: 1 to 15 decimal digits and nothing else, so that it is exact as a number.
 * @returns the length, or -1
 */
export function parseLength(bytes: Uint8Array, start: number, end: number): number {
  if (end - start < 1 || end - start > 15) return -1
  let value = 0
  for (let i = start; i < end; i++) {
    const digit = (bytes[i] as number) - 0x30
    if (digit < 0 || digit > 9) return -1
    value = value * 10 + digit
  }
  return value
}

/** Whether `bytes[start, end)` is `lower`, in whatever case. */
export function equalsLower(bytes: Uint8Array, start: number, end: number, lower: Uint8Array): boolean {
  if (end - start !== lower.length) return false
  for (let i = 0; i < lower.length; i++) {
    const byte = bytes[start + i] as number
    if (byte !== lower[i] && !(byte >= 0x41 && byte <= 0x5a && (byte | 0x20) === lower[i])) return false
  }
  return true
}
