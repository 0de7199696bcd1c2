import type { Clock } from '../../core/clock.ts'
import { AppError } from '../../core/errors.ts'
import type { Random } from '../../core/random.ts'
import type { StubConfig } from '../dns/config.ts'
import { exchangeTcp, exchangeUdp, parseUpstream, type Upstream } from '../dns/exchange.ts'

/** Passes questions that are not ours on to recursive servers. */
export interface Forwarder {
  /** The upstream's answer with the asker's id, or undefined when none came in time or too many questions are open. */
  forward(query: Buffer, overTcp: boolean, signal: AbortSignal): Promise<Buffer | undefined>
}

/** Forwards whole packets: question and options are the asker's, only the id is fresh. The asker's address never appears. */
export function createForwarder(
  config: StubConfig & { forwardInFlightMax: number },
  ports: { clock: Clock; random: Random },
): Forwarder {
  const upstreams = config.upstreams.map(parseUpstream)
  let inFlight = 0
  return {
    forward: async (query, overTcp, signal) => {
      if (inFlight >= config.forwardInFlightMax) return undefined
      inFlight++
      try {
        return await ask(upstreams, query, overTcp, config, ports, signal)
      } finally {
        inFlight--
      }
    },
  }
}

async function ask(
  upstreams: readonly Upstream[],
  query: Buffer,
  overTcp: boolean,
  config: StubConfig,
  ports: { clock: Clock; random: Random },
  signal: AbortSignal,
): Promise<Buffer | undefined> {
  const fresh = Buffer.from(query)
  for (let attempt = 0; attempt < config.attempts; attempt++) {
    fresh.set(ports.random.bytes(2), 0)
    const accepts = (packet: Buffer): boolean => isReplyTo(packet, fresh)
    const options = { timeoutMs: config.timeoutMs, clock: ports.clock, signal, accepts }
    const upstream = upstreams[attempt % upstreams.length] as Upstream
    try {
      const answer = Buffer.from(await (overTcp ? exchangeTcp : exchangeUdp)(upstream, fresh, options))
      answer.set(query.subarray(0, 2), 0)
      return answer
    } catch (error) {
      if (signal.aborted) return undefined
      if (!(error instanceof AppError)) throw error
    }
  }
  return undefined
}

function isReplyTo(packet: Buffer, query: Buffer): boolean {
  if (
    packet.length < 12 ||
    ((packet[2] as number) & 0x80) === 0 ||
    !packet.subarray(0, 2).equals(query.subarray(0, 2))
  ) {
    return false
  }
  const end = questionEnd(query)
  return packet.subarray(12, end).equals(query.subarray(12, end))
}

/** Index past the first question. The query has been decoded before, so its name is whole and, being first, uncompressed. */
function questionEnd(query: Buffer): number {
  let at = 12
  while (query[at] !== 0 && at < query.length) at += (query[at] as number) + 1
  return at + 5
}
