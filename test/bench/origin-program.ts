/**
 * A small origin on sockets with answers serialised ahead; a program of its own. Answers by the end of the path: `/1k`, `/big.bin`, `/post`,
 * `/echo` (the body comes back), `/ws` (text frames come back). Trusts its clients: it takes bodies with Content-Length only.
 * Usage: origin-program.ts PORT
 */
import { createHash } from 'node:crypto'
import { createServer, type Socket } from 'node:net'
import { bigBody, smallBody } from './content.ts'
import { takeFrame, textFrame } from './web-socket-frames.ts'

const answers: Record<string, Buffer> = {
  '/1k': answer('200 OK', smallBody),
  '/big.bin': answer('200 OK', bigBody),
  '/post': answer('200 OK', Buffer.from('ok')),
}
const notFound = answer('404 Not Found', Buffer.from('not here'))
const lengthRequired = answer('411 Length Required', Buffer.from('send a length'))

const server = createServer({ noDelay: true }, (socket) => {
  let rest: Buffer = Buffer.alloc(0)
  let upgraded = false
  socket.on('error', () => socket.destroy())
  socket.on('data', (part) => {
    rest = rest.length === 0 ? part : Buffer.concat([rest, part])
    if (!upgraded) upgraded = answerRequests()
    if (upgraded) rest = echoFrames(socket, rest)
  })

  /** Answers all complete requests; true when the connection has become a WebSocket. */
  function answerRequests(): boolean {
    for (;;) {
      const headEnd = rest.indexOf('\r\n\r\n')
      if (headEnd < 0) return false
      const head = rest.toString('latin1', 0, headEnd)
      const path = head.slice(head.indexOf(' ') + 1, head.indexOf(' HTTP/'))
      const key = /\r\nsec-websocket-key: *(\S+)/i.exec(head)?.[1]
      const end = headEnd + 4 + Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0)
      if (/\r\ntransfer-encoding:/i.test(head)) {
        socket.end(lengthRequired)
        return false
      }
      if (rest.length < end) return false
      const body = rest.subarray(headEnd + 4, end)
      const suffix = path.slice(path.lastIndexOf('/'))
      if (suffix === '/ws' && key) socket.write(switching(key))
      else socket.write(suffix === '/echo' ? answer('200 OK', body) : (answers[suffix] ?? notFound))
      rest = rest.subarray(end)
      if (suffix === '/ws' && key) return true
      if (rest.length === 0) return false
    }
  }
})
server.listen(Number(process.argv[2]), '127.0.0.1')

function answer(status: string, body: Buffer): Buffer {
  const head = `HTTP/1.1 ${status}\r\nContent-Type: application/octet-stream\r\nContent-Length: ${body.length}\r\n\r\n`
  return Buffer.concat([Buffer.from(head), body])
}

function switching(key: string): string {
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
  return `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`
}

function echoFrames(socket: Socket, bytes: Buffer): Buffer {
  for (let rest = bytes; ; ) {
    const taken = takeFrame(rest)
    if (!taken) return rest
    socket.write(textFrame(taken.payload))
    rest = rest.subarray(taken.end)
  }
}
