import type { FieldBlock } from '../http1/field-block.ts'
import { dropToClient, Field } from '../http1/known-fields.ts'

/**
 * Marks what of an answer's fields may not reach the client: those of the connection, and `Alt-Svc`, which would send the client past the
 * gateway.
 * @param sharedZone - set when the site shares a zone with others: cookies for the whole zone are dropped, they would reach its neighbours
 */
export function applyAnswerPolicy(fields: FieldBlock, sharedZone: string | undefined): void {
  fields.dropBy(dropToClient)
  if (sharedZone === undefined) return
  for (let i = fields.find(Field.setCookie); i >= 0; i = fields.find(Field.setCookie, i + 1))
    if (coversZone(fields.value(i), sharedZone)) fields.dropped[i] = 1
}

function coversZone(cookie: string, zone: string): boolean {
  const domain = /;\s*domain\s*=\s*"?\.?([^;"\s]*)/i.exec(cookie)?.[1]?.toLowerCase()
  return domain !== undefined && (domain === zone || zone.endsWith(`.${domain}`))
}
