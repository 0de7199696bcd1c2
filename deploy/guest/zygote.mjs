// The Node zygote: boots with http loaded and exercised, waits for one program, then imports it in this process.
// The program is any server that listens on process.env.PORT. Control socket on descriptor 3: W warm, S the warm-up
// server is gone, L the program listens; the settings come in.
import 'node:crypto'
import diagnostics from 'node:diagnostics_channel'
import 'node:fs/promises'
import { writeSync } from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import path from 'node:path'
import { pipeline, Readable } from 'node:stream'
import 'node:stream/promises'
import { pathToFileURL } from 'node:url'

const port = 8080
const tell = (letter) => writeSync(3, letter)

function callOnce() {
  return new Promise((resolve, reject) => {
    const request = http.request({ host: '127.0.0.1', port, method: 'POST', agent: false }, (response) => {
      response.resume().on('end', resolve)
    })
    request.on('error', reject).end('warm')
  })
}

const warmUp = http.createServer((request, response) => {
  response.writeHead(200, { 'content-type': 'text/plain' })
  pipeline(Readable.from(['wa', 'rm']), response, () => request.resume())
})
await new Promise((resolve) => warmUp.listen(port, '127.0.0.1', resolve))
for (let turn = 0; turn < 3; turn++) await callOnce()

const control = new net.Socket({ fd: 3, readable: true, writable: false })
tell('W')
const settings = await readSettings(control)
control.removeAllListeners()
control.pause()
control.unref()
await new Promise((resolve) => {
  warmUp.close(resolve)
  warmUp.closeAllConnections()
})

const entry = []
for (const [key, value] of settings) {
  if (key === 'word') entry.push(value)
  if (key === 'workdir') process.chdir(value)
  if (key === 'env') process.env[value.slice(0, value.indexOf('='))] = value.slice(value.indexOf('=') + 1)
}
const file = path.resolve(entry[0])
process.argv = [process.execPath, file, ...entry.slice(1)]

// Tells at once when the program listens; where the channel does not exist, the agent's own look at the port does.
diagnostics.subscribe('tracing:net.server.listen:asyncEnd', function listening({ server }) {
  if (server?.address?.()?.port !== port) return
  diagnostics.unsubscribe('tracing:net.server.listen:asyncEnd', listening)
  tell('L')
})
tell('S')
await import(pathToFileURL(file).href)

async function readSettings(socket) {
  let data = Buffer.alloc(0)
  for await (const part of socket.iterator({ destroyOnReturn: false })) {
    data = Buffer.concat([data, part])
    if (data.length < 4 || data.length < 4 + data.readUInt32LE(0)) continue
    const texts = data
      .subarray(4, 4 + data.readUInt32LE(0))
      .toString()
      .split('\0')
    return texts.flatMap((text, index) => (index % 2 === 1 ? [[texts[index - 1], text]] : []))
  }
  process.exit(0)
}
