import { LRUCache } from 'lru-cache'
import type { Clock } from '../../core/clock.ts'
import { AppError } from '../../core/errors.ts'
import { SingleFlight } from '../../core/single-flight.ts'
import type { ResolverMetrics } from '../metrics.ts'
import type { DnsAnswer, DnsSource } from '../ports.ts'
import { raceSignal } from '../race-signal.ts'
import type { DnsCacheConfig } from './config.ts'

interface Entry {
  answer: DnsAnswer | undefined
  error: AppError | undefined
  expiresAtMs: number
  failures: number
}

/** Time for one lookup in all: 8 names in a chain, each within the stub's own attempts, never run longer than this. */
const lookupMsMax = 10_000

/**
 * Puts a cache and single flight before a DNS source. Answers live for their TTL within the configured bounds, absences for the
 * negative TTL, failures for a back-off that doubles. A caller that gives up does not stop a lookup that others wait for.
 */
export function cacheDns(
  source: DnsSource,
  config: DnsCacheConfig,
  ports: { clock: Clock; metrics?: ResolverMetrics },
): DnsSource & { clear(): void } {
  const { clock, metrics } = ports
  const entries = new LRUCache<string, Entry>({ max: config.entriesMax })
  const flights = new SingleFlight<string, Entry>()

  const lookup = async (key: string, name: string, type: Parameters<DnsSource['query']>[1]): Promise<Entry> => {
    const failures = entries.get(key)?.failures ?? 0
    const entry = await ask(source, name, type, failures, clock)
    entry.expiresAtMs = clock.monotonicMs() + believedMs(entry, config)
    entries.set(key, entry)
    return entry
  }

  return {
    clear: () => entries.clear(),
    query: async (name, type, signal) => {
      const key = `${type} ${name.toLowerCase()}`
      const known = entries.get(key)
      const fresh = known !== undefined && known.expiresAtMs > clock.monotonicMs()
      metrics?.cacheLookups.add({ cache: 'dns', result: fresh ? 'hit' : 'miss' })
      const entry = fresh
        ? known
        : await raceSignal(
            flights.run(key, () => lookup(key, name, type)),
            signal,
          )
      if (entry.error) throw entry.error
      const leftSeconds = Math.max(0, Math.ceil((entry.expiresAtMs - clock.monotonicMs()) / 1_000))
      return { ...(entry.answer as DnsAnswer), ttlSeconds: leftSeconds }
    },
  }
}

async function ask(
  source: DnsSource,
  name: string,
  type: Parameters<DnsSource['query']>[1],
  failures: number,
  clock: Clock,
): Promise<Entry> {
  const stop = new AbortController()
  using _timer = clock.schedule(lookupMsMax, () =>
    stop.abort(new DOMException('DNS lookup took too long', 'TimeoutError')),
  )
  try {
    const answer = await source.query(name, type, stop.signal)
    const failed = answer.rcode !== 'NOERROR' && answer.rcode !== 'NXDOMAIN'
    return { answer, error: undefined, expiresAtMs: 0, failures: failed ? failures + 1 : 0 }
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    return { answer: undefined, error, expiresAtMs: 0, failures: failures + 1 }
  }
}

/** How long an entry is believed, milliseconds. */
function believedMs({ answer, failures }: Entry, config: DnsCacheConfig): number {
  if (failures > 0) return Math.min(config.failureTtlMsMax, config.failureTtlMsMin * 2 ** Math.min(failures - 1, 20))
  const ttlMs = (answer?.ttlSeconds ?? 0) * 1_000
  const positive = answer !== undefined && answer.rcode === 'NOERROR' && answer.values.length > 0
  const [min, max] = positive ? [config.ttlMsMin, config.ttlMsMax] : [config.negativeTtlMsMin, config.negativeTtlMsMax]
  return Math.max(min, Math.min(max, ttlMs))
}
