import type { Clock } from '../../core/clock.ts'
import { blockOf, type FieldBlock } from './field-block.ts'
import { Field } from './known-fields.ts'

let second = -1
let made: FieldBlock | undefined
let madeBy: Clock | undefined

/** The Date field of now, made once a second. It stays valid for the length of the call. */
export function dateBlock(clock: Clock): FieldBlock {
  const nowMs = clock.nowMs()
  const now = Math.floor(nowMs / 1_000)
  if (made === undefined || now !== second || clock !== madeBy) {
    made = blockOf(['Date', new Date(nowMs).toUTCString()])
    second = now
    madeBy = clock
  }
  return made
}

/**
 * Whether an answer says when it was made. To one that does not, whoever sends it adds a Date: for a host's answer the time it came, for our
 * own the time we made it.
 * @see RFC 9110 §6.6.1
 */
export function hasDate(fields: FieldBlock, extra: readonly FieldBlock[]): boolean {
  const index = fields.find(Field.date)
  if (index >= 0 && fields.dropped[index] === 0) return true
  for (let i = 0; i < extra.length; i++) if ((extra[i] as FieldBlock).find(Field.date) >= 0) return true
  return false
}
