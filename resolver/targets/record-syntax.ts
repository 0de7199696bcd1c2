import { parseSiteCid } from './host-kind.ts'

/** Values of our own syntax found in TXT records, and what looked like an attempt at it. */
export interface ParsedRecords {
  /** Different valid values, in the order found; identical ones count once. */
  values: string[]
  /** Texts that are not of our syntax but look as if they were meant to be, with the fault. */
  nearMisses: { text: string; fault: string }[]
}

const hashPattern = /^[0-9a-f]{64}$/i
const ethereumPattern = /^0x[0-9a-f]{40}$/i
/** Base58 of 32 bytes (Solana). */
const solanaPattern = /^[1-9A-HJ-NP-Za-km-z]{43,44}$/

/** Reads `_control` records: an address, bare or as `owner=<address>`. Others' texts are ignored (they are none of ours). */
export function parseControl(texts: readonly string[]): ParsedRecords {
  return collect(texts, (text) => {
    const value = unquote(text).replace(/^owner\s*=\s*/i, '')
    if (ethereumPattern.test(value)) return { value: `0x${value.slice(2).toLowerCase()}` }
    if (solanaPattern.test(value)) return { value }
    if (/^(0x)?[0-9a-f]{30,}$/i.test(value))
      return { fault: `an address is 0x and 40 hex digits; these are ${hexDigits(value)}` }
    return /owner|^0x/i.test(text) ? { fault: 'this is no address' } : undefined
  })
}

/** Reads `_aleph-id` records: 64 hex digits, or `v=aleph1; vm=<64 hex>`. */
export function parseAlephId(texts: readonly string[]): ParsedRecords {
  return collect(texts, (text) => {
    const plain = unquote(text)
    const value = /^v=aleph1\s*;/i.test(plain) ? (/[;\s]vm=([^;\s]*)/i.exec(plain)?.[1] ?? '') : plain
    return readHash(value, plain)
  })
}

/** Reads one hash as ENS text or TXT value. */
export function readHash(value: string, shown = value): { value: string } | { fault: string } | undefined {
  if (hashPattern.test(value)) return { value: value.toLowerCase() }
  if (/^(0x)?[0-9a-f]{32,}$/i.test(value)) return { fault: `a hash has 64 hex digits; these are ${hexDigits(value)}` }
  return /aleph|vm=|^[0-9a-f]{8,}/i.test(shown) ? { fault: 'there is no hash of 64 hex digits in it' } : undefined
}

/** Reads `_dnslink` records: `dnslink=/ipfs/<cid>`, with an optional final slash. */
export function parseDnslink(texts: readonly string[]): ParsedRecords {
  return collect(texts, (text) => {
    const plain = unquote(text)
    const path = /^dnslink=(.*)$/.exec(plain)?.[1]
    if (path === undefined)
      return /ipfs|dnslink/i.test(plain) ? { fault: 'it must start with dnslink=/ipfs/' } : undefined
    const cid = /^\/ipfs\/([^/]+)\/?$/.exec(path)?.[1]
    const value = cid === undefined ? undefined : parseSiteCid(cid)
    return value === undefined ? { fault: 'it names no CID of the form dnslink=/ipfs/<cid>' } : { value }
  })
}

function collect(
  texts: readonly string[],
  read: (text: string) => { value: string } | { fault: string } | undefined,
): ParsedRecords {
  const values: string[] = []
  const nearMisses: { text: string; fault: string }[] = []
  for (const text of texts) {
    const result = read(text.trim())
    if (result && 'fault' in result) nearMisses.push({ text: shorten(text), fault: result.fault })
    if (result && 'value' in result && !values.includes(result.value)) values.push(result.value)
  }
  return { values, nearMisses }
}

/** Some DNS panels store the quotes that people type. */
function unquote(text: string): string {
  return text.replace(/^"(.*)"$/, '$1').trim()
}

function hexDigits(value: string): number {
  return value.replace(/^0x/i, '').length
}

const shownCharsMax = 100

/** A record's text as it is shown to people: bounded, since anyone may write anything there. */
export function shorten(text: string): string {
  return text.length > shownCharsMax ? `${text.slice(0, shownCharsMax)}...` : text
}
