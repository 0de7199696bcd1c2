import type { FieldBlock } from '../http1/field-block.ts'
import { Field } from '../http1/known-fields.ts'
import { parseLength, Refusal, refusalTexts } from '../http1/scan-fields.ts'
import { Pseudo } from '../http2/field-kind.ts'
import { type ReceivedHead, releaseFields } from '../http2/received-head.ts'

/** Where the head of an answer is read to. */
interface ReadAnswer {
  status: number
  fields: FieldBlock
  bodyBytes: number
}

const statusAlone = 1 << Pseudo.status
const unknownLength = -1

/**
 * Reads the head of an answer, held to the rules that `scan-answer.ts` keeps for HTTP/1.1. `head` is used up.
 * @param answer - gets status, fields (to be given back with `releaseFields`) and length of the body, unless something is wrong
 * @param method - HEAD makes every answer one without a body
 * @returns what is wrong with it, or undefined
 * @see RFC 9113 §8.1.1 (malformed messages), §8.3.2 (`:status`), §8.6 (no 101)
 */
export function readAnswerHead(
  head: ReceivedHead,
  endStream: boolean,
  method: string,
  answer: ReadAnswer,
): string | undefined {
  const wrong = faultOf(head, endStream)
  if (wrong !== undefined) {
    head.drop()
    return wrong
  }
  const { status } = head
  const fields = head.takeFields()
  const bodiless = method === 'HEAD' || status < 200 || status === 204 || status === 304
  const length = lengthOf(fields)
  const short = endStream && !bodiless && length > 0
  if (length < unknownLength || short) {
    releaseFields(fields)
    if (short) return 'a body shorter than its Content-Length'
    return refusalTexts[length] ?? 'its Content-Length'
  }
  // A length on an answer that cannot have a body is dropped (RFC 9110 §8.6 forbids it there).
  if (status < 200 || status === 204) dropLength(fields)
  answer.status = status
  answer.fields = fields
  answer.bodyBytes = bodiless || endStream ? 0 : length
  return undefined
}

function faultOf(head: ReceivedHead, endStream: boolean): string | undefined {
  if (head.malformed) return 'a malformed header block'
  if (head.seen !== statusAlone) return 'pseudo-header fields other than one :status'
  if (head.tooLarge) return refusalTexts[Refusal.headTooLarge]
  if (head.tooMany) return refusalTexts[Refusal.tooManyFields]
  if (head.status === 101) return 'a 101, which HTTP/2 does not have'
  return head.status < 200 && endStream ? 'an informational answer in place of a final one' : undefined
}

/** The Content-Length; `unknownLength` for none, or a refusal. */
function lengthOf(fields: FieldBlock): number {
  const index = fields.find(Field.contentLength)
  if (index < 0) return unknownLength
  if (fields.find(Field.contentLength, index + 1) >= 0) return Refusal.repeatedLength
  const length = parseLength(fields.bytes, fields.at[index * 4 + 2] as number, fields.at[index * 4 + 3] as number)
  return length < 0 ? Refusal.badLength : length
}

function dropLength(fields: FieldBlock): void {
  const index = fields.find(Field.contentLength)
  if (index >= 0) fields.dropped[index] = 1
}
