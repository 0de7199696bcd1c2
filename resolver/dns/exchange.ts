import { createSocket } from 'node:dgram'
import { connect } from 'node:net'
import type { Clock } from '../../core/clock.ts'
import { DnsMalformedError, DnsTimeoutError } from '../errors.ts'
import { messageBytesMax } from '../wire/limits.ts'

/** A DNS server's address. */
export interface Upstream {
  host: string
  port: number
}

/** Splits `host:port` or `[v6]:port`. The form has been checked by the configuration. */
export function parseUpstream(text: string): Upstream {
  const at = text.lastIndexOf(':')
  return { host: text.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(text.slice(at + 1)) }
}

export interface ExchangeOptions {
  timeoutMs: number
  clock: Clock
  signal: AbortSignal
  /** Says whether a packet answers the question; others are ignored until the time is over (they may be forged). */
  accepts: (packet: Buffer) => boolean
}

/**
 * Sends a query over UDP from a fresh random port and waits for the packet that answers it.
 * The socket is connected, so that the kernel drops packets from other addresses.
 * @throws DnsTimeoutError, with a hint when packets came that did not match
 */
export function exchangeUdp(upstream: Upstream, query: Buffer, options: ExchangeOptions): Promise<Buffer> {
  return bounded(options, 'UDP', (settle, fail) => {
    const socket = createSocket(upstream.host.includes(':') ? 'udp6' : 'udp4')
    socket.on('error', (cause) => fail(new DnsTimeoutError('A DNS server cannot be reached over UDP.', { cause })))
    socket.on('message', (packet) => {
      if (options.accepts(packet)) settle(packet)
    })
    socket.connect(upstream.port, upstream.host, () => socket.send(query))
    return () => socket.close()
  })
}

/** Sends a query over TCP (RFC 7766). @throws DnsTimeoutError, DnsMalformedError */
export function exchangeTcp(upstream: Upstream, query: Buffer, options: ExchangeOptions): Promise<Buffer> {
  return bounded(options, 'TCP', (settle, fail) => {
    const socket = connect(upstream.port, upstream.host)
    let received = Buffer.alloc(0)
    socket.on('error', (cause) => fail(new DnsTimeoutError('A DNS server cannot be reached over TCP.', { cause })))
    socket.on('connect', () => socket.write(Buffer.concat([lengthPrefix(query.length), query])))
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk])
      const size = received.length < 2 ? messageBytesMax : received.readUInt16BE(0)
      if (received.length < size + 2) return
      const packet = received.subarray(2, size + 2)
      if (options.accepts(packet)) settle(packet)
      else fail(new DnsMalformedError('A DNS server answered another question over TCP.'))
    })
    socket.on('end', () =>
      fail(new DnsMalformedError('A DNS server closed the connection before its answer was whole.')),
    )
    return () => socket.destroy()
  })
}

function lengthPrefix(size: number): Buffer {
  return Buffer.from([size >> 8, size & 255])
}

function bounded(
  { timeoutMs, clock, signal }: ExchangeOptions,
  transport: string,
  start: (settle: (packet: Buffer) => void, fail: (error: unknown) => void) => () => void,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason)
    let open = true
    const finish = (act: () => void): void => {
      if (!open) return
      open = false
      timer[Symbol.dispose]()
      signal.removeEventListener('abort', onAbort)
      close()
      act()
    }
    const onAbort = (): void => finish(() => reject(signal.reason))
    const late = () => reject(new DnsTimeoutError(`A DNS server did not answer over ${transport} in ${timeoutMs} ms.`))
    const timer = clock.schedule(timeoutMs, () => finish(late))
    signal.addEventListener('abort', onAbort, { once: true })
    const close = start(
      (packet) => finish(() => resolve(packet)),
      (error) => finish(() => reject(error)),
    )
  })
}
