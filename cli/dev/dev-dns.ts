import { stubConfig } from '../../resolver/dns/config.ts'
import { dnsServerConfig } from '../../resolver/server/config.ts'
import { type DnsServer, startDnsServer } from '../../resolver/server/dns-server.ts'
import { createZone, type Zone } from '../../resolver/server/zone.ts'
import type { ZoneRecord } from '../../resolver/server/zone-record.ts'
import type { RolePorts } from '../roles/role.ts'

/** The DNS of the development network: the zone of the domain owners, and a way on to the gateway's own zone. */
export interface DevDns extends AsyncDisposable {
  readonly host: string
  readonly port: number
  /** The same for the CA, which may be shown another address for some names: a CA looks from elsewhere. */
  readonly caPort: number
  /** Replaces the record set at `name`; an empty list removes it. Seen by the next question. */
  set(name: string, type: ZoneRecord['type'], values: readonly string[]): void
}

/** Below this name of the custom zone the CA sees addresses at which nobody listens. */
export const unreachableForCa = 'elsewhere'
const nobodyListens = '127.0.0.9'

/** Records change while people try things, so nobody shall believe them for long. */
const recordTtlSeconds = 1

/**
 * Serves `zone` authoritatively on `port` and sends everything else to the gateway's name server on loopback, as a recursive
 * server that follows the delegation would.
 */
export async function startDevDns(
  options: { zone: string; port: number; gatewayDnsPort: number },
  { clock, random, log }: RolePorts,
): Promise<DevDns> {
  await using stack = new AsyncDisposableStack()
  const make = (origin: string, records: ZoneRecord[] = []): Zone =>
    createZone({ origin, records, ttlSeconds: recordTtlSeconds, negativeTtlSeconds: recordTtlSeconds })
  const zone = make(options.zone)
  const hidden = `${unreachableForCa}.${options.zone}`
  const hiding = make(hidden, [{ name: hidden, type: 'A', value: nobodyListens }])
  const forward = stubConfig.parse({ upstreams: [`127.0.0.1:${options.gatewayDnsPort}`] })
  const serve = (port: number, zones: Zone[]): Promise<DnsServer> =>
    startDnsServer(dnsServerConfig.parse({ port }), { clock, random, log, zones, forward })
  const server = stack.use(await serve(options.port, [zone]))
  const forCa = stack.use(await serve(0, [hiding, zone]))
  const running = stack.move()
  return {
    host: server.host,
    port: server.port,
    caPort: forCa.port,
    set(name, type, values) {
      zone.remove({ name, type })
      zone.add(...values.map((value) => ({ name, type, value })))
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}
