import type { FieldBlock } from '../http1/field-block.ts'
import { codeOf, Field } from '../http1/known-fields.ts'
import { chooseEncoding, type Encoding } from './choose-encoding.ts'
import { type Compressibility, compressibilityOf } from './compressible-type.ts'

/**
 * Which answers of a site are compressed. `public`: what is the same for everybody. `all`: everything that may be; for sites that keep no
 * secret in an answer that also repeats input. `off`: nothing.
 */
export type CompressMode = 'off' | 'public' | 'all'

export interface CompressionRules {
  mode: CompressMode
  /** Smaller bodies are left alone, bytes. */
  minBytes: number
}

const authorization = codeOf('authorization')

/** The part of a request head that matters here. */
export interface CompressionRequest {
  method: string
  version: '1.0' | '1.1' | '2'
  fields: FieldBlock
}

/**
 * Decides whether an answer is compressed on its way to the client, and how. The cheap tests that turn most answers away come first: the
 * size, then the type.
 *
 * In the mode `public`, documents and data are left alone where the exchange is somebody's own: the request carries Cookie or
 * Authorization, or the answer sets a cookie, unless its Cache-Control says `public`. The reason is BREACH: when an attacker can make a
 * victim's browser send requests, and the answer repeats a part of the request beside a secret, the compressed length tells whether both
 * are alike. Code, styles and fonts hold no such pair, so cookies do not matter for them; Authorization and Set-Cookie always do.
 *
 * @param status - 200-599
 * @param fields - of the answer, after policy; nothing in it is changed
 * @param bodyBytes - 0 for none, -1 when only the end will tell
 * @returns the coding, or undefined to send the answer as it is
 * @see RFC 9110 §8.4 (codings), §7.7 (no-transform), §14.4 (ranges); breachattack.com
 */
export function planCompression(
  request: CompressionRequest,
  status: number,
  fields: FieldBlock,
  bodyBytes: number,
  rules: CompressionRules,
): Encoding | undefined {
  if ((bodyBytes >= 0 && bodyBytes < rules.minBytes) || rules.mode === 'off') return undefined
  const asked = request.fields.find(Field.acceptEncoding)
  if (asked < 0) return undefined
  const kind = kindOf(fields)
  if (kind === 'never' || !isWhole(request, status) || isFixed(fields)) return undefined
  if (rules.mode === 'public' && isPersonal(request.fields, fields, kind)) return undefined
  return chooseEncoding(joined(request.fields, asked))
}

function kindOf(fields: FieldBlock): Compressibility {
  const index = fields.find(Field.contentType)
  if (index < 0) return 'never'
  const { bytes, at } = fields
  const start = at[index * 4 + 2] as number
  const stop = at[index * 4 + 3] as number
  let end = start
  while (end < stop && bytes[end] !== 0x3b && bytes[end] !== 0x20 && bytes[end] !== 0x09) end++
  return compressibilityOf(bytes.toString('latin1', start, end).toLowerCase())
}

/** Whether the answer is a whole body: HEAD has none, 206 is a part, and HTTP/1.0 clients may be proxies that know no codings. */
function isWhole(request: CompressionRequest, status: number): boolean {
  if (request.method === 'HEAD' || request.version === '1.0') return false
  return status !== 204 && status !== 205 && status !== 206 && status !== 304
}

/** Whether the host has decided already: encoded, a range, not to be transformed, or signed as it is. */
function isFixed(fields: FieldBlock): boolean {
  const { code, count } = fields
  for (let i = 0; i < count; i++) {
    const field = code[i] as number
    if (field === Field.contentEncoding || field === Field.contentRange) return true
    if (field === Field.cacheControl && lowerValue(fields, i).includes('no-transform')) return true
    // A digest covers the bytes as sent (RFC 9530 §2).
    if (field === 0 && (fields.isNamed(i, 'content-digest') || fields.isNamed(i, 'digest'))) return true
  }
  return false
}

function isPersonal(asked: FieldBlock, answer: FieldBlock, kind: Compressibility): boolean {
  if (isPublic(answer)) return false
  if (asked.find(authorization) >= 0 || answer.find(Field.setCookie) >= 0) return true
  return kind === 'document' && asked.find(Field.cookie) >= 0
}

function isPublic(fields: FieldBlock): boolean {
  for (let i = fields.find(Field.cacheControl); i >= 0; i = fields.find(Field.cacheControl, i + 1))
    if (/(^|[\s,])public($|[\s,])/.test(lowerValue(fields, i))) return true
  return false
}

function lowerValue(fields: FieldBlock, index: number): string {
  return fields.value(index).toLowerCase()
}

/** All values of Accept-Encoding; there is hardly ever more than one. */
function joined(fields: FieldBlock, first: number): string {
  let text = fields.value(first)
  for (let i = fields.find(Field.acceptEncoding, first + 1); i >= 0; i = fields.find(Field.acceptEncoding, i + 1))
    text += `,${fields.value(i)}`
  return text
}
