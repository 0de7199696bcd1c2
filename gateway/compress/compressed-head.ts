import { blockOf, type FieldBlock } from '../http1/field-block.ts'
import { Field } from '../http1/known-fields.ts'
import type { Encoding } from './choose-encoding.ts'

/**
 * Rewrites the head of an answer whose body is going to be encoded: Content-Length and Accept-Ranges are marked as dropped, for they are
 * about other bytes; a strong ETag becomes a weak one, since the encoded form is not the same byte for byte; Content-Encoding and
 * `Vary: Accept-Encoding` are added, so that a cache gives each client the form it can read.
 *
 * @returns the fields to add; the caller gives the block back with `releaseBlock` once the head is sent
 * @see RFC 9110 §8.8.3.3 (one tag for each coding), §12.5.5 (Vary)
 */
export function rewriteForEncoding(fields: FieldBlock, encoding: Encoding): FieldBlock {
  const added = ['Content-Encoding', encoding as string]
  let varies = false
  for (let i = 0; i < fields.count; i++) {
    if (fields.dropped[i] !== 0) continue
    const code = fields.code[i] as number
    if (code === Field.contentLength) fields.dropped[i] = 1
    else if (code === Field.vary) varies ||= namesEncoding(fields.value(i))
    else if (code === Field.etag) weaken(fields, i, added)
    else if (code === 0 && fields.isNamed(i, 'accept-ranges')) fields.dropped[i] = 1
  }
  if (!varies) added.push('Vary', 'Accept-Encoding')
  return blockOf(added)
}

function namesEncoding(vary: string): boolean {
  return vary.split(',').some((name) => /^\s*(\*|accept-encoding)\s*$/i.test(name))
}

function weaken(fields: FieldBlock, index: number, added: string[]): void {
  const tag = fields.value(index)
  if (tag.startsWith('W/')) return
  fields.dropped[index] = 1
  // What is no tag would not become one by a prefix.
  if (tag.startsWith('"')) added.push('ETag', `W/${tag}`)
}
