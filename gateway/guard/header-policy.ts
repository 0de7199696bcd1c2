import { LoopError } from '../errors.ts'
import { fieldValues } from './check-request.ts'

/** Fields that belong to one connection (RFC 9110 §7.6.1) or to the framing, which the forwarder writes itself. */
const perHop = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-authentication-info',
  'content-length',
])

/** What a client (or a proxy before us) says about where it comes from, plus what only a trusted hop may set. The host must not learn it. */
const aboutClient = new Set([
  'forwarded',
  'via',
  'true-client-ip',
  'client-ip',
  'x-client-ip',
  'x-cluster-client-ip',
  'x-real-ip',
  'x-remote-ip',
  'x-remote-addr',
  'x-remote-user',
  'x-originating-ip',
  'x-original-forwarded-for',
  'x-original-host',
  'x-original-url',
  'x-rewrite-url',
  'x-host',
  'x-request-id',
  'x-appengine-user-ip',
  'x-azure-clientip',
  'x-azure-socketip',
  'fastly-client-ip',
  'fly-client-ip',
  'x-proxyuser-ip',
  'expect',
])
const aboutClientPrefixes = ['x-forwarded', 'cf-', 'x-envoy-', 'x-amzn-', 'x-vercel-', 'x-goog-', 'x-ssl-']

/** Fields that a client may not take away by naming them in Connection: what keeps the request safe must stay. */
const keptThoughNominated = new Set(['cdn-loop', 'host', 'cookie', 'authorization', 'content-type'])

export interface RequestPolicy {
  /** Public name of the site: becomes the Host field. */
  host: string
  /** This gateway's id in CDN-Loop (RFC 8586): a pseudonym or a name it owns. */
  loopId: string
}

/**
 * The fields that go to the compute host: the client's own, without those of the connection and without anything that tells who or where
 * the client is; Host and CDN-Loop are ours. Repeated fields stay repeated, in order. Framing is left to the forwarder.
 * @throws LoopError when the request has been here before
 */
export function requestFields(fields: readonly string[], policy: RequestPolicy): string[] {
  checkLoop(fields, policy.loopId)
  const nominated = nominatedFields(fields)
  const kept = ['Host', policy.host]
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = (fields[i] as string).toLowerCase()
    if (name === 'host' || name === 'cdn-loop' || perHop.has(name) || tellsOfClient(name)) continue
    if (nominated.has(name) && !keptThoughNominated.has(name)) continue
    kept.push(fields[i] as string, fields[i + 1] as string)
  }
  kept.push('CDN-Loop', [...fieldValues(fields, 'cdn-loop'), policy.loopId].join(', '))
  return kept
}

/**
 * The fields that go to the client. `Alt-Svc` is dropped: it would send the client past the gateway.
 * @param sharedZone - set when the site shares a zone with others: cookies for the whole zone are dropped, they would reach its neighbours
 */
export function answerFields(fields: readonly string[], sharedZone: string | undefined): string[] {
  const nominated = nominatedFields(fields)
  const kept: string[] = []
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = (fields[i] as string).toLowerCase()
    const value = fields[i + 1] as string
    if ((perHop.has(name) && name !== 'content-length') || name === 'alt-svc' || nominated.has(name)) continue
    if (name === 'set-cookie' && sharedZone !== undefined && coversZone(value, sharedZone)) continue
    kept.push(fields[i] as string, value)
  }
  return kept
}

/** Trailer fields that may pass: nothing that frames, routes or authenticates (RFC 9110 §6.5.1). */
export function trailerFields(fields: readonly string[]): [string, string][] {
  const kept: [string, string][] = []
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = (fields[i] as string).toLowerCase()
    const never = perHop.has(name) || tellsOfClient(name) || forbiddenTrailers.has(name)
    if (!never) kept.push([fields[i] as string, fields[i + 1] as string])
  }
  return kept
}

const forbiddenTrailers = new Set([
  'host',
  'trailer',
  'cookie',
  'set-cookie',
  'authorization',
  'content-type',
  'content-encoding',
  'cdn-loop',
  'cache-control',
])

/** Names listed in Connection, lower case. */
function nominatedFields(fields: readonly string[]): ReadonlySet<string> {
  const names = fieldValues(fields, 'connection').flatMap((value) => value.split(','))
  return new Set(names.map((name) => name.trim().toLowerCase()))
}

function tellsOfClient(name: string): boolean {
  return aboutClient.has(name) || aboutClientPrefixes.some((prefix) => name.startsWith(prefix))
}

function checkLoop(fields: readonly string[], loopId: string): void {
  const passed = fieldValues(fields, 'cdn-loop').flatMap((value) => value.split(','))
  const again = passed.some((entry) => entry.split(';', 1)[0]?.trim().toLowerCase() === loopId)
  // Ten other networks in a row is no route anybody planned.
  if (again || passed.length > 10) throw new LoopError(loopId)
}

function coversZone(cookie: string, zone: string): boolean {
  const domain = /;\s*domain\s*=\s*"?\.?([^;"\s]*)/i.exec(cookie)?.[1]?.toLowerCase()
  return domain !== undefined && (domain === zone || zone.endsWith(`.${domain}`))
}
