import net from 'node:net'
import type { TLSSocket } from 'node:tls'
import { poison } from '../http1/message-socket.ts'
import { HostConnection } from './host-connection.ts'
import type { HostPool } from './host-pool.ts'

/** What is read from a host at once. One such buffer for each connection: bodies pass through it without a copy. */
const readBytes = 65_536

/** Where a host listens. */
export interface HostAddress {
  /** Name or address, without brackets. */
  host: string
  port: number
}

/**
 * A connection on plain TCP that is still connecting.
 * @param preface - bytes that go before everything else
 */
export function connectPlain({ host, port }: HostAddress, pool: HostPool, preface: Buffer | undefined): HostConnection {
  const buffer = Buffer.allocUnsafeSlow(readBytes)
  const socket = net.connect({
    host,
    port,
    noDelay: true,
    keepAlive: true,
    onread: { buffer, callback: (bytes) => receive(connection, buffer, bytes) },
  })
  const connection = new HostConnection(socket, pool, false)
  socket.once('connect', () => {
    if (preface) socket.write(preface)
    connection.onConnected()
  })
  listen(connection)
  return connection
}

/** A connection on HTTP/1.1 over a TLS socket whose handshake is complete. */
export function serveHttp1(socket: TLSSocket, pool: HostPool): HostConnection {
  const connection = new HostConnection(socket, pool, true)
  socket.on('data', (chunk: Buffer) => {
    if (!connection.onBytes(chunk, 0, chunk.length)) socket.pause()
  })
  listen(connection)
  connection.onConnected()
  return connection
}

function listen(connection: HostConnection): void {
  const { socket } = connection
  socket.once('end', () => connection.onEnd())
  socket.once('error', (error: Error) => connection.onError(error))
  socket.once('close', () => connection.onEnd())
}

/** Hands on what was read into a connection's buffer. Returns false when nothing more may be read into it for now. */
function receive(connection: HostConnection, buffer: Buffer, bytes: number): boolean {
  if (poison.on) buffer.fill(poison.byte, bytes)
  const free = connection.onBytes(buffer, 0, bytes)
  if (free && poison.on) buffer.fill(poison.byte, 0, bytes)
  return free
}
