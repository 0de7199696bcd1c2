/**
 * A compute host of the soak test, a program of its own so that it can be killed in the middle of anything. Answers by the last two parts
 * of the path, `/KIND/SEED`, with bytes that follow from the seed. Usage: host-program.ts PORT
 */
import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { takeFrame, textFrame } from '../web-socket-frames.ts'
import { bigBytes, eventText, partBytes, partCount, seededBytes, smallBytes } from './content.ts'

type Serve = (response: ServerResponse, seed: number, request: IncomingMessage) => void | Promise<void>

const binary = { 'Content-Type': 'application/octet-stream' }
const kinds: Record<string, Serve> = {
  small(response, seed) {
    response.writeHead(200, { ...binary, 'Content-Length': smallBytes }).end(seededBytes(seed, smallBytes))
  },
  big(response, seed) {
    response.writeHead(200, { ...binary, 'Content-Length': bigBytes }).end(seededBytes(seed, bigBytes))
  },
  echo(response, _seed, request) {
    const length = request.headers['content-length']
    response.writeHead(200, length === undefined ? binary : { ...binary, 'Content-Length': length })
    request.pipe(response)
  },
  async chunked(response, seed) {
    response.writeHead(200, binary)
    for (let at = 0; at < partCount && !response.destroyed; at++) {
      response.write(seededBytes(seed + at, partBytes))
      await sleep(5)
    }
    response.end()
  },
  async events(response, seed) {
    response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' })
    for (let at = 0; at < partCount && !response.destroyed; at++) {
      response.write(eventText(seed, at))
      await sleep(20)
    }
    response.end()
  },
}

const server = createServer((request, response) => {
  if (request.url === '/healthz') return void response.end('ok')
  const [kind, seed] = (request.url ?? '').split('/').slice(-2)
  const serve = kind !== undefined && Object.hasOwn(kinds, kind) ? kinds[kind] : undefined
  if (!serve) return void response.writeHead(404).end()
  request.on('error', () => response.destroy())
  void serve(response, Number(seed), request)
})
server.on('upgrade', (request: IncomingMessage, socket: Duplex) => {
  const key = `${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`
  const accept = createHash('sha1').update(key).digest('base64')
  const fields = `Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n`
  socket.write(`HTTP/1.1 101 Switching Protocols\r\n${fields}\r\n`)
  let rest: Buffer = Buffer.alloc(0)
  socket.on('error', () => socket.destroy())
  socket.on('data', (part: Buffer) => {
    rest = Buffer.concat([rest, part])
    for (let taken = takeFrame(rest); taken; taken = takeFrame(rest)) {
      socket.write(textFrame(taken.payload))
      rest = rest.subarray(taken.end)
    }
  })
})
server.listen(Number(process.argv[2]), '127.0.0.1')
