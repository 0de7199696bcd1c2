/** HTTP/1.1 load on plain or TLS sockets, for machines without wrk. One request in flight on each connection. Usage: http1-load.ts ORDER-JSON */
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { postBody, requestFields, siteName } from '../content.ts'
import { readOrder, Tally } from './load.ts'

const order = readOrder()
const tally = new Tally(order.ms)
const request = requestBytes()
for (let at = 0; at < order.connections; at++) open()
setTimeout(() => tally.finish(), order.ms)

function open(): void {
  const socket =
    order.scheme === 'tls'
      ? connectTls({ port: order.port, host: '127.0.0.1', servername: siteName, rejectUnauthorized: false })
      : connect({ port: order.port, host: '127.0.0.1', noDelay: true })
  let startedAt = performance.now()
  /** Bytes of the answer still to come; -1 while its head is incomplete. */
  let missing = -1
  let head = ''
  const send = (): void => {
    startedAt = performance.now()
    socket.write(request)
  }
  socket.once(order.scheme === 'tls' ? 'secureConnect' : 'connect', send)
  socket.on('error', (error) => fail(socket, error.message))
  socket.on('end', () => fail(socket, 'the connection ended'))
  socket.on('data', (part) => {
    let bodyBytes = part.length
    if (missing < 0) {
      head += part.toString('latin1')
      const end = head.indexOf('\r\n\r\n')
      if (end < 0) return
      if (!head.startsWith('HTTP/1.1 200')) return fail(socket, head.slice(0, head.indexOf('\r\n')))
      bodyBytes = head.length - end - 4
      missing = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? Number.NaN)
    }
    missing -= bodyBytes
    if (missing > 0) return
    if (missing !== 0) return fail(socket, 'the answer has no length, or more bytes than that')
    tally.done(startedAt)
    if (tally.isOver) return
    missing = -1
    head = ''
    if (!order.close) return send()
    socket
      .removeAllListeners()
      .on('error', () => {})
      .end()
    open()
  })
}

function fail(socket: Socket, why: string): void {
  if (tally.isOver) return
  tally.failed(why)
  socket.removeAllListeners('end').removeAllListeners('data').destroy()
  // Slowly: a proxy that refuses everything must not be flooded with connections.
  setTimeout(open, 100)
}

function requestBytes(): Buffer {
  const fields = [['Host', siteName], ...requestFields]
  if (order.close) fields.push(['Connection', 'close'])
  if (order.post) fields.push(['Content-Length', String(postBody.length)])
  const head = `${order.post ? 'POST' : 'GET'} ${order.path} HTTP/1.1\r\n${fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`
  return Buffer.concat([Buffer.from(head), order.post ? postBody : Buffer.alloc(0)])
}
