import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { onDispose } from '../../core/lifecycle.ts'
import type { Log } from '../../core/log.ts'
import { DnsListenError } from '../errors.ts'
import type { DnsServerConfig } from './config.ts'
import type { PacketOrigin } from './handle-packet.ts'

type Handle = (packet: Buffer, origin: PacketOrigin) => Buffer | undefined | Promise<Buffer | undefined>

/** Tries to find one free port for UDP and TCP together when port 0 is asked for. */
const freePortAttempts = 20

/** Opens UDP and TCP on the same port. @throws DnsListenError naming address and port */
export async function listenDns(
  config: DnsServerConfig,
  handle: Handle,
  log: Log,
): Promise<AsyncDisposable & { port: number }> {
  for (let attempt = 1; ; attempt++) {
    await using stack = new AsyncDisposableStack()
    try {
      const udp = stack.use(await listenUdp(config, handle, log))
      const tcp = stack.use(await listenTcp(config, udp.port, handle, log))
      const owned = stack.move()
      return { port: tcp.port, [Symbol.asyncDispose]: () => owned.disposeAsync() }
    } catch (cause) {
      const taken = (cause as NodeJS.ErrnoException).code === 'EADDRINUSE'
      if (config.port === 0 && taken && attempt < freePortAttempts) continue
      const hint = taken ? 'Another program uses this port; choose another one.' : 'Ports below 1024 need a privilege.'
      throw new DnsListenError(`The DNS server cannot listen on ${config.host} port ${config.port}.`, { cause, hint })
    }
  }
}

async function listenUdp(
  config: DnsServerConfig,
  handle: Handle,
  log: Log,
): Promise<AsyncDisposable & { port: number }> {
  const family = config.host.includes(':') ? 6 : 4
  // The peer's address is a literal: going through the resolver would cost several microseconds a packet.
  const lookup = (
    host: string,
    _options: unknown,
    done: (error: null, address: string, family: number) => void,
  ): void => done(null, host, family)
  const socket = createSocket({ type: family === 6 ? 'udp6' : 'udp4', lookup: lookup as never })
  socket.on('message', (packet, peer) => {
    const send = (reply: Buffer | undefined): void => {
      if (reply && isOpen(socket)) socket.send(reply, peer.port, peer.address, () => {})
    }
    respond(() => handle(packet, { transport: 'udp', address: peer.address }), send, log)
  })
  // Before bind: the lookup above answers at once, so 'listening' may come during the call.
  const listening = once(socket, 'listening')
  socket.bind(config.port, config.host)
  await listening
  socket.on('error', (error) => log.warn('DNS UDP socket error', { error: error.message }))
  return Object.assign(
    onDispose(() => closeUdp(socket)),
    { port: socket.address().port },
  )
}

function isOpen(socket: UdpSocket): boolean {
  try {
    return socket.address().port > 0
  } catch {
    return false
  }
}

function closeUdp(socket: UdpSocket): Promise<void> {
  return new Promise((resolve) => socket.close(() => resolve()))
}

async function listenTcp(
  config: DnsServerConfig,
  port: number,
  handle: Handle,
  log: Log,
): Promise<AsyncDisposable & { port: number }> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    if (sockets.size >= config.tcpConnectionsMax) return void socket.destroy()
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    serveConnection(socket, config, handle, log)
  })
  server.listen(port, config.host)
  await once(server, 'listening')
  return Object.assign(
    onDispose(() => closeTcp(server, sockets)),
    { port },
  )
}

function closeTcp(server: Server, sockets: ReadonlySet<Socket>): Promise<void> {
  for (const socket of sockets) socket.destroy()
  return new Promise((resolve) => server.close(() => resolve()))
}

/** Reads length-prefixed questions and answers each as soon as it is ready, in any order (RFC 7766 §7). */
function serveConnection(socket: Socket, config: DnsServerConfig, handle: Handle, log: Log): void {
  let pending = Buffer.alloc(0)
  let open = 0
  const drain = (): void => {
    while (open < config.tcpPipelineMax && pending.length >= 2) {
      const size = pending.readUInt16BE(0)
      if (pending.length < size + 2) break
      const packet = pending.subarray(2, size + 2)
      pending = pending.subarray(size + 2)
      open++
      respond(
        () => handle(packet, { transport: 'tcp', address: socket.remoteAddress ?? '' }),
        (reply) => {
          open--
          if (reply && socket.writable)
            socket.write(Buffer.concat([Buffer.from([reply.length >> 8, reply.length & 255]), reply]))
          drain()
        },
        log,
      )
    }
    // Reading stops while the pipeline is full, so that a sender cannot make us hold more than one read.
    if (open >= config.tcpPipelineMax) socket.pause()
    else socket.resume()
  }
  socket.setTimeout(config.tcpIdleMs, () => socket.destroy())
  socket.on('error', () => socket.destroy())
  socket.on('data', (chunk) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk])
    drain()
  })
}

function respond(
  answer: () => Buffer | undefined | Promise<Buffer | undefined>,
  send: (reply: Buffer | undefined) => void,
  log: Log,
): void {
  const failed = (error: unknown): void => {
    // Not expected: what came in never throws. The name is not logged, it belongs to the asker.
    log.error('a DNS question failed', { error: (error as Error).message })
    send(undefined)
  }
  try {
    const reply = answer()
    if (reply instanceof Promise) reply.then(send, failed)
    else send(reply)
  } catch (error) {
    failed(error)
  }
}
