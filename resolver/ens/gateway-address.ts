import type { LookupAddress } from 'node:dns'
import { lookup } from 'node:dns/promises'
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { BlockList, isIP } from 'node:net'

export interface GatewayLimits {
  timeoutMs: number
  bodyBytesMax: number
  signal: AbortSignal
}

/** A gateway whose address has been checked. Requests go to that address and to no other. */
export interface VettedGateway {
  request(options: GatewayRequest): Promise<{ status: number; text: string }>
}

interface GatewayRequest {
  method: 'GET' | 'POST'
  headers?: Record<string, string>
  body?: string
}

/**
 * Checks where a gateway URL leads, and pins it. Its host is resolved once; an address of a private or special network is refused,
 * in every notation (v4-mapped, NAT64, 6to4, Teredo). Connecting to the checked address leaves no second look-up to lie to.
 * @throws Error that says what is wrong with the URL
 */
export async function vetGateway(url: string, allowInsecure: boolean, limits: GatewayLimits): Promise<VettedGateway> {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (!parsed) throw new Error('its URL is malformed')
  if (parsed.protocol !== 'https:' && !(allowInsecure && parsed.protocol === 'http:'))
    throw new Error('its URL is not https')
  if (parsed.username !== '' || parsed.password !== '') throw new Error('its URL holds a password')
  if (!allowInsecure && parsed.port !== '') throw new Error('its URL has an odd port')
  const address = await pickAddress(parsed.hostname.replace(/^\[|\]$/g, ''), allowInsecure)
  return { request: (options) => send(parsed, address, options, limits) }
}

async function pickAddress(host: string, allowInsecure: boolean): Promise<LookupAddress> {
  const family = isIP(host)
  const addresses = family ? [{ address: host, family }] : await lookup(host, { all: true })
  const first = addresses[0]
  if (!first) throw new Error('its host has no address')
  // One private address among several is enough to refuse: the next look-up might pick that one.
  if (!allowInsecure && addresses.some(({ address }) => !isPublicAddress(address))) {
    throw new Error('its host has an address of a private or special network')
  }
  return first
}

const special = new BlockList()
for (const [network, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
] as const) {
  special.addSubnet(network, prefix, 'ipv4')
}

const publicV6 = new BlockList()
publicV6.addSubnet('2000::', 3, 'ipv6')
const specialV6 = new BlockList()
for (const [network, prefix] of [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
] as const) {
  specialV6.addSubnet(network, prefix, 'ipv6')
}

/** Whether an address belongs to the public internet. IPv6: only global unicast, so v4-mapped, NAT64 and ULA fall out by themselves. */
export function isPublicAddress(address: string): boolean {
  const family = isIP(address)
  if (family === 4) return !special.check(address, 'ipv4')
  return family === 6 && publicV6.check(address, 'ipv6') && !specialV6.check(address, 'ipv6')
}

function send(
  url: URL,
  pinned: LookupAddress,
  options: GatewayRequest,
  limits: GatewayLimits,
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.any([limits.signal, AbortSignal.timeout(limits.timeoutMs)])
    const pin = (_host: string, asked: { all?: boolean }, done: (...answer: unknown[]) => void): void =>
      asked.all ? done(null, [pinned]) : done(null, pinned.address, pinned.family)
    const start = url.protocol === 'https:' ? httpsRequest : httpRequest
    // No agent: a kept connection would outlive the check of its address.
    const request: ClientRequest = start(url, { ...options, agent: false, lookup: pin as never, signal })
    request.on('error', () => reject(new Error(signal.aborted ? 'it did not answer in time' : 'it cannot be reached')))
    request.on('response', (response) => readBody(response, limits.bodyBytesMax).then(resolve, reject))
    request.end(options.body)
  })
}

async function readBody(response: IncomingMessage, bytesMax: number): Promise<{ status: number; text: string }> {
  const chunks: Buffer[] = []
  let size = 0
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      size += chunk.length
      if (size > bytesMax) throw new RangeError(`its answer is larger than ${bytesMax} bytes`)
      chunks.push(chunk)
    }
  } catch (error) {
    throw error instanceof RangeError ? error : new Error('its answer ended early or late')
  } finally {
    response.destroy()
  }
  return { status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') }
}
