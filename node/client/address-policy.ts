import { lookup } from 'node:dns/promises'
import { BlockList, isIP } from 'node:net'

// Ranges that a name on the network must not lead to: they mean this machine, its neighbours, or nobody.
// The last line of IPv6 ranges carries IPv4 addresses inside (mapped, NAT64, 6to4, Teredo).
// One list per family: a list that refuses ::ffff:0:0/96 refuses every IPv4 address too.
const refused = { ipv4: new BlockList(), ipv6: new BlockList() }
const ranges = {
  ipv4: `0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24
    192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4`,
  ipv6: `100::/64 2001:db8::/32 fc00::/7 fe80::/10 ff00::/8
    ::/96 ::ffff:0:0/96 64:ff9b::/96 64:ff9b:1::/48 2002::/16 2001::/32`,
} as const
for (const family of ['ipv4', 'ipv6'] as const) {
  for (const range of ranges[family].split(/\s+/)) {
    const [network = '', bits = ''] = range.split('/')
    refused[family].addSubnet(network, Number(bits), family)
  }
}

/** Looks a host name up. Given for tests; the default asks the system. */
export type HostLookup = (name: string) => Promise<string[]>
const systemLookup: HostLookup = async (name) => (await lookup(name, { all: true })).map(({ address }) => address)

/** Whether an address is one that anyone on the internet may reach. */
export function isPublicAddress(address: string): boolean {
  const version = isIP(address)
  const family = version === 6 ? 'ipv6' : 'ipv4'
  return version !== 0 && !refused[family].check(address, family)
}

/**
 * Turns the address that a host registered into an origin to connect to, or undefined when it must not be used: no http(s)
 * URL, with credentials, or leading to a private address.
 */
export async function vetOrigin(
  text: string,
  allowPrivate: boolean,
  find: HostLookup = systemLookup,
): Promise<string | undefined> {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (!url || !['http:', 'https:'].includes(url.protocol) || url.username !== '' || url.password !== '')
    return undefined
  if (allowPrivate) return url.origin
  const host = url.hostname.replace(/^\[|\]$/g, '')
  if (isIP(host)) return isPublicAddress(host) ? url.origin : undefined
  const addresses = await find(host).catch(() => [])
  return addresses.length > 0 && addresses.every(isPublicAddress) ? url.origin : undefined
}
