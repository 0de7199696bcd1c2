import {
  BadRequestError,
  HeadersTooLargeError,
  MethodNotAllowedError,
  MisdirectedError,
  UriTooLongError,
} from '../errors.ts'
import { parseHost } from './host-name.ts'
import { hasParentSegment } from './request-path.ts'

/** A request head as it came: names and values alternate in `fields`, repeated ones included. */
export interface RawHead {
  method: string
  target: string
  version: string
  fields: readonly string[]
}

/** A request head that may pass. */
export interface RequestHead {
  method: string
  /** Host name: lower case, no port, no final dot. */
  host: string
  /** Path with query, beginning with `/`; or `*` for OPTIONS. */
  path: string
  body: { kind: 'none' } | { kind: 'length'; bytes: number } | { kind: 'chunked' }
}

export interface HeadLimits {
  headBytesMax: number
  headFieldsMax: number
  uriBytesMax: number
}

/**
 * Decides whether a request head may pass. `node:http` is more lenient than a gateway may be (two Host fields, unknown transfer codings,
 * HTTP/1.0 with Transfer-Encoding, request lines without a version), so every rule stands here again.
 *
 * @throws BadRequestError, HeadersTooLargeError, UriTooLongError, MethodNotAllowedError, MisdirectedError
 * @see RFC 9112 §3.2 (Host and target), §6 (framing)
 */
export function checkRequest(raw: RawHead, limits: HeadLimits): RequestHead {
  if (raw.version !== '1.1' && raw.version !== '1.0')
    throw new BadRequestError('The request line carries no HTTP/1.1 version.')
  checkMethod(raw.method)
  checkSize(raw, limits)
  checkValues(raw.fields)
  const host = checkHost(raw.fields)
  return { method: raw.method, host, path: checkTarget(raw, host), body: checkFraming(raw) }
}

/** All values of a field, in order. `name` is lower case. */
export function fieldValues(fields: readonly string[], name: string): string[] {
  const values: string[] = []
  for (let i = 0; i + 1 < fields.length; i += 2)
    if ((fields[i] as string).toLowerCase() === name) values.push(fields[i + 1] as string)
  return values
}

function checkMethod(method: string): void {
  if (method === 'TRACE' || method === 'TRACK' || method === 'CONNECT') throw new MethodNotAllowedError(method)
}

function checkSize(raw: RawHead, limits: HeadLimits): void {
  if (raw.target.length > limits.uriBytesMax) throw new UriTooLongError(limits.uriBytesMax)
  const count = raw.fields.length / 2
  if (count > limits.headFieldsMax) {
    throw new HeadersTooLargeError(
      `The request has ${count} header fields; at most ${limits.headFieldsMax} are allowed.`,
    )
  }
  // ": " and the line end make four more bytes per field.
  const bytes = raw.fields.reduce((sum, text) => sum + text.length, 0) + count * 4
  if (bytes > limits.headBytesMax) {
    throw new HeadersTooLargeError(
      `The request has ${bytes} bytes of header fields; at most ${limits.headBytesMax} are allowed.`,
    )
  }
}

function checkValues(fields: readonly string[]): void {
  for (let i = 1; i < fields.length; i += 2) {
    if (/[\0-\x08\x0a-\x1f\x7f]/.test(fields[i] as string))
      throw new BadRequestError('A header field holds a control character.')
  }
}

function checkHost(fields: readonly string[]): string {
  const values = fieldValues(fields, 'host')
  if (values.length !== 1)
    throw new BadRequestError(`The request has ${values.length} Host fields; exactly one is needed.`)
  const host = parseHost(values[0] as string)
  if (!host) throw new BadRequestError('The Host field is not a valid host name.')
  if (host.kind === 'address') throw new MisdirectedError('The Host field is an address; sites have names.')
  return host.name
}

function checkTarget(raw: RawHead, host: string): string {
  if (raw.target === '*') {
    if (raw.method === 'OPTIONS') return '*'
    throw new BadRequestError('The request target * is for OPTIONS only.')
  }
  const path = raw.target.startsWith('/') ? raw.target : pathOfAbsolute(raw.target, host)
  if (!/^\/[\x21\x22\x24-\x7e]*$/.test(path))
    throw new BadRequestError('The request target holds characters that must be percent-encoded.')
  if (hasParentSegment(path)) throw new BadRequestError('The path has a ".." segment.')
  return path
}

function pathOfAbsolute(target: string, host: string): string {
  const match = /^https?:\/\/([^/?#]*)([/?].*)?$/i.exec(target)
  const authority = match ? parseHost(match[1] as string) : undefined
  if (!match || !authority) throw new BadRequestError('The request target is neither a path nor a valid URL.')
  if (authority.kind !== 'name' || authority.name !== host) {
    throw new BadRequestError('The URL in the request line and the Host field name different hosts.')
  }
  const rest = match[2] ?? '/'
  return rest.startsWith('?') ? `/${rest}` : rest
}

function checkFraming(raw: RawHead): RequestHead['body'] {
  const codings = fieldValues(raw.fields, 'transfer-encoding')
  const lengths = fieldValues(raw.fields, 'content-length')
  if (codings.length > 0) {
    if (raw.version === '1.0') throw new BadRequestError('HTTP/1.0 has no Transfer-Encoding.')
    if (lengths.length > 0) throw new BadRequestError('The request has both Content-Length and Transfer-Encoding.')
    if (codings.length > 1 || codings[0]?.trim().toLowerCase() !== 'chunked') {
      throw new BadRequestError('Transfer-Encoding must be exactly "chunked".')
    }
    return { kind: 'chunked' }
  }
  if (lengths.length === 0) return { kind: 'none' }
  const text = lengths[0] as string
  if (lengths.length > 1 || !/^\d{1,15}$/.test(text))
    throw new BadRequestError('Content-Length must be one decimal number.')
  const bytes = Number(text)
  return bytes === 0 ? { kind: 'none' } : { kind: 'length', bytes }
}
