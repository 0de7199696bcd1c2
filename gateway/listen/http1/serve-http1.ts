import type { Socket } from 'node:net'
import { inMoment } from '../../../core/moment.ts'
import type { ClientConnection } from '../../forward/exchange.ts'
import { poison } from '../../http1/message-socket.ts'
import type { ListenContext } from '../listen-context.ts'
import { readInto } from '../read-into.ts'
import { Http1Connection } from './http1-connection.ts'

const connectionOf = Symbol('connection')

interface ServedSocket extends Socket {
  [connectionOf]: Http1Connection
}

// One function for all sockets: closures would cost each idle connection some hundred bytes.
function onData(this: Socket, chunk: Buffer): void {
  inMoment(receive, (this as ServedSocket)[connectionOf], chunk.length, chunk)
}

function receive(connection: Http1Connection, count: number, bytes: Buffer): void {
  connection.onData(bytes, 0, count)
}

function onRead(this: Socket, count: number, bytes: Buffer): boolean {
  inMoment(receive, (this as ServedSocket)[connectionOf], count, bytes)
  if (poison.on) bytes.fill(poison.byte)
  return true
}

function onEnd(this: Socket): void {
  ;(this as ServedSocket)[connectionOf].onEnd()
}

function onClose(this: Socket): void {
  ;(this as ServedSocket)[connectionOf].onClosed()
}

/** A broken connection also closes; that is where it is handled. */
function ignore(): void {}

/** Speaks HTTP/1 on a socket, plain or TLS, until it closes. @param first - bytes that were read from it already */
export function serveHttp1(socket: Socket, client: ClientConnection, context: ListenContext, first?: Buffer): void {
  const connection = new Http1Connection(socket, client, context)
  ;(socket as ServedSocket)[connectionOf] = connection
  if (socket.readableLength > 0)
    first = first ? Buffer.concat([first, socket.read() as Buffer]) : (socket.read() as Buffer)
  if (!readInto(socket, onRead)) socket.on('data', onData)
  socket.on('end', onEnd)
  socket.on('error', ignore)
  socket.on('close', onClose)
  if (first && first.length > 0) connection.onData(first, 0, first.length)
  if (!connection.paused) socket.resume()
}
