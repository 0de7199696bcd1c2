/** Which kind of address `parseAddress` found; 0 for none. */
export type AddressKind = 0 | 4 | 6

/**
 * Reads the text of an IP address into eight groups of 16 bits. IPv4, and IPv6 that maps IPv4 (`::ffff:1.2.3.4`), are the same: both end
 * up in the mapped form and count as kind 4. A zone (`%eth0`) is ignored: it names an interface of one machine.
 *
 * @param out - at least eight entries; undefined content when the text is no address
 * @returns 4, 6, or 0 when the text is no address. Octets with leading zeros are none: some read them as octal
 * @see RFC 4291 §2.2 (text form), §2.5.5.2 (mapped)
 */
export function parseAddress(text: string, out: Uint16Array): AddressKind {
  if (text.indexOf(':') < 0) {
    out.fill(0, 0, 5)
    out[5] = 0xffff
    return parseOctets(text, 0, text.length, out, 6) ? 4 : 0
  }
  const zone = text.indexOf('%')
  if (!parseGroups(text, zone < 0 ? text.length : zone, out)) return 0
  return isMapped(out) ? 4 : 6
}

/** Whether eight groups hold an IPv4 address in its mapped form. */
export function isMapped(groups: Uint16Array): boolean {
  return ((groups[0] as number) | (groups[1] as number) | (groups[2] as number)) === 0 && isMappedTail(groups)
}

function isMappedTail(groups: Uint16Array): boolean {
  return ((groups[3] as number) | (groups[4] as number)) === 0 && groups[5] === 0xffff
}

/** The text of eight groups, in the recommended form: lower case, the longest run of zeros shortened; mapped addresses as plain IPv4. @see RFC 5952 */
export function formatAddress(groups: Uint16Array): string {
  if (isMapped(groups)) {
    const [high, low] = [groups[6] as number, groups[7] as number]
    return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`
  }
  const [start, end] = longestZeros(groups)
  let text = ''
  for (let i = 0; i < 8; i++) {
    if (i === start) {
      text += '::'
      i = end - 1
    } else text += (text === '' || text.endsWith(':') ? '' : ':') + (groups[i] as number).toString(16)
  }
  return text
}

/** The longest run of at least two zero groups, the first among equals; `[-1, -1]` for none. */
function longestZeros(groups: Uint16Array): [number, number] {
  let [start, end] = [-1, -1]
  for (let i = 0; i < 8; i++) {
    let j = i
    while (j < 8 && groups[j] === 0) j++
    if (j - i >= 2 && j - i > end - start) [start, end] = [i, j]
    i = Math.max(i, j)
  }
  return [start, end]
}

const colon = 0x3a
const dot = 0x2e

/** Four decimal octets in `[start, end)` into two groups. */
function parseOctets(text: string, start: number, end: number, out: Uint16Array, group: number): boolean {
  let octets = 0
  let value = 0
  let digits = 0
  for (let i = start; i <= end; i++) {
    const code = i < end ? text.charCodeAt(i) : dot
    if (code === dot) {
      if (digits === 0 || octets === 4) return false
      const index = group + (octets >> 1)
      out[index] = octets % 2 === 0 ? value << 8 : (out[index] as number) | value
      octets++
      value = 0
      digits = 0
    } else {
      if (code < 0x30 || code > 0x39 || (digits > 0 && value === 0)) return false
      value = value * 10 + code - 0x30
      digits++
      if (value > 255) return false
    }
  }
  return octets === 4
}

/** Groups of an IPv6 text in `[0, end)`, with at most one `::`, and perhaps four octets at its end. */
function parseGroups(text: string, end: number, out: Uint16Array): boolean {
  let count = 0
  let gap = -1
  let at = 0
  if (text.charCodeAt(0) === colon) {
    if (text.charCodeAt(1) !== colon) return false
    gap = 0
    at = 2
  }
  while (at < end) {
    if (count === 8) return false
    const stop = groupEnd(text, at, end)
    if (stop < end && text.charCodeAt(stop) === dot) {
      if (count > 6 || !parseOctets(text, at, end, out, count)) return false
      count += 2
      break
    }
    const value = hexGroup(text, at, stop)
    if (value < 0) return false
    out[count++] = value
    at = stop
    if (at === end) break
    if (text.charCodeAt(at) !== colon) return false
    at++
    if (at < end && text.charCodeAt(at) === colon) {
      if (gap >= 0) return false
      gap = count
      at++
    } else if (at === end) return false
  }
  return gap < 0 ? count === 8 : count < 8 && spread(out, gap, count)
}

function groupEnd(text: string, at: number, end: number): number {
  while (at < end && text.charCodeAt(at) !== colon && text.charCodeAt(at) !== dot) at++
  return at
}

/** One to four hex digits, or -1. */
function hexGroup(text: string, start: number, end: number): number {
  if (end === start || end - start > 4) return -1
  let value = 0
  for (let i = start; i < end; i++) {
    const code = text.charCodeAt(i) | 0x20
    const digit = code >= 0x61 && code <= 0x66 ? code - 0x57 : text.charCodeAt(i) - 0x30
    if (digit < 0 || digit > 15 || (digit > 9 && code < 0x61)) return -1
    value = value * 16 + digit
  }
  return value
}

/** Moves the groups after the gap to the end and fills the gap with zeros. */
function spread(out: Uint16Array, gap: number, count: number): true {
  out.copyWithin(8 - (count - gap), gap, count)
  out.fill(0, gap, 8 - (count - gap))
  return true
}
