import { contentFields } from '../content-fields.ts'
import { PermissionDeniedError } from '../errors.ts'

/** What is to be done, as far as permissions ask: the type and the members that filters look at. */
export interface Act {
  type: string
  content: Readonly<Record<string, unknown>>
  channel: string | null
}

/**
 * Checks that `sender` may act for `owner` (protocol 2.10): as the owner, or by an entry of the owner's `security` aggregate.
 * @param security - content of that aggregate, undefined when there is none; hostile
 * @throws PermissionDeniedError
 */
export function verifyPermission(sender: string, chain: string, owner: string, act: Act, security: unknown): void {
  if (sender.toLowerCase() === owner.toLowerCase()) return
  const entries = asList((security as { authorizations?: unknown } | undefined)?.authorizations)
  if (entries.some((entry) => grants(entry, sender, chain, act))) return
  throw new PermissionDeniedError(`The sender ${sender} may not publish this ${act.type} for ${owner}.`, {
    hint: 'The owner can allow it with an entry in the aggregate "security".',
  })
}

function grants(entry: unknown, sender: string, chain: string, act: Act): boolean {
  if (typeof entry !== 'object' || entry === null) return false
  const rule = entry as Record<string, unknown>
  if (typeof rule.address !== 'string' || rule.address.toLowerCase() !== sender.toLowerCase()) return false
  if (typeof rule.chain === 'string' && rule.chain !== chain) return false
  const { type, key } = contentFields(act.content)
  return (
    passes(rule.types, act.type) &&
    passes(rule.channels, act.channel) &&
    (act.type !== 'POST' || passes(rule.post_types, type)) &&
    (act.type !== 'AGGREGATE' || passes(rule.aggregate_keys, key))
  )
}

/** An absent or empty list does not limit; a list of another shape grants nothing. */
function passes(list: unknown, value: string | null | undefined): boolean {
  if (list === undefined || list === null) return true
  if (!Array.isArray(list)) return false
  return list.length === 0 || list.includes(value)
}

function asList(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}
