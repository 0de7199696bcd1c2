// A sample program: an ordinary HTTP server on $PORT, no dependency. Publish it with `lastmile publish cli/dev/samples/node`.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'

const version = readFileSync(new URL('VERSION', import.meta.url), 'utf8').trim()
const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
const mebi = 1024 * 1024
const blobMibMax = 1024

const routes = {
  '/': (request, response) => answerJson(response, { language: 'node', version, bootId, hostname: hostname() }),
  '/headers': (request, response) => answerJson(response, pairs(request.rawHeaders)),
  '/events': events,
  '/echo': echo,
  '/blob': blob,
  '/digest': digest,
  '/cookies': (request, response) => {
    response.setHeader('set-cookie', ['first=1; Path=/', 'second=2; Path=/'])
    answerJson(response, { ok: true })
  },
  '/env': (request, response) => answerJson(response, process.env),
  '/raise': () => {
    throw new Error('This program fails on purpose at /raise.')
  },
}

const server = createServer(async (request, response) => {
  const url = new URL(request.url, 'http://program')
  const handler = Object.hasOwn(routes, url.pathname) ? routes[url.pathname] : undefined
  try {
    if (handler) await handler(request, response, url)
    else answerJson(response, { error: 'not found', path: url.pathname }, 404)
  } catch (error) {
    console.error(error)
    if (response.headersSent) response.destroy()
    else answerJson(response, { error: 'internal error' }, 500)
  }
})
server.on('upgrade', websocketEcho)
server.listen(process.env.PORT ?? 8080)

function answerJson(response, value, status = 200) {
  const body = JSON.stringify(value)
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }).end(body)
}

function pairs(flat) {
  return flat.flatMap((name, index) => (index % 2 === 0 ? [[name, flat[index + 1]]] : []))
}

/** Writes one part and waits while the connection is full, so that memory stays flat. */
function write(response, part) {
  if (response.write(part)) return undefined
  return new Promise((resolve) => {
    const done = () => {
      response.off('drain', done).off('close', done)
      resolve()
    }
    response.on('drain', done).on('close', done)
  })
}

async function events(request, response) {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
  for (let number = 1; number <= 5 && !response.closed; number++) {
    response.write(`id: ${number}\ndata: event ${number}\n\n`)
    if (number < 5) await sleep(300)
  }
  response.end()
}

async function echo(request, response) {
  response.writeHead(200, { 'content-type': 'application/octet-stream' })
  response.flushHeaders()
  for await (const part of request) await write(response, part)
  response.end()
}

async function blob(request, response, url) {
  const asked = Number(url.searchParams.get('mib') ?? 1)
  const mib = Math.min(Number.isSafeInteger(asked) && asked >= 0 ? asked : 1, blobMibMax)
  response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': mib * mebi })
  const part = Buffer.from(Uint8Array.from({ length: 65_536 }, (_, index) => index))
  for (let count = 0; count < mib * 16 && !response.closed; count++) await write(response, part)
  response.end()
}

async function digest(request, response) {
  const hash = createHash('sha256')
  let size = 0
  for await (const part of request) {
    hash.update(part)
    size += part.length
  }
  answerJson(response, { sha256: hash.digest('hex'), size })
}

// WebSocket echo by hand (RFC 6455): enough of it to show that upgrades pass end to end.
function websocketEcho(request, socket, head) {
  const accept = createHash('sha1').update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`)
  let data = Buffer.from(head)
  const take = (part) => {
    data = Buffer.concat([data, part])
    for (let frame = readFrame(data); frame; frame = readFrame(data)) {
      data = data.subarray(frame.bytes)
      if (frame.opcode === 8) return socket.end(encodeFrame(0x88, frame.payload))
      if (frame.opcode === 9) socket.write(encodeFrame(0x8a, frame.payload))
      else if (frame.opcode !== 10) socket.write(encodeFrame(frame.first, frame.payload))
    }
  }
  socket.on('data', take).on('error', () => socket.destroy())
  take(Buffer.alloc(0))
}

function readFrame(data) {
  if (data.length < 6) return undefined
  const short = data[1] & 127
  const at = short === 126 ? 4 : short === 127 ? 10 : 2
  if (data.length < at + 4) return undefined
  const size = short === 126 ? data.readUInt16BE(2) : short === 127 ? Number(data.readBigUInt64BE(2)) : short
  if (data.length < at + 4 + size) return undefined
  const payload = Buffer.from(data.subarray(at + 4, at + 4 + size))
  for (let index = 0; index < size; index++) payload[index] ^= data[at + (index & 3)]
  return { first: data[0], opcode: data[0] & 15, payload, bytes: at + 4 + size }
}

function encodeFrame(first, payload) {
  const size = payload.length
  const head = Buffer.alloc(size < 126 ? 2 : size < 65_536 ? 4 : 10)
  head[0] = first
  head[1] = size < 126 ? size : size < 65_536 ? 126 : 127
  if (head.length === 4) head.writeUInt16BE(size, 2)
  if (head.length === 10) head.writeBigUInt64BE(BigInt(size), 2)
  return Buffer.concat([head, payload])
}
