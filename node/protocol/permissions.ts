/** What is to be done, as far as permissions ask. */
export interface Act {
  type: string
  /** `content.type` of a POST. */
  postType?: string | undefined
  aggregateKey?: string | undefined
  channel: string | null
}

/** Tells whether two texts name one account. Letters may differ in case, as in the check sum of an Ethereum address. */
export function isSameAddress(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase()
}

/**
 * Tells whether `sender` may act for `owner` (protocol 2.10): as the owner, or by an entry of the owner's `security` aggregate.
 * Every part of the program that honours delegation must ask this function.
 * @param security - content of that aggregate, undefined when there is none; hostile
 */
export function isPermitted(sender: string, chain: string, owner: string, act: Act, security: unknown): boolean {
  if (isSameAddress(sender, owner)) return true
  const entries = (security as { authorizations?: unknown } | null | undefined)?.authorizations
  return Array.isArray(entries) && entries.some((entry) => grants(entry, sender, chain, act))
}

function grants(entry: unknown, sender: string, chain: string, act: Act): boolean {
  if (typeof entry !== 'object' || entry === null) return false
  const rule = entry as Record<string, unknown>
  if (typeof rule.address !== 'string' || !isSameAddress(rule.address, sender)) return false
  if (typeof rule.chain === 'string' && rule.chain !== chain) return false
  return (
    passes(rule.types, act.type) &&
    passes(rule.channels, act.channel) &&
    (act.type !== 'POST' || passes(rule.post_types, act.postType)) &&
    (act.type !== 'AGGREGATE' || passes(rule.aggregate_keys, act.aggregateKey))
  )
}

/** An absent or empty list does not limit; a list of another shape grants nothing. */
function passes(list: unknown, value: string | null | undefined): boolean {
  if (list === undefined || list === null) return true
  if (!Array.isArray(list)) return false
  return list.length === 0 || list.includes(value)
}
