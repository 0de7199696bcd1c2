/**
 * Connect over TLS 1.3, one request, close. All proxies agree on X25519, since nothing else is offered. When resuming, each connection line
 * keeps the tickets it is given, uses the newest first and each once, as RFC 8446 appendix C.4 asks of clients.
 * Usage: handshake-load.ts ORDER-JSON
 */
import { connect } from 'node:tls'
import { requestFields, siteName } from '../content.ts'
import { readOrder, Tally } from './load.ts'

const order = readOrder()
const tally = new Tally(order.ms)
const fields = [['Host', siteName], ['Connection', 'close'], ...requestFields]
const request = `GET ${order.path} HTTP/1.1\r\n${fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`
let [handshakes, resumed] = [0, 0]
for (let at = 0; at < order.connections; at++) open(undefined)
setTimeout(() => tally.finish({ resumedShare: handshakes === 0 ? 0 : resumed / handshakes }), order.ms)

function open(session: Buffer | undefined): void {
  if (tally.isOver) return
  const startedAt = performance.now()
  let newest: Buffer | undefined
  let text = ''
  let isDone = false
  const socket = connect({
    port: order.port,
    host: '127.0.0.1',
    servername: siteName,
    rejectUnauthorized: false,
    minVersion: 'TLSv1.3',
    ecdhCurve: 'X25519',
    ALPNProtocols: ['http/1.1'],
    ...(session ? { session } : {}),
  })
  const next = (): void => {
    if (isDone) return
    isDone = true
    const [head, body] = [text.split('\r\n', 1)[0] as string, text.slice(text.indexOf('\r\n\r\n') + 4)]
    const failed = !text.startsWith('HTTP/1.1 200') || body.length !== 1_024
    if (!failed) tally.done(startedAt)
    else if (!tally.isOver) tally.failed(head === '' ? 'the connection ended without an answer' : head)
    socket.destroy()
    setTimeout(open, failed ? 100 : 0, order.resume ? newest : undefined)
  }
  socket.once('secureConnect', () => {
    handshakes++
    if (socket.isSessionReused()) resumed++
    socket.write(request)
  })
  socket.on('session', (ticket) => {
    newest = ticket
  })
  socket.on('data', (part) => {
    text += part.toString('latin1')
    if (text.length - text.indexOf('\r\n\r\n') - 4 >= 1_024 && text.includes('\r\n\r\n')) next()
  })
  socket.on('error', next).on('close', next)
}
