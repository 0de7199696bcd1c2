import type { Clock } from '../../core/clock.ts'
import { blockOf, type FieldBlock } from '../http1/field-block.ts'
import { Field } from '../http1/known-fields.ts'

const none: readonly FieldBlock[] = []

/**
 * Gives an answer the Date it lacks: whoever passes on an answer without one adds when it came (RFC 9110 §6.6.1). The text is made once a
 * second.
 */
export function dateSource(clock: Clock): (fields: FieldBlock) => readonly FieldBlock[] {
  let second = -1
  let date: readonly FieldBlock[] = none
  return (fields) => {
    if (fields.find(Field.date) >= 0) return none
    const nowMs = clock.nowMs()
    const now = Math.floor(nowMs / 1_000)
    if (now !== second) {
      second = now
      // Blocks handed out before may still be in use within this turn; they are left to the collector.
      date = [blockOf(['Date', new Date(nowMs).toUTCString()])]
    }
    return date
  }
}
