import http, { type IncomingMessage } from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import { connect as connectTls } from 'node:tls'
import { siteName } from '../content.ts'
import { takeFrame, textFrame } from '../web-socket-frames.ts'
import { type Comparison, readAll } from './compare.ts'
import { bigBytes, eventText, partBytes, partCount, seededBytes, smallBytes } from './content.ts'

/** Ports of the gateway under test. */
export interface Target {
  httpPort: number
  httpsPort: number
}

/** One kind of client. `run` does one exchange; what it received is in the comparison also when it throws. */
export interface Scenario {
  name: string
  /** How many of this kind are at work at the same time. */
  clients: number
  needs?: 'plain' | 'h2'
  mustSurviveHosts?: boolean
  expected(seed: number): Buffer
  run(target: Target, seed: number, comparison: Comparison): Promise<void>
}

/** No answer here takes longer than a second; this is far beyond what a busy machine adds. */
const answerMs = 15_000
const uploadBytes = 40_000
const slowPartMs = 20
const agents = {
  plain: new http.Agent({ keepAlive: true }),
  tls: new https.Agent({ keepAlive: true, rejectUnauthorized: false, servername: siteName }),
}

/** A failure that the loss of a host does not explain. */
export class InexcusableError extends Error {}

/** Who loses a host hears of it at once. */
const silence = (): Error => new InexcusableError(`silent for ${answerMs} ms`)

/** What a gateway may say when it has lost a host and cannot ask another. */
const lostHostStatuses = [502, 503, 504]

function refusal(status: number): Error {
  const text = `status ${status}`
  return lostHostStatuses.includes(status) ? new Error(text) : new InexcusableError(text)
}

const nothing = (): Buffer => Buffer.alloc(0)
const small = (seed: number): Buffer => seededBytes(seed, smallBytes)
const big = (seed: number): Buffer => seededBytes(seed, bigBytes)
const upload = (seed: number): Buffer => seededBytes(seed, uploadBytes)
const parts = (seed: number): Buffer =>
  Buffer.concat(Array.from({ length: partCount }, (_, at) => seededBytes(seed + at, partBytes)))
const events = (seed: number): Buffer =>
  Buffer.from(Array.from({ length: partCount }, (_, at) => eventText(seed, at)).join(''))

/** Reads one GET as it comes. */
const get =
  (kind: string, scheme: 'plain' | 'tls' = 'tls', pauseMs = 0): Scenario['run'] =>
  async (target, seed, comparison) => {
    const { request, response } = ask(target, `/${kind}/${seed}`, { scheme })
    request.end()
    await readAll(await response, comparison, pauseMs)
  }

export const scenarios: readonly Scenario[] = [
  { name: 'small over TLS', clients: 4, mustSurviveHosts: true, expected: small, run: get('small') },
  { name: 'small', clients: 2, needs: 'plain', mustSurviveHosts: true, expected: small, run: get('small', 'plain') },
  { name: 'small over h2', clients: 4, needs: 'h2', mustSurviveHosts: true, expected: small, run: askHttp2 },
  { name: '1 MiB', clients: 2, expected: big, run: get('big') },
  { name: '1 MiB to a slow reader', clients: 2, expected: big, run: get('big', 'tls', slowPartMs) },
  { name: 'chunked', clients: 2, expected: parts, run: get('chunked') },
  { name: 'event stream', clients: 2, expected: events, run: get('events') },
  { name: 'upload', clients: 3, expected: upload, run: echo() },
  { name: 'upload in chunks', clients: 2, expected: upload, run: echo({ chunked: true }) },
  { name: 'upload by a slow sender', clients: 2, expected: upload, run: echo({ pauseMs: slowPartMs }) },
  { name: 'upload given up', clients: 1, expected: nothing, run: giveUpUpload },
  { name: 'download given up', clients: 1, expected: big, run: giveUpDownload },
  { name: 'WebSocket', clients: 4, expected: parts, run: exchangeMessages },
]

interface AskOptions {
  scheme?: 'plain' | 'tls'
  method?: string
  length?: number
  ownConnection?: boolean
}

function ask(
  target: Target,
  path: string,
  options: AskOptions,
): { request: http.ClientRequest; response: Promise<IncomingMessage> } {
  const { scheme = 'tls', method = 'GET', length } = options
  const fields = { Host: siteName, ...(length === undefined ? {} : { 'Content-Length': length }) }
  const common = { host: '127.0.0.1', path, method, headers: fields, timeout: answerMs }
  const request =
    scheme === 'plain'
      ? http.request({ ...common, port: target.httpPort, agent: agents.plain })
      : https.request({
          ...common,
          port: target.httpsPort,
          agent: options.ownConnection ? false : agents.tls,
          servername: siteName,
          rejectUnauthorized: false,
        })
  const response = new Promise<IncomingMessage>((resolve, reject) => {
    request.on('timeout', () => request.destroy(silence()))
    request.on('error', reject)
    request.on('response', (found) => {
      if (found.statusCode === 200) return resolve(found)
      found.resume()
      reject(refusal(found.statusCode ?? 0))
    })
  })
  // Whoever writes the body waits for that first; a failure meanwhile must not count as unhandled.
  response.catch(() => {})
  return { request, response }
}

/** Sends a body and compares what comes back. `chunked`: without saying how long it is. */
function echo({ pauseMs = 0, chunked = false } = {}): Scenario['run'] {
  return async (target, seed, comparison) => {
    const body = upload(seed)
    const length = chunked ? {} : { length: body.length }
    const { request, response } = ask(target, `/echo/${seed}`, { method: 'POST', ...length })
    if (pauseMs > 0 || chunked) await sendInParts(request, body, pauseMs)
    else request.end(body)
    await readAll(await response, comparison)
  }
}

async function sendInParts(request: http.ClientRequest, body: Buffer, pauseMs: number): Promise<void> {
  const partLength = Math.ceil(body.length / 10)
  for (let at = 0; at < body.length && !request.destroyed; at += partLength) {
    request.write(body.subarray(at, at + partLength))
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
  request.end()
}

/** Sends half and leaves. What the gateway makes of it shows in its memory, and in whether others are served. */
async function giveUpUpload(target: Target, seed: number): Promise<void> {
  const body = upload(seed)
  const { request, response } = ask(target, `/echo/${seed}`, {
    method: 'POST',
    length: body.length,
    ownConnection: true,
  })
  request.write(body.subarray(0, body.length / 2))
  await new Promise((resolve) => setTimeout(resolve, slowPartMs))
  request.destroy()
  await response.catch(() => {})
}

/** Reads a part and leaves. */
async function giveUpDownload(target: Target, seed: number, comparison: Comparison): Promise<void> {
  const { request, response } = ask(target, `/big/${seed}`, { ownConnection: true })
  request.end()
  for await (const part of await response) {
    comparison.take(part as Buffer)
    if (comparison.bytes > bigBytes / 8) break
  }
  request.destroy()
}

let session: http2.ClientHttp2Session | undefined

/** All clients of this kind share one connection, as those of a browser do. */
function askHttp2(target: Target, seed: number, comparison: Comparison): Promise<void> {
  if (!session || session.closed || session.destroyed) {
    session = http2.connect(`https://127.0.0.1:${target.httpsPort}`, {
      servername: siteName,
      rejectUnauthorized: false,
    })
    session.on('error', () => {})
  }
  const stream = session.request({ ':path': `/small/${seed}`, ':authority': siteName })
  return new Promise((resolve, reject) => {
    let status = 0
    stream.setTimeout(answerMs, () => stream.destroy(silence()))
    stream.on('response', (head) => {
      status = Number(head[':status'])
    })
    // 'response' comes a tick late, and data that arrived with the head before it: what the status was shows only later.
    const parts: Buffer[] = []
    stream.on('data', (part: Buffer) => parts.push(part))
    let failure: Error | undefined
    stream.on('error', (error) => {
      failure = error
    })
    // Only the close tells how the stream ended: a reset without an error code, or one that cancels, gives an 'end' like any other.
    stream.on('close', () => {
      if (status === 200) for (const part of parts) comparison.take(part)
      if (failure) return reject(failure)
      if (stream.rstCode !== 0 || stream.aborted)
        return reject(new Error(`the stream was reset with code ${stream.rstCode}`))
      if (status !== 200) return reject(refusal(status))
      comparison.end()
      resolve()
    })
    stream.end()
  })
}

/** Closes what the clients keep open. */
export function closeClients(): void {
  agents.plain.destroy()
  agents.tls.destroy()
  session?.destroy()
  session = undefined
}

/** One WebSocket: message after message goes out and comes back. */
function exchangeMessages(target: Target, seed: number, comparison: Comparison): Promise<void> {
  const options = { host: '127.0.0.1', port: target.httpsPort, servername: siteName, rejectUnauthorized: false }
  const socket = connectTls({ ...options, ALPNProtocols: ['http/1.1'] })
  return new Promise((resolve, reject) => {
    let rest: Buffer = Buffer.alloc(0)
    let [isOpen, sent] = [false, 0]
    const send = (): void => {
      socket.write(textFrame(seededBytes(seed + sent++, partBytes), seededBytes(seed, 4)))
    }
    const fail = (why: Error): void => {
      socket.destroy()
      reject(why)
    }
    socket.setTimeout(answerMs, () => fail(silence()))
    socket.on('error', fail)
    socket.on('close', () => fail(new Error('the WebSocket was cut')))
    socket.once('secureConnect', () => {
      const key = seededBytes(seed, 16).toString('base64')
      const fields = `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n`
      socket.write(`GET /ws/${seed} HTTP/1.1\r\nHost: ${siteName}\r\n${fields}\r\n`)
    })
    socket.on('data', (part) => {
      rest = Buffer.concat([rest, part])
      if (!isOpen) {
        const end = rest.indexOf('\r\n\r\n')
        if (end < 0) return
        const line = rest.toString('latin1', 0, rest.indexOf('\r\n'))
        if (!line.startsWith('HTTP/1.1 101')) return fail(refusal(Number(line.split(' ')[1])))
        isOpen = true
        rest = rest.subarray(end + 4)
        return send()
      }
      const taken = takeFrame(rest)
      if (!taken) return
      comparison.take(taken.payload)
      rest = rest.subarray(taken.end)
      if (sent < partCount) return send()
      comparison.end()
      socket.removeAllListeners('close').end()
      resolve()
    })
  })
}
