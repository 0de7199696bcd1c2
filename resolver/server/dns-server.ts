import type { Clock } from '../../core/clock.ts'
import type { Log } from '../../core/log.ts'
import type { Random } from '../../core/random.ts'
import type { StubConfig } from '../dns/config.ts'
import { DnsListenError } from '../errors.ts'
import type { ResolverMetrics } from '../metrics.ts'
import type { EnsSource } from '../ports.ts'
import { startZoneAdmin } from './admin.ts'
import type { DnsServerConfig } from './config.ts'
import { createForwarder } from './forward.ts'
import { handlePacket, type PacketContext } from './handle-packet.ts'
import { listenDns } from './listen.ts'
import type { Zone } from './zone.ts'

export interface DnsServerPorts {
  zones: readonly Zone[]
  /** Recursive servers for everything else; absent: everything else is REFUSED. */
  forward?: StubConfig
  /** Tells which `.eth` names exist; absent: every `.eth` name gets the configured addresses. */
  ens?: EnsSource
  clock: Clock
  random: Random
  log: Log
  metrics?: ResolverMetrics
}

export interface DnsServer extends AsyncDisposable {
  readonly host: string
  /** UDP and TCP. */
  readonly port: number
  /** The HTTP control's port, when it is on. */
  readonly adminPort: number | undefined
}

/**
 * Starts a DNS server: zones authoritatively, `.eth` to the gateway, the rest forwarded or refused. Serves when it resolves.
 * @throws DnsListenError when the port is taken, or the HTTP control has no token
 */
export async function startDnsServer(config: DnsServerConfig, ports: DnsServerPorts): Promise<DnsServer> {
  const { zones, forward, ens, clock, random, log, metrics } = ports
  if (config.adminPort !== undefined && config.adminToken === undefined) {
    throw new DnsListenError('The HTTP control of the DNS server has no token.', {
      hint: 'Set adminToken beside adminPort.',
    })
  }
  const stop = new AbortController()
  const context: PacketContext = {
    zones,
    forwarder:
      forward && createForwarder({ ...forward, forwardInFlightMax: config.forwardInFlightMax }, { clock, random }),
    eth:
      config.ethAddresses.length === 0
        ? undefined
        : { addresses: config.ethAddresses, ttlSeconds: config.ttlSeconds, ...(ens ? { source: ens } : {}) },
    clock,
    cookieSecret: random.bytes(32),
    metrics,
    signal: stop.signal,
  }
  await using stack = new AsyncDisposableStack()
  const dns = stack.use(await listenDns(config, (packet, origin) => handlePacket(packet, origin, context), log))
  stack.defer(() => stop.abort(new DOMException('The DNS server stops', 'AbortError')))
  const admin =
    config.adminPort === undefined
      ? undefined
      : stack.use(await startZoneAdmin(config.adminPort, config.adminToken as string, zones))
  const owned = stack.move()
  return {
    host: config.host,
    port: dns.port,
    adminPort: admin?.port,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}
