/**
 * The header fields that this gateway treats in some special way, and what becomes of each. Every scanned field carries the number of its
 * name, so that policy is a table look-up and no name is ever compared as text on the hot path.
 */

/** Left out on the way to the host. */
export const dropToHost = 1
/** Left out on the way to the client. */
export const dropToClient = 2
/** Never allowed in a trailer section (RFC 9110 §6.5.1): frames, routes, authenticates, or tells who asks. */
export const dropInTrailer = 4
/** Stays although a client names it in Connection: what keeps the request safe or framed must not be taken away. */
export const keepThoughNominated = 8

/** Belongs to one connection (RFC 9110 §7.6.1), or to the framing, which each side writes itself. */
const perHop = dropToHost | dropToClient | dropInTrailer
/** What a client, or a proxy before us, says of where it comes from; only a trusted hop may, and hosts learn it only where a site opts in. */
const aboutClient = dropToHost | dropInTrailer

const names = {
  host: dropToHost | dropInTrailer | keepThoughNominated,
  connection: perHop,
  'content-length': dropInTrailer | keepThoughNominated,
  'transfer-encoding': perHop,
  te: perHop,
  trailer: dropInTrailer,
  upgrade: perHop,
  expect: dropToHost | dropInTrailer,
  'keep-alive': perHop,
  'proxy-connection': perHop,
  'http2-settings': perHop,
  'proxy-authenticate': perHop,
  'proxy-authorization': perHop,
  'proxy-authentication-info': perHop,
  'cdn-loop': dropToHost | dropInTrailer | keepThoughNominated,
  via: dropToHost | dropInTrailer,
  'max-forwards': dropToHost | dropInTrailer,
  forwarded: aboutClient,
  'x-forwarded-for': aboutClient,
  'x-forwarded-proto': aboutClient,
  'x-forwarded-host': aboutClient,
  'x-real-ip': aboutClient,
  'x-request-id': aboutClient,
  'true-client-ip': aboutClient,
  'client-ip': aboutClient,
  'x-client-ip': aboutClient,
  'x-cluster-client-ip': aboutClient,
  'x-remote-ip': aboutClient,
  'x-remote-addr': aboutClient,
  'x-remote-user': aboutClient,
  'x-originating-ip': aboutClient,
  'x-original-forwarded-for': aboutClient,
  'x-original-host': aboutClient,
  'x-original-url': aboutClient,
  'x-rewrite-url': aboutClient,
  'x-host': aboutClient,
  'x-appengine-user-ip': aboutClient,
  'x-azure-clientip': aboutClient,
  'x-azure-socketip': aboutClient,
  'fastly-client-ip': aboutClient,
  'fly-client-ip': aboutClient,
  'x-proxyuser-ip': aboutClient,
  'alt-svc': dropToClient | dropInTrailer,
  'set-cookie': dropInTrailer,
  cookie: dropInTrailer | keepThoughNominated,
  authorization: dropInTrailer | keepThoughNominated,
  'content-type': dropInTrailer | keepThoughNominated,
  'content-encoding': dropInTrailer,
  'content-range': dropInTrailer,
  'cache-control': dropInTrailer,
  accept: 0,
  'accept-encoding': 0,
  range: 0,
  'if-range': 0,
  'if-none-match': 0,
  date: 0,
  server: 0,
  etag: 0,
  vary: 0,
  link: 0,
  'retry-after': 0,
  'sec-websocket-key': 0,
  'sec-websocket-version': 0,
  'sec-websocket-accept': 0,
  'sec-websocket-extensions': 0,
  'sec-websocket-protocol': 0,
} as const satisfies Record<string, number>

export type KnownName = keyof typeof names

/** Lower-case name of each code; code 0 is every other name. */
export const knownNames: readonly (KnownName | '')[] = ['', ...(Object.keys(names) as KnownName[])]

/** Code of every name that starts with one of `aboutClientPrefixes` and has none of its own. */
export const aboutClientCode = knownNames.length

/** What becomes of a field, by code: a set of the `drop` bits above. */
export const fieldRules: Uint8Array = Uint8Array.from([0, ...Object.values(names), aboutClient])

/** The code of a known name. */
export function codeOf(name: KnownName): number {
  return knownNames.indexOf(name)
}

const aboutClientPrefixes = ['x-forwarded', 'cf-', 'x-envoy-', 'x-amzn-', 'x-vercel-', 'x-goog-', 'x-ssl-'].map(
  (text) => Buffer.from(text),
)

/** Numbers of the names that code mentions. */
export const Field = {
  host: codeOf('host'),
  connection: codeOf('connection'),
  contentLength: codeOf('content-length'),
  transferEncoding: codeOf('transfer-encoding'),
  te: codeOf('te'),
  trailer: codeOf('trailer'),
  upgrade: codeOf('upgrade'),
  expect: codeOf('expect'),
  cdnLoop: codeOf('cdn-loop'),
  via: codeOf('via'),
  maxForwards: codeOf('max-forwards'),
  forwarded: codeOf('forwarded'),
  xForwardedFor: codeOf('x-forwarded-for'),
  xForwardedProto: codeOf('x-forwarded-proto'),
  xForwardedHost: codeOf('x-forwarded-host'),
  xRealIp: codeOf('x-real-ip'),
  xRequestId: codeOf('x-request-id'),
  setCookie: codeOf('set-cookie'),
  cookie: codeOf('cookie'),
  contentType: codeOf('content-type'),
  contentEncoding: codeOf('content-encoding'),
  contentRange: codeOf('content-range'),
  cacheControl: codeOf('cache-control'),
  accept: codeOf('accept'),
  acceptEncoding: codeOf('accept-encoding'),
  range: codeOf('range'),
  ifRange: codeOf('if-range'),
  ifNoneMatch: codeOf('if-none-match'),
  date: codeOf('date'),
  etag: codeOf('etag'),
  vary: codeOf('vary'),
  link: codeOf('link'),
  retryAfter: codeOf('retry-after'),
  secWebsocketKey: codeOf('sec-websocket-key'),
  secWebsocketVersion: codeOf('sec-websocket-version'),
  secWebsocketAccept: codeOf('sec-websocket-accept'),
} as const

const slots = 1024
/** Open addressing over the hash that `scan` computes anyway: slot -> code, 0 for empty. */
const table = new Uint8Array(slots)
const nameBytes: readonly Buffer[] = knownNames.map((name) => Buffer.from(name))

/** One step of the name hash; `byte` is already lower case. Multiplication by a small prime keeps it inside 32 bits cheaply. */
export function hashStep(hash: number, byte: number): number {
  return (Math.imul(hash, 31) + byte) | 0
}

for (let code = 1; code < knownNames.length; code++) {
  let hash = 0
  for (const byte of nameBytes[code] as Buffer) hash = hashStep(hash, byte)
  let slot = (hash ^ (hash >>> 15)) & (slots - 1)
  while (table[slot] !== 0) slot = (slot + 1) & (slots - 1)
  table[slot] = code
}

/**
 * The code of the name at `bytes[start, end)`, in whatever case it is written.
 * @param hash - of the lower-case name, by `hashStep`
 */
export function classify(bytes: Uint8Array, start: number, end: number, hash: number): number {
  let slot = (hash ^ (hash >>> 15)) & (slots - 1)
  for (;;) {
    const code = table[slot] as number
    if (code === 0) break
    if (equalsName(bytes, start, end, nameBytes[code] as Buffer)) return code
    slot = (slot + 1) & (slots - 1)
  }
  const first = (bytes[start] as number) | 0x20
  // Only these two letters begin a prefix.
  if (first !== 0x78 && first !== 0x63) return 0
  for (const prefix of aboutClientPrefixes)
    if (end - start >= prefix.length && equalsName(bytes, start, start + prefix.length, prefix)) return aboutClientCode
  return 0
}

function equalsName(bytes: Uint8Array, start: number, end: number, lower: Uint8Array): boolean {
  if (end - start !== lower.length) return false
  for (let i = 0; i < lower.length; i++) {
    const byte = bytes[start + i] as number
    if (byte !== lower[i] && !(byte >= 0x41 && byte <= 0x5a && (byte | 0x20) === lower[i])) return false
  }
  return true
}
