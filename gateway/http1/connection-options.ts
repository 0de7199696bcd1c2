import { SP, TAB, tokenLower } from './bytes.ts'
import type { FieldBlock } from './field-block.ts'
import { Field } from './known-fields.ts'
import { equalsLower } from './scan-fields.ts'

/** What the Connection fields of a message say. */
export const Option = { close: 1, keepAlive: 2, upgrade: 4, other: 8, malformed: 16 } as const

const close = Buffer.from('close')
const keepAlive = Buffer.from('keep-alive')
const upgrade = Buffer.from('upgrade')
const te = Buffer.from('te')
const http2Settings = Buffer.from('http2-settings')

/**
 * Reads one Connection field: a set of `Option` bits. `other` means that it names fields, which `dropNominated` then takes out.
 * @see RFC 9110 §7.6.1
 */
export function readConnection(bytes: Uint8Array, start: number, end: number): number {
  let found = 0
  let at = start
  while (at < end) {
    while (at < end && isSeparator(bytes[at] as number)) at++
    const tokenStart = at
    while (at < end && tokenLower[bytes[at] as number] !== 0) at++
    if (at > tokenStart) found |= optionAt(bytes, tokenStart, at)
    if (at < end && !isSeparator(bytes[at] as number)) return Option.malformed
  }
  return found
}

function isSeparator(byte: number): boolean {
  return byte === SP || byte === TAB || byte === 0x2c
}

function optionAt(bytes: Uint8Array, start: number, end: number): number {
  if (equalsLower(bytes, start, end, keepAlive)) return Option.keepAlive
  if (equalsLower(bytes, start, end, close)) return Option.close
  if (equalsLower(bytes, start, end, upgrade)) return Option.upgrade
  // Fields that never pass anyway.
  if (equalsLower(bytes, start, end, te) || equalsLower(bytes, start, end, http2Settings)) return 0
  return Option.other
}

/** Drops every field that a Connection field of the block names. Off the hot path: only where `Option.other` was found. */
export function dropNominated(fields: FieldBlock): void {
  for (let i = fields.find(Field.connection); i >= 0; i = fields.find(Field.connection, i + 1)) {
    for (const name of fields.value(i).split(',')) {
      const lower = name.trim().toLowerCase()
      if (lower !== '') fields.dropNominated(lower)
    }
  }
}
