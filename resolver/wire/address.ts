import { isIPv4, isIPv6 } from 'node:net'

/** Text of an IPv4 or IPv6 address to its 4 or 16 bytes, or undefined when it is neither or has a zone id. */
export function addressToBytes(text: string): Buffer | undefined {
  if (isIPv4(text)) return Buffer.from(text.split('.').map(Number))
  if (!isIPv6(text) || text.includes('%')) return undefined
  const [head = '', tail] = expandDotted(text).split('::')
  const left = words(head)
  const right = tail === undefined ? [] : words(tail)
  const gap = new Array<number>(8 - left.length - right.length).fill(0)
  const out = Buffer.alloc(16)
  for (const [index, word] of [...left, ...gap, ...right].entries()) out.writeUInt16BE(word, index * 2)
  return out
}

function words(part: string): number[] {
  return part === '' ? [] : part.split(':').map((word) => Number.parseInt(word, 16))
}

function expandDotted(text: string): string {
  const at = text.lastIndexOf(':') + 1
  if (!text.includes('.', at)) return text
  const [a = 0, b = 0, c = 0, d = 0] = text.slice(at).split('.').map(Number)
  return `${text.slice(0, at)}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`
}

/** 4 or 16 bytes to text; IPv6 in the one canonical form of RFC 5952 (without the dotted special cases). */
export function bytesToAddress(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.')
  const parts = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i] as number) << 8) | (bytes[2 * i + 1] as number))
  const run = longestZeroRun(parts)
  const hex = (from: number, to: number): string =>
    parts
      .slice(from, to)
      .map((part) => part.toString(16))
      .join(':')
  return run.size < 2 ? hex(0, 8) : `${hex(0, run.start)}::${hex(run.start + run.size, 8)}`
}

function longestZeroRun(parts: readonly number[]): { start: number; size: number } {
  let best = { start: 0, size: 0 }
  for (let start = 0; start < parts.length; start++) {
    let size = 0
    while (parts[start + size] === 0) size++
    if (size > best.size) best = { start, size }
  }
  return best
}
