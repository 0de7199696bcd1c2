import type { FieldBlock } from '../http1/field-block.ts'
import { Field } from '../http1/known-fields.ts'

/** More networks in a row, or more proxies, than anybody plans: then it is a loop through somebody who drops our name. */
export const passedMax = 10

/**
 * Whether a request has been through this gateway before: its id stands in CDN-Loop, or as a proxy's name in Via, or there are too many of
 * either. Reads bytes in place; a request with neither field costs two look-ups.
 *
 * @param loopId - our id, lower case ASCII without comma, semicolon or space: a host name or a pseudonym
 * @see RFC 8586 §2 (CDN-Loop), RFC 9110 §7.6.3 (Via)
 */
export function hasPassed(fields: FieldBlock, loopId: string): boolean {
  return passesIn(fields, Field.cdnLoop, loopId, 0) || passesIn(fields, Field.via, loopId, 1)
}

/** Looks through all fields of one kind. `words` to skip in a member: Via begins with the version of the protocol. */
function passesIn(fields: FieldBlock, code: number, loopId: string, words: number): boolean {
  let members = 0
  for (let i = fields.find(code); i >= 0; i = fields.find(code, i + 1)) {
    const { bytes, at } = fields
    const end = at[i * 4 + 3] as number
    // A comma inside a quoted parameter counts as one between members: that can only find a loop that the client wrote itself.
    for (let start = at[i * 4 + 2] as number; start <= end; ) {
      let stop = start
      while (stop < end && bytes[stop] !== comma) stop++
      if (++members > passedMax || memberIs(bytes, start, stop, loopId, words)) return true
      start = stop + 1
    }
  }
  return false
}

const comma = 0x2c
const semicolon = 0x3b

/** Whether the word after `words` others equals the id, without case; it ends at a space or a semicolon. */
function memberIs(bytes: Buffer, start: number, end: number, loopId: string, words: number): boolean {
  let at = skipSpace(bytes, start, end)
  for (let i = 0; i < words; i++) at = skipSpace(bytes, wordEnd(bytes, at, end), end)
  if (wordEnd(bytes, at, end) - at !== loopId.length) return false
  for (let i = 0; i < loopId.length; i++) {
    const byte = bytes[at + i] as number
    if ((byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte) !== loopId.charCodeAt(i)) return false
  }
  return true
}

function skipSpace(bytes: Buffer, at: number, end: number): number {
  while (at < end && (bytes[at] === 0x20 || bytes[at] === 0x09)) at++
  return at
}

function wordEnd(bytes: Buffer, at: number, end: number): number {
  while (at < end && bytes[at] !== 0x20 && bytes[at] !== 0x09 && bytes[at] !== semicolon) at++
  return at
}

/** The CDN-Loop line of this gateway, made once, for `loopLine`. */
export function ownLoopLine(loopId: string): Buffer {
  return Buffer.from(`CDN-Loop: ${loopId}\r\n`, 'latin1')
}

/**
 * The CDN-Loop line that goes to the host: what the client sent, with our id at its end.
 * @param own - from `ownLoopLine`; returned as it is when the client sent none
 */
export function loopLine(fields: FieldBlock, own: Buffer): Buffer {
  let index = fields.find(Field.cdnLoop)
  if (index < 0) return own
  let text = 'CDN-Loop: '
  for (; index >= 0; index = fields.find(Field.cdnLoop, index + 1)) {
    const value = fields.value(index)
    if (value !== '') text += `${value}, `
  }
  return Buffer.concat([Buffer.from(text, 'latin1'), own.subarray('CDN-Loop: '.length)])
}
