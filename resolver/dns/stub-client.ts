import type { Clock } from '../../core/clock.ts'
import { AppError } from '../../core/errors.ts'
import type { Random } from '../../core/random.ts'
import { DnsLoopError, DnsMalformedError, DnsNameInvalidError } from '../errors.ts'
import type { ResolverMetrics } from '../metrics.ts'
import type { DnsAnswer, DnsSource } from '../ports.ts'
import { decodeMessage } from '../wire/decode-message.ts'
import type { DnsMessage } from '../wire/message.ts'
import { nameFromText, nameKey, nameToText, type WireName } from '../wire/name.ts'
import type { StubConfig } from './config.ts'
import { exchangeTcp, exchangeUdp, parseUpstream, type Upstream } from './exchange.ts'
import { prepareQuery } from './query.ts'
import { chainMax, queryTypes, readAnswer } from './read-answer.ts'

export interface StubPorts {
  clock: Clock
  random: Random
  metrics?: ResolverMetrics
}

/**
 * A DNS source that asks recursive servers: UDP first, TCP when the answer was cut, the next server when one is silent or fails.
 * Follows CNAMEs across answers, at most `chainMax` in all.
 */
export function createStubClient(config: StubConfig, ports: StubPorts): DnsSource {
  const upstreams = config.upstreams.map(parseUpstream)
  return {
    query: async (name, type, signal) => {
      const wire = nameFromText(name)
      if (!wire) {
        const hint =
          'Labels have 1 to 63 characters, the whole name at most 253. Write other scripts in A-label form (xn--).'
        throw new DnsNameInvalidError(`"${name}" cannot be asked in DNS.`, { hint })
      }
      const ask = (at: WireName) => askUpstreams(upstreams, at, queryTypes[type], config, ports, signal)
      return followChain(wire, queryTypes[type], ask)
    },
  }
}

async function followChain(
  name: WireName,
  type: number,
  ask: (name: WireName) => Promise<DnsMessage>,
): Promise<DnsAnswer> {
  const chain: string[] = []
  const seen = new Set([nameToText(name).toLowerCase()])
  let ttlSeconds = Number.POSITIVE_INFINITY
  let authenticated = true
  for (let at: WireName | undefined = name; at; ) {
    const message = await ask(at)
    const step = readAnswer(message, at, type)
    for (const next of step.chain) {
      if (seen.has(next) || chain.length === chainMax)
        throw loopError(nameToText(name), [...chain, next], seen.has(next))
      seen.add(next)
      chain.push(next)
    }
    ttlSeconds = Math.min(ttlSeconds, step.ttlSeconds)
    authenticated &&= message.authenticData
    if (!step.askNext) return { rcode: step.rcode, values: step.values, chain, ttlSeconds, authenticated }
    at = step.askNext
  }
  throw new DnsMalformedError('A DNS answer led nowhere.')
}

function loopError(name: string, chain: readonly string[], circle: boolean): DnsLoopError {
  const what = circle ? 'in a circle' : `through more than ${chainMax} names`
  return new DnsLoopError(`The CNAME records of ${name} lead ${what}: ${[name, ...chain].join(' -> ')}.`, {
    hint: 'Point one of these names at an address, or remove it.',
    details: { chain: [name, ...chain] },
  })
}

async function askUpstreams(
  upstreams: readonly Upstream[],
  name: WireName,
  type: number,
  config: StubConfig,
  ports: StubPorts,
  signal: AbortSignal,
): Promise<DnsMessage> {
  let failure: unknown
  let refused: DnsMessage | undefined
  for (let attempt = 0; attempt < config.attempts; attempt++) {
    signal.throwIfAborted()
    const upstream = upstreams[attempt % upstreams.length] as Upstream
    try {
      const message = await askOne(upstream, name, type, config, ports, signal)
      // SERVFAIL and the like: another server may know better. NXDOMAIN is an answer.
      if (message.rcode === 0 || message.rcode === 3) return message
      refused = message
    } catch (error) {
      if (!(error instanceof AppError)) throw error
      failure = error
      ports.metrics?.dnsFailures.add({ reason: error.code })
    }
    if (refused && attempt + 1 >= upstreams.length) return refused
  }
  if (refused) return refused
  throw failure
}

async function askOne(
  upstream: Upstream,
  name: WireName,
  type: number,
  config: StubConfig,
  ports: StubPorts,
  signal: AbortSignal,
): Promise<DnsMessage> {
  const query = prepareQuery(name, type, ports.random)
  const options = { timeoutMs: config.timeoutMs, clock: ports.clock, signal, accepts: query.accepts }
  ports.metrics?.dnsQueries.add({ transport: 'udp' })
  const first = decodeAnswer(await exchangeUdp(upstream, query.packet, options), name)
  if (!first.truncated) return first
  ports.metrics?.dnsQueries.add({ transport: 'tcp' })
  return decodeAnswer(await exchangeTcp(upstream, query.packet, options), name)
}

function decodeAnswer(packet: Buffer, name: WireName): DnsMessage {
  const message = decodeMessage(packet)
  if ('malformed' in message) {
    // Servers that cut a record in the middle exist; TC says that the whole is to be had over TCP.
    if (((packet[2] as number) & 0x02) !== 0) return truncatedMessage(packet)
    throw new DnsMalformedError(`A DNS server sent a malformed answer (${message.malformed}).`)
  }
  const question = message.questions[0]
  if (message.questions.length !== 1 || !question || nameKey(question.name) !== nameKey(name)) {
    throw new DnsMalformedError('A DNS server answered another question.')
  }
  return message
}

function truncatedMessage(packet: Buffer): DnsMessage {
  const header = Buffer.from(packet.subarray(0, 12))
  header.fill(0, 4)
  return decodeMessage(header) as DnsMessage
}
