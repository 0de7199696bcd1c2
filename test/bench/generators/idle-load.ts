/**
 * Opens plain keep-alive connections that make one request each, prints `open N`, and holds them until it is ended.
 * Usage: idle-load.ts ORDER-JSON
 */
import { connect } from 'node:net'
import { requestFields, siteName } from '../content.ts'
import { readOrder } from './load.ts'

/** Opened at the same time: a burst of all would overflow the listening queue. */
const atOnce = 64

const order = readOrder()
const fields = [['Host', siteName], ...requestFields]
const request = `GET ${order.path} HTTP/1.1\r\n${fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`
let [started, answered, ended] = [0, 0, 0]
for (let at = 0; at < atOnce; at++) openNext()

function openNext(): void {
  if (started === order.connections) return
  started++
  const socket = connect({ port: order.port, host: '127.0.0.1' }, () => socket.write(request))
  let text = ''
  let isAnswered = false
  socket.on('data', (part) => {
    if (isAnswered) return
    text += part.toString('latin1')
    const end = text.indexOf('\r\n\r\n')
    if (end < 0 || text.length < end + 4 + 1_024) return
    if (!text.startsWith('HTTP/1.1 200')) return die(text.slice(0, text.indexOf('\r\n')))
    isAnswered = true
    text = ''
    answered++
    if (answered === order.connections) process.stdout.write(`open ${answered - ended}\n`)
    else openNext()
  })
  socket.on('error', (error) => die(error.message))
  socket.on('end', () => {
    ended++
    die('the proxy closed an idle connection')
  })
}

function die(why: string): never {
  process.stderr.write(`${why}\n`)
  process.exit(1)
}
