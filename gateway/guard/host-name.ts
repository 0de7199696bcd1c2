/** What a Host field names. `address` is an IP address: valid, but no site has one. */
export type HostName = { kind: 'name'; name: string } | { kind: 'address' }

const label = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/

/**
 * Parses the value of a Host field or the authority of a URL: `name`, `name:port`, `1.2.3.4`, `[::1]:8080`.
 *
 * @returns the name in lower case without port and final dot, or undefined when it is not a valid host
 * @see RFC 9110 §7.2, RFC 1123 §2.1 (letters, digits, hyphens; underscores are tolerated as in DNS), URL standard §3.5 (ends in a number)
 */
export function parseHost(value: string): HostName | undefined {
  const known = parsed.get(value)
  if (known) return known
  const host = parse(value)
  if (host?.kind === 'name') {
    if (parsed.size >= parsedMax) parsed.clear()
    parsed.set(value, host)
  }
  return host
}

/** Values seen lately: nearly every request repeats one, and parsing costs more than the rest of its head. At most 260 characters each. */
const parsed = new Map<string, HostName>()
const parsedMax = 4_096

function parse(value: string): HostName | undefined {
  const match = /^(\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,254})(?::(\d{0,5}))?$/i.exec(value)
  if (!match || Number(match[2] ?? 0) > 65_535) return undefined
  const host = (match[1] as string).toLowerCase()
  if (host.startsWith('[')) return { kind: 'address' }
  const name = host.endsWith('.') ? host.slice(0, -1) : host
  if (name.length > 253 || !name.split('.').every((part) => label.test(part))) return undefined
  // As the URL standard has it: what ends in a number is an IPv4 address, in one of its many forms (or a broken one). It also keeps names
  // that look like integers, whose hashes an attacker can choose, out of every table.
  if (/(^|\.)(\d+|0x[0-9a-f]*)$/.test(name)) return { kind: 'address' }
  return { kind: 'name', name }
}
