import { describeConfig } from '../../core/config.ts'
import { z } from '../../core/schema.ts'
import { parseRange } from './address-set.ts'
import { parseHost } from './host-name.ts'

const count = (value: number, text: string) => z.number().int().min(1).max(10_000_000).default(value).describe(text)
/** 0 switches the limit off. */
const rate = (value: number, text: string) => z.number().int().min(0).max(100_000_000_000).default(value).describe(text)
const memoryBytes = (text: string) => z.number().int().min(0).max(1_099_511_627_776).default(0).describe(text)

/** What one client address may do. Each worker counts for itself. */
export const clientsConfigSchema = z.object({
  connectionsPerAddressMax: count(
    256,
    'Open connections of one client address (IPv6: of one /64), for each worker. Room for an office behind one address; beyond it new ones are closed.',
  ),
  handshakesPerSecond: rate(
    100,
    'New connections per second of one address, for each worker; 0 for no limit. A full handshake costs about a millisecond, so one address may take a tenth of a core.',
  ),
  handshakesBurst: count(400, 'New connections that one address may open at once before handshakesPerSecond holds.'),
  requestsPerSecond: rate(
    1_000,
    'Requests per second of one address, for each worker; 0 for no limit. Beyond it 429 with Retry-After. Also a tenth of what a core can do, roughly.',
  ),
  requestsBurst: count(2_000, 'Requests that one address may send at once before requestsPerSecond holds.'),
  tableMax: z
    .number()
    .int()
    .min(1)
    .max(4_000_000)
    .default(65_536)
    .describe(
      'Client addresses kept apart, about 150 bytes each. When all of them are active, new ones share one allowance.',
    ),
})

/** Whose word on the client is believed. */
export const trustConfigSchema = z.object({
  addresses: z
    .array(
      z.string().refine((text) => parseRange(text) !== undefined, 'must be an address or a range such as 10.0.0.0/8'),
    )
    .max(1_000)
    .default([])
    .describe(
      'Addresses and ranges of the proxies before this gateway. Only from them a PROXY header, X-Forwarded-*, Forwarded and X-Real-IP are believed; they are not counted as clients. None by default: anybody can write these.',
    ),
  proxyProtocol: z
    .enum(['off', 'optional', 'required'])
    .default('off')
    .describe(
      'PROXY header (version 1 or 2) at the start of connections from trust.addresses: not looked for, taken where there is one, or demanded. Never looked for from anybody else.',
    ),
})

/** When memory counts as short. */
export const memoryConfigSchema = z
  .object({
    softBytes: memoryBytes(
      'Memory of one worker from which new requests get 503 and idle connections are closed; what is under way goes on. 0: 60 % of the worker’s part of the machine (or control group).',
    ),
    hardBytes: memoryBytes(
      'Memory of one worker from which new connections are refused as well. 0: 75 % of the worker’s part; the kernel needs the rest for socket buffers.',
    ),
  })
  .refine(
    ({ softBytes, hardBytes }) => hardBytes === 0 || softBytes <= hardBytes,
    'softBytes must not exceed hardBytes',
  )

/** How answers are compressed. Whether they are is said for each site. */
export const compressionConfigSchema = z.object({
  enabled: z.boolean().default(true).describe('Compress answers at all, with zstd, br or gzip as the client accepts.'),
  minBytes: count(1_400, 'Smaller bodies are left alone, bytes: they fit one packet anyway.'),
  zstdLevel: z.number().int().min(1).max(19).default(3).describe('Effort of zstd, 1 to 19.'),
  brotliQuality: z
    .number()
    .int()
    .min(0)
    .max(11)
    .default(4)
    .describe('Effort of Brotli, 0 to 11; above 5 the time grows many times over.'),
  gzipLevel: z.number().int().min(1).max(9).default(6).describe('Effort of gzip, 1 to 9.'),
  concurrentMax: count(
    64,
    'Answers compressed at the same time by one worker, up to 2 MiB each; beyond it they are sent as they are.',
  ),
})

/** What may be said for one site. Every key has a default, so a site names only what it wants otherwise. */
export const siteOptionsSchema = z.strictObject({
  tellClient: z
    .boolean()
    .default(false)
    .describe(
      'Tell the hosts who asks, by X-Forwarded-For, -Proto, -Host, Forwarded and X-Real-IP. Hosts are strangers, so not by default.',
    ),
  affinity: z
    .enum(['off', 'address'])
    .default('off')
    .describe('Send a client address to the same host while that host is fine.'),
  hedge: z
    .boolean()
    .default(false)
    .describe(
      'Send a GET to a second host when the first is slower than 95 % of answers are. Costs up to a twentieth more work.',
    ),
  compress: z
    .enum(['off', 'public', 'all'])
    .default('public')
    .describe(
      'Answers that are compressed: none, those that are the same for everybody, or all that gain. With "all", a page that repeats input beside a secret gives the secret away by its length (BREACH).',
    ),
  probePath: z
    .string()
    .regex(/^\/[\x21\x22\x24-\x7e]{0,255}$/)
    .optional()
    .describe(
      'Path on the site that tells whether a host serves it well (2xx). Absent: hosts are asked whether they serve at all.',
    ),
  requestsPerSecond: rate(0, 'Requests per second for the site, for each worker; 0 for no limit. Beyond it 429.'),
  bytesPerSecond: rate(
    0,
    'Bytes per second to the clients of the site, for each worker; 0 for no limit. Beyond it answers slow down.',
  ),
  clientCertificates: z
    .string()
    .min(1)
    .optional()
    .describe('PEM file of the authorities whose client certificates are demanded (mTLS); absent: none are asked for.'),
  proxyProtocolOut: z
    .enum(['off', 'v1', 'v2'])
    .default('off')
    .describe(
      'Begin connections to the hosts with a PROXY header that tells the client. Such a connection serves one client only.',
    ),
  webSocketIdleMs: z
    .number()
    .int()
    .min(1_000)
    .max(86_400_000)
    .default(600_000)
    .describe('A WebSocket that is silent this long is closed, milliseconds.'),
  webSocketBytesMax: z
    .number()
    .int()
    .min(0)
    .max(1_099_511_627_776)
    .default(0)
    .describe(
      'Bytes that one WebSocket may carry, both ways together; 0 for no limit, since they are passed on and never kept.',
    ),
})

/** What is said for one site, with all defaults filled in. Frozen. */
export type SiteOptions = Readonly<z.output<typeof siteOptionsSchema>>

/** A key of `sites`: a host name, `*.` before a name for all names under it, or `*` for every site. */
const sitePattern = z.string().refine(isSitePattern, 'must be a host name in lower case, "*.name" or "*"')

/** The site options by pattern. */
export const sitesConfigSchema = z
  .record(sitePattern, siteOptionsSchema)
  .default({})
  .describe(
    `Options of single sites by host name, of all names under a name ("*.name"), or of all sites ("*"); the most exact key counts alone. Options with defaults: ${describeConfig(
      siteOptionsSchema,
    )
      .map(({ key, default: value }) => `${key} (${value === undefined ? 'none' : JSON.stringify(value)})`)
      .join(', ')}. See docs/guides/tuning.md.`,
  )

function isSitePattern(text: string): boolean {
  if (text === '*') return true
  const name = text.startsWith('*.') ? text.slice(2) : text
  const host = parseHost(name)
  return host?.kind === 'name' && host.name === name
}
