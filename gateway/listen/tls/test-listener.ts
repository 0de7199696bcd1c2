import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { ConnectionOptions, TLSSocket } from 'node:tls'
import { type Clock, systemClock } from '../../../core/clock.ts'
import { memoryLog } from '../../../core/log.ts'
import { createMetrics, type Metrics } from '../../../core/metrics.ts'
import { systemRandom } from '../../../core/random.ts'
import { TimingWheel } from '../../../core/timing-wheel.ts'
import { gatewayConfigSchema } from '../../config.ts'
import { gatewayMetrics } from '../../metrics.ts'
import type { TicketKeySource, TicketKeys } from '../../ports.ts'
import { connectTls } from '../../testing/client.ts'
import { FakeCertificates, FakeError } from '../../testing/fakes.ts'
import { settingsOf } from '../listen-context.ts'
import { createTlsListener, type SecureInfo, type TlsListener, type TlsListenerPorts } from './tls-listener.ts'

/** Ticket keys that a test changes. */
export class FakeTicketKeys implements TicketKeySource {
  #keys: TicketKeys
  #listeners: ((keys: TicketKeys) => void)[] = []

  constructor(keys: TicketKeys = { current: secret(1), previous: undefined }) {
    this.#keys = keys
  }

  current(): TicketKeys {
    return this.#keys
  }

  onChange(listener: (keys: TicketKeys) => void): void {
    this.#listeners.push(listener)
  }

  set(keys: TicketKeys): void {
    this.#keys = keys
    for (const listener of this.#listeners) listener(keys)
  }
}

/** A ticket secret that is the same wherever it is asked for. */
export function secret(number: number): Uint8Array {
  return new Uint8Array(48).fill(number)
}

export interface TestListener extends AsyncDisposable {
  port: number
  listener: TlsListener
  certificates: FakeCertificates
  /** Names that lead somewhere, so that a certificate may be ordered. */
  names: Set<string>
  ticketKeys: FakeTicketKeys
  metrics: Metrics
  log: ReturnType<typeof memoryLog>
  /** What each finished handshake has settled, in order. */
  infos: Omit<SecureInfo, 'raw'>[]
}

/** A listener on a free loopback port. Each connection is answered with one line when it sends something, and closed. */
export async function startTestListener(
  options: { config?: Record<string, object>; clock?: Clock; ports?: Partial<TlsListenerPorts> } = {},
): Promise<TestListener> {
  const { config = {}, clock = systemClock, ports = {} } = options
  const parsed = gatewayConfigSchema.parse(config)
  const certificates = new FakeCertificates()
  const names = new Set<string>()
  const ticketKeys = new FakeTicketKeys()
  const metrics = createMetrics()
  const log = memoryLog()
  const wheel = new TimingWheel(clock)
  const infos: Omit<SecureInfo, 'raw'>[] = []
  const checkName = async (name: string): Promise<void> => {
    if (!names.has(name)) throw new FakeError('NAME_UNKNOWN', 404)
  }
  const shared = { certificates, checkName, clock, wheel, log, ticketKeys, random: systemRandom }
  const listener = await createTlsListener(
    settingsOf(parsed),
    { ...shared, metrics: gatewayMetrics(metrics), ...ports },
    (socket, { raw: _, ...info }) => {
      infos.push(info)
      socket.once('data', () => socket.end('ok'))
    },
  )
  listener.server.listen(0, '127.0.0.1')
  await once(listener.server, 'listening')
  const { port } = listener.server.address() as AddressInfo
  const dispose = async (): Promise<void> => {
    wheel[Symbol.dispose]()
    listener[Symbol.dispose]()
    await new Promise((resolve) => listener.server.close(resolve))
  }
  return { port, listener, certificates, names, ticketKeys, metrics, log, infos, [Symbol.asyncDispose]: dispose }
}

export interface Visit {
  /** The newest ticket. */
  session: Buffer | undefined
  /** The part of it that is ours. */
  ticket: Buffer | undefined
  /** Tickets that came after the handshake, which is TLS 1.3 only. */
  tickets: number
  resumed: boolean
  fingerprint: string
  protocol: string | false | null
  text: string
}

/** Connects, sends a byte, and reads until the connection closes. Rejects with the alert. */
export async function visit(port: number, serverName: string, options: ConnectionOptions = {}): Promise<Visit> {
  const socket = await connectTls(port, serverName, options)
  return readVisit(socket)
}

function readVisit(socket: TLSSocket): Promise<Visit> {
  const result: Visit = {
    // In TLS 1.2 the ticket is there with the handshake; in 1.3 it comes after.
    session: socket.getProtocol() === 'TLSv1.2' ? socket.getSession() : undefined,
    ticket: socket.getTLSTicket(),
    tickets: 0,
    resumed: socket.isSessionReused(),
    fingerprint: socket.getPeerCertificate().fingerprint256,
    protocol: socket.alpnProtocol,
    text: '',
  }
  return new Promise((resolve, reject) => {
    socket.on('session', (session) => {
      result.session = session
      result.ticket = socket.getTLSTicket()
      result.tickets++
    })
    socket.on('data', (part) => {
      result.text += part
    })
    socket.on('error', reject)
    socket.once('close', () => resolve(result))
    socket.write('x')
  })
}

/**
 * Visits `count` times, each time with the newest ticket, which is used once only.
 * @param ports - taken in turn
 * @returns how many of the visits resumed
 */
export async function visitInTurn(
  ports: readonly number[],
  serverName: string,
  count: number,
  options: ConnectionOptions = {},
): Promise<number> {
  let session: Buffer | undefined
  let resumed = 0
  for (let turn = 0; turn < count; turn++) {
    const port = ports[turn % ports.length] as number
    const last: Visit = await visit(port, serverName, { ...options, ...(session ? { session } : {}) })
    if (last.resumed) resumed++
    session = last.session
  }
  return resumed
}

/** A ticket as OpenSSL knows it: Node notes the name beside it and would not offer it under another one. */
export function bareSession(session: Buffer | undefined): Buffer {
  const prefix = Buffer.from('\0nodejs:tls:session:1\0')
  if (!session) throw new TypeError('There is no ticket.')
  if (session.compare(prefix, 0, prefix.length, 0, prefix.length) !== 0) return session
  return session.subarray(prefix.length + 2 + session.readUInt16BE(prefix.length))
}
