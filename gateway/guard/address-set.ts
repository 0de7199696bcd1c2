import { formatAddress, parseAddress } from './ip-address.ts'

/** An address range: the first `bits` of `groups`, counted in the IPv6 form, so an IPv4 /8 has 104. */
export interface AddressRange {
  readonly groups: Uint16Array
  readonly bits: number
}

/** Answers kept by one set, so that a busy peer is looked up once. About 100 bytes each; all are forgotten when the table is full. */
const rememberedMax = 1_024

const scratch = new Uint16Array(8)

/**
 * Reads `10.0.0.0/8`, `2001:db8::/32` or a single address. IPv4-mapped ranges are IPv4 ranges; ranges of IPv6 never hold IPv4 addresses.
 * @returns undefined when it is none of these, or when bits beyond the prefix are set: `10.0.0.1/8` may mean one address or sixteen million
 */
export function parseRange(text: string): AddressRange | undefined {
  const slash = text.indexOf('/')
  const address = slash < 0 ? text : text.slice(0, slash)
  const groups = new Uint16Array(8)
  const kind = address.includes('%') ? 0 : parseAddress(address, groups)
  if (kind === 0) return undefined
  if (slash < 0) return { groups, bits: 128 }
  const written = text.slice(slash + 1)
  if (!/^(0|[1-9]\d{0,2})$/.test(written)) return undefined
  const bits = Number(written) + (address.includes(':') ? 0 : 96)
  // A range above ::ffff:0:0/96 would hold all of IPv4 beside IPv6, which nobody means.
  if (bits > 128 || (kind === 4 && bits < 96)) return undefined
  return hasBitsBeyond(groups, bits) ? undefined : { groups, bits }
}

/** A set of addresses and ranges. Never changes: a new configuration makes a new set. */
export class AddressSet {
  /** Prefix lengths that occur, each with the keys of its ranges: a look-up costs one step per length, however many ranges there are. */
  readonly #byBits: { bits: number; keys: Set<string> }[] = []
  readonly #remembered = new Map<string, boolean>()

  constructor(ranges: readonly AddressRange[]) {
    for (const { groups, bits } of ranges) {
      let level = this.#byBits.find((candidate) => candidate.bits === bits)
      if (!level) {
        level = { bits, keys: new Set() }
        this.#byBits.push(level)
      }
      level.keys.add(maskedKey(groups, bits))
    }
  }

  /** @throws TypeError naming the text that is no address and no range */
  static parse(texts: readonly string[]): AddressSet {
    return new AddressSet(
      texts.map((text) => {
        const range = parseRange(text)
        if (!range) throw new TypeError(`"${text}" is neither an address nor a range such as 10.0.0.0/8.`)
        return range
      }),
    )
  }

  /** Whether the set is empty: then nobody needs to ask for an address at all. */
  get isEmpty(): boolean {
    return this.#byBits.length === 0
  }

  /** Whether the address, as text, is in the set. What is no address is in no set. */
  has(address: string): boolean {
    if (this.#byBits.length === 0) return false
    const known = this.#remembered.get(address)
    if (known !== undefined) return known
    const found = this.#look(address)
    if (this.#remembered.size >= rememberedMax) this.#remembered.clear()
    this.#remembered.set(address, found)
    return found
  }

  #look(address: string): boolean {
    const kind = parseAddress(address, scratch)
    if (kind === 0) return false
    for (const { bits, keys } of this.#byBits) {
      // IPv4 stands inside ::/0 as numbers go, but a range of IPv6 is not meant to hold it.
      if (kind === 4 && bits < 96) continue
      if (keys.has(maskedKey(scratch, bits))) return true
    }
    return false
  }
}

/**
 * The key under which a client is counted: the whole address for IPv4, the /64 for IPv6, since a single subscriber has at least that.
 * IPv4-mapped addresses count as IPv4. What is no address is its own key.
 * @see RFC 6177 §2 (a site gets at least a /64)
 */
export function addressKey(address: string): string {
  // Text from a socket is canonical, so IPv4 needs no look at all.
  if (address.indexOf(':') < 0) return address
  const kind = parseAddress(address, scratch)
  if (kind === 0) return address
  if (kind === 4) return formatAddress(scratch)
  const [a, b, c, d] = scratch as unknown as [number, number, number, number]
  return `${a.toString(16)}:${b.toString(16)}:${c.toString(16)}:${d.toString(16)}`
}

function hasBitsBeyond(groups: Uint16Array, bits: number): boolean {
  for (let i = 0; i < 8; i++) if (((groups[i] as number) & ~groupMask(i, bits) & 0xffff) !== 0) return true
  return false
}

/** The bits of group `i` that belong to a prefix of `bits`. */
function groupMask(i: number, bits: number): number {
  const inGroup = Math.min(16, Math.max(0, bits - i * 16))
  return (0xffff << (16 - inGroup)) & 0xffff
}

/** One character per group: short, unique, and made only when an address is looked up for the first time. */
function maskedKey(groups: Uint16Array, bits: number): string {
  let key = ''
  for (let i = 0; i < 8 && i * 16 < bits; i++) key += String.fromCharCode((groups[i] as number) & groupMask(i, bits))
  return key
}
