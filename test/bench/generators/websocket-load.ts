/** WebSockets with one text message in flight on each; every echo is compared. Usage: websocket-load.ts ORDER-JSON */
import { connect } from 'node:net'
import { requestFields, siteName } from '../content.ts'
import { takeFrame, textFrame } from '../web-socket-frames.ts'
import { messageBytes } from '../workloads.ts'
import { readOrder, Tally } from './load.ts'

const order = readOrder()
const tally = new Tally(order.ms)
const text = Buffer.alloc(messageBytes, 'message ')
const frame = textFrame(text, Buffer.from([1, 2, 3, 4]))
const upgrade = [
  `GET ${order.path} HTTP/1.1`,
  `Host: ${siteName}`,
  ...requestFields.map(([name, value]) => `${name}: ${value}`),
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  '\r\n',
].join('\r\n')
for (let at = 0; at < order.connections; at++) open()
setTimeout(() => tally.finish(), order.ms)

function open(): void {
  const socket = connect({ port: order.port, host: '127.0.0.1', noDelay: true }, () => socket.write(upgrade))
  let rest: Buffer = Buffer.alloc(0)
  let isOpen = false
  let startedAt = 0
  const send = (): void => {
    startedAt = performance.now()
    socket.write(frame)
  }
  socket.on('error', (error) => tally.failed(error.message))
  socket.on('close', () => tally.isOver || tally.failed('the connection ended'))
  socket.on('data', (part) => {
    rest = rest.length === 0 ? part : Buffer.concat([rest, part])
    if (!isOpen) {
      const end = rest.indexOf('\r\n\r\n')
      if (end < 0) return
      if (!rest.subarray(0, 12).equals(Buffer.from('HTTP/1.1 101'))) {
        tally.failed(rest.toString('latin1', 0, rest.indexOf('\r\n')))
        return void socket.removeAllListeners('close').destroy()
      }
      isOpen = true
      rest = rest.subarray(end + 4)
      return send()
    }
    const taken = takeFrame(rest)
    if (!taken) return
    if (taken.payload.equals(text)) tally.done(startedAt)
    else tally.failed('an echo differs from what was sent')
    rest = rest.subarray(taken.end)
    if (!tally.isOver) send()
  })
}
