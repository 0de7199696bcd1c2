import { createHash } from 'node:crypto'
import { isIP } from 'node:net'
import { NameInvalidError } from '../errors.ts'

const label = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/

/**
 * The form of a name that orders, keys and lookups use: lower case, no final dot.
 * @throws NameInvalidError for anything that is not a DNS name of two labels or more (a wildcard only where allowed)
 */
export function parseName(name: string, options: { wildcard?: boolean } = {}): string {
  const lower = name.toLowerCase().replace(/\.$/, '')
  const base = options.wildcard && lower.startsWith('*.') ? lower.slice(2) : lower
  const labels = base.split('.')
  if (lower.length > 253 || labels.length < 2 || isIP(base) !== 0 || !labels.every((part) => label.test(part)))
    throw new NameInvalidError(name)
  return lower
}

/** The set of names of one certificate: sorted, each once. At most `namesMax`. @throws NameInvalidError */
export function parseNameSet(names: readonly string[]): string[] {
  const set = [...new Set(names.map((name) => parseName(name, { wildcard: true })))].sort()
  if (set.length === 0 || set.length > namesMax) throw new NameInvalidError(`${set.length} names`)
  return set
}

// The smallest limit among the profiles of Let's Encrypt.
const namesMax = 25

/** The key segment that stands for a set of names: readable, and distinct by a hash of the whole set. */
export function setIdOf(names: readonly string[]): string {
  const readable = (names[0] as string).replace(/^\*\./, 'wildcard.').slice(0, 100)
  const digest = createHash('sha256').update(names.join(',')).digest('hex')
  return `${readable}_${digest.slice(0, 16)}`
}

/** Whether a certificate for `pattern` serves `name`: equal, or a wildcard over exactly the first label (RFC 6125 §6.4.3). */
export function isCovered(name: string, pattern: string): boolean {
  return name === pattern || wildcardOf(name) === pattern
}

/** The wildcard that would cover `name`: `*.` in place of its first label. */
export function wildcardOf(name: string): string {
  return `*${name.slice(name.indexOf('.'))}`
}

/**
 * The registered domain, approximated by the last two labels. Too wide under public suffixes like `co.uk` (they share one
 * budget), which errs on the safe side.
 */
export function registeredDomainOf(name: string): string {
  return name.split('.').slice(-2).join('.')
}
