import type { FieldBlock } from '../http1/field-block.ts'
import { Field } from '../http1/known-fields.ts'
import { formatAddress, parseAddress } from './ip-address.ts'

/** Who asks, as a site that opted in may tell its hosts. */
export interface Requester {
  /** Address of the client's connection, or as a trusted PROXY header told. */
  address: string
  secure: boolean
  /** Name of the site as the client asked for it. */
  host: string
  /** The client's fields: what a trusted hop says stands among them. */
  fields: FieldBlock
  /**
   * The client's connection comes from a proxy whose word on earlier hops is believed. False where only a PROXY header was believed: such a
   * balancer passes on what the client itself wrote.
   */
  trusted: boolean
}

/** Longest chain of earlier hops that is passed on, characters. A longer one is replaced: it would grow with every hop. */
const chainCharsMax = 1_024

/**
 * The fields that tell a host who asks, as HTTP/1.1 lines: X-Forwarded-For, -Proto and -Host, Forwarded, and X-Real-IP. What the client
 * sent of these never passes by itself (see the rules in `known-fields.ts`): it is taken up here when it comes from a trusted hop, with our
 * own view added, and replaced otherwise.
 *
 * @returns lines with their CRLF, Latin-1
 * @see RFC 7239 §4 (Forwarded), §6 (node identifiers: IPv6 in brackets and quotes)
 */
export function forwardedLines(who: Requester): Buffer {
  const address = plainAddress(who.address)
  const told = who.trusted ? toldBefore(who.fields) : nothingTold
  const proto = told.proto ?? (who.secure ? 'https' : 'http')
  const host = told.host ?? who.host
  return Buffer.from(
    `X-Forwarded-For: ${appended(told.forChain, address)}\r\n` +
      `X-Forwarded-Proto: ${proto}\r\n` +
      `X-Forwarded-Host: ${host}\r\n` +
      `Forwarded: ${appended(told.forwarded, `for=${node(address)};host=${quoted(who.host)};proto=${who.secure ? 'https' : 'http'}`)}\r\n` +
      `X-Real-IP: ${told.realIp ?? address}\r\n`,
    'latin1',
  )
}

/**
 * Address of the client for a choice that is to be the same for it each time: of the connection, or, where that is a trusted proxy's, the one
 * that the proxy saw, which it wrote last.
 */
export function clientAddress(address: string, trusted: boolean, fields: FieldBlock): string {
  const told = trusted ? lastValue(fields, Field.xForwardedFor) : undefined
  if (told === undefined) return address
  const last = told.slice(told.lastIndexOf(',') + 1).trim()
  return parseAddress(last, groups) === 0 ? address : formatAddress(groups)
}

interface Told {
  forChain: string
  forwarded: string
  proto: string | undefined
  host: string | undefined
  realIp: string | undefined
}

const nothingTold: Told = { forChain: '', forwarded: '', proto: undefined, host: undefined, realIp: undefined }

/** What a trusted hop says of the hops before it. A value that has not the form it must have counts as not said. */
function toldBefore(fields: FieldBlock): Told {
  const proto = lastValue(fields, Field.xForwardedProto)?.toLowerCase()
  const host = lastValue(fields, Field.xForwardedHost)
  const realIp = lastValue(fields, Field.xRealIp)
  return {
    forChain: chain(fields, Field.xForwardedFor),
    forwarded: chain(fields, Field.forwarded),
    proto: proto === 'https' || proto === 'http' ? proto : undefined,
    host: host !== undefined && /^[\w.:[\]-]{1,255}$/.test(host) ? host : undefined,
    realIp: realIp !== undefined && parseAddress(realIp, groups) !== 0 ? formatAddress(groups) : undefined,
  }
}

/** All values of a field in one list, or nothing when that would be too long. */
function chain(fields: FieldBlock, code: number): string {
  let text = ''
  for (let i = fields.find(code); i >= 0; i = fields.find(code, i + 1)) text = appended(text, fields.value(i))
  return text.length <= chainCharsMax ? text : ''
}

/** The last value of a field: earlier ones may have come from further away. */
function lastValue(fields: FieldBlock, code: number): string | undefined {
  let value: string | undefined
  for (let i = fields.find(code); i >= 0; i = fields.find(code, i + 1)) value = fields.value(i)
  return value
}

function appended(list: string, member: string): string {
  return list === '' ? member : member === '' ? list : `${list}, ${member}`
}

const groups = new Uint16Array(8)

/** The address in its recommended form, mapped IPv4 as IPv4, without a zone; `unknown` for what is none. */
function plainAddress(address: string): string {
  return parseAddress(address, groups) === 0 ? 'unknown' : formatAddress(groups)
}

function node(address: string): string {
  return address.includes(':') ? `"[${address}]"` : address
}

/** A token as it is, everything else as a quoted string. */
function quoted(text: string): string {
  return /^[\w!#$%&'*+.^`|~-]+$/.test(text) ? text : `"${text.replace(/["\\]/g, '\\$&')}"`
}
