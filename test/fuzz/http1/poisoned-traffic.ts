import assert from 'node:assert/strict'
import http2 from 'node:http2'
import net, { type Socket } from 'node:net'
import tls from 'node:tls'
import { seededRandom } from '../../../core/random.ts'
import { poison } from '../../../gateway/http1/message-socket.ts'
import type { TestGateway } from '../../../gateway/testing/test-gateway.ts'
import { Picker } from '../pick.ts'
import { readAnswers } from './check-answers.ts'
import { differenceTo, pattern } from './pattern.ts'
import { openPlace, type TrafficPlace } from './traffic-place.ts'

/** Begins an input that describes traffic: what follows is its seed, in decimal. */
export const trafficPrefix = 'traffic '
const clientsMax = 10
const requestsMax = 6

let place: Promise<TrafficPlace> | undefined
let owners = 0

/**
 * Lets several clients loose on a real gateway at once, each with content of its own, over plain TCP, TLS and HTTP/2, before hosts on HTTP/1.1 and
 * HTTP/2, with large and small bodies, slow readers and clients that leave, while memory that counts as free is overwritten. Every byte that arrives must be the one
 * that was sent.
 */
export async function checkTraffic(input: Buffer): Promise<string> {
  const seed = Number(input.toString('latin1', trafficPrefix.length)) || 0
  place ??= openPlace()
  const { overHttp1, overHttp2 } = await place
  const pick = new Picker(seededRandom(seed))
  const before = poison.on
  poison.on = true
  try {
    const plans = Array.from({ length: 2 + pick.below(clientsMax - 1) }, () => planClient(pick))
    await Promise.all(plans.map((plan) => run(plan, plan.host === 'h2' ? overHttp2 : overHttp1)))
    return 'traffic'
  } finally {
    poison.on = before
  }
}

export async function closeTraffic(): Promise<void> {
  const open = place
  place = undefined
  await (await open)?.[Symbol.asyncDispose]()
}

interface Plan {
  owner: number
  protocol: 'plain' | 'tls' | 'h2'
  /** What the host speaks. */
  host: 'http1' | 'h2'
  requests: { what: 'down' | 'up'; length: number; manner: 'length' | 'chunks' }[]
  /** Milliseconds to rest, now and then, while reading. */
  restMs: number
  /** All requests at once; otherwise one after the other. */
  pipelined: boolean
  /** Leaves after so many bytes. */
  leavesAfter: number
}

function planClient(pick: Picker): Plan {
  const size = (): number =>
    pick.of([0, 1, 300, 5_000, 16_384, 16_385, 70_000, 70_001, pick.below(400_000), pick.oneIn(6) ? 3_000_000 : 9])
  const requests = Array.from({ length: 1 + pick.below(requestsMax) }, () => ({
    what: pick.oneIn(3) ? ('up' as const) : ('down' as const),
    length: size(),
    manner: pick.oneIn(2) ? ('chunks' as const) : ('length' as const),
  }))
  return {
    owner: owners++,
    protocol: pick.of(['plain', 'tls', 'h2'] as const),
    host: pick.of(['http1', 'h2'] as const),
    requests,
    restMs: pick.oneIn(3) ? 1 + pick.below(8) : 0,
    pipelined: pick.oneIn(2),
    leavesAfter: pick.oneIn(5) ? pick.below(300_000) : Number.POSITIVE_INFINITY,
  }
}

async function run(plan: Plan, gateway: TestGateway): Promise<void> {
  if (plan.protocol === 'h2') await runHttp2(plan, gateway.httpsPort)
  else await runHttp1(plan, gateway)
}

function pathOf({ owner }: Plan, { what, length, manner }: Plan['requests'][number]): string {
  return `/${what}/${owner}/${length}/${manner}`
}

// --- HTTP/1

async function runHttp1(plan: Plan, gateway: TestGateway): Promise<void> {
  const socket = await connect(plan.protocol, gateway)
  const parts: Buffer[] = []
  let received = 0
  let left = false
  socket.on('data', (part: Buffer) => {
    parts.push(part)
    received += part.length
    if (received >= plan.leavesAfter && !left) {
      left = true
      socket.destroy()
    } else if (plan.restMs > 0) rest(socket, plan.restMs)
  })
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  const last = plan.requests.length - 1
  const messages = plan.requests.map((request, i) => requestBytes(plan, request, i === last))
  if (plan.pipelined) socket.write(Buffer.concat(messages))
  else
    for (const [i, message] of messages.entries()) {
      socket.write(message)
      if (i < last) await answered(parts, i + 1, closed)
    }
  await closed
  const answers = split(Buffer.concat(parts))
  if (!left) assert.equal(answers.length, plan.requests.length, `answers for ${plan.owner} (${JSON.stringify(plan)})`)
  for (const [i, { owner, body, complete }] of answers.entries()) checkAnswer(plan, i, owner, body, complete && !left)
}

function connect(protocol: Plan['protocol'], gateway: TestGateway): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const options = {
      host: '127.0.0.1',
      servername: 'app.test',
      rejectUnauthorized: false,
      ALPNProtocols: ['http/1.1'],
    }
    const socket: Socket =
      protocol === 'plain'
        ? net.connect(gateway.httpPort, '127.0.0.1', () => resolve(socket))
        : tls.connect({ ...options, port: gateway.httpsPort }, () => resolve(socket))
    socket.once('error', reject)
    socket.on('error', () => {})
  })
}

function rest(socket: Socket, ms: number): void {
  socket.pause()
  setTimeout(() => socket.resume(), ms)
}

function requestBytes(plan: Plan, request: Plan['requests'][number], last: boolean): Buffer {
  const { what, length, manner } = request
  const head = `${what === 'up' ? 'POST' : 'GET'} ${pathOf(plan, request)} HTTP/1.1\r\nHost: app.test\r\nX-Owner: ${plan.owner}\r\n`
  const close = last ? 'Connection: close\r\n' : ''
  if (what === 'down') return Buffer.from(`${head}${close}\r\n`)
  const body = pattern(plan.owner, length)
  if (manner === 'length') return Buffer.concat([Buffer.from(`${head}${close}Content-Length: ${length}\r\n\r\n`), body])
  const parts: Buffer[] = [Buffer.from(`${head}${close}Transfer-Encoding: chunked\r\n\r\n`)]
  for (let at = 0; at < length; at += 7_000) {
    const part = body.subarray(at, at + 7_000)
    parts.push(Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from('\r\n'))
  }
  return Buffer.concat([...parts, Buffer.from('0\r\n\r\n')])
}

/** Waits until so many whole answers are there, or the connection has closed. */
async function answered(parts: readonly Buffer[], count: number, closed: Promise<void>): Promise<void> {
  let over = false
  void closed.then(() => {
    over = true
  })
  let seen = 0
  while (!over) {
    if (parts.length !== seen) {
      seen = parts.length
      if (split(Buffer.concat(parts)).filter(({ complete }) => complete).length >= count) return
    }
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

interface Got {
  owner: string
  body: Buffer
  complete: boolean
}

/** Takes a stream of answers apart. */
function split(bytes: Buffer): Got[] {
  const all: Got[] = []
  while (bytes.length > 0) {
    const { answers, used } = readAnswers(bytes, 'GET')
    const answer = answers.at(-1)
    if (!answer) break
    const at = answer.fields.findIndex((name, i) => i % 2 === 0 && name.toLowerCase() === 'x-owner')
    all.push({
      owner: at < 0 ? `status ${answer.status}` : (answer.fields[at + 1] as string),
      body: answer.body,
      complete: answer.complete,
    })
    if (!answer.complete) break
    bytes = bytes.subarray(used)
  }
  return all
}

function checkAnswer(plan: Plan, index: number, owner: string, body: Buffer, complete: boolean): void {
  const { what, length } = plan.requests[index] as Plan['requests'][number]
  assert.equal(owner, String(plan.owner), `answer ${index + 1} for ${JSON.stringify(plan)}`)
  const expected = what === 'up' ? Buffer.from('right') : pattern(plan.owner, length)
  if (complete) assert.equal(body.length, expected.length, `length of answer ${index + 1} for ${plan.owner}`)
  if (!expected.subarray(0, body.length).equals(body))
    assert.fail(what === 'up' ? body.toString('latin1', 0, 300) : differenceTo(plan.owner, length, body))
}

// --- HTTP/2

async function runHttp2(plan: Plan, port: number): Promise<void> {
  const session = http2.connect(`https://127.0.0.1:${port}`, { rejectUnauthorized: false, servername: 'app.test' })
  session.on('error', () => {})
  await new Promise((resolve, reject) => session.once('connect', resolve).once('error', reject))
  const streams = plan.requests.map((_, i) => () => runStream(plan, i, session))
  if (plan.pipelined) await Promise.all(streams.map((stream) => stream()))
  else for (const stream of streams) await stream()
  session.destroy()
}

function runStream(plan: Plan, index: number, session: http2.ClientHttp2Session): Promise<void> {
  const request = plan.requests[index] as Plan['requests'][number]
  return new Promise((resolve, reject) => {
    const up = request.what === 'up'
    const stream = session.request(
      {
        ':method': up ? 'POST' : 'GET',
        ':path': pathOf(plan, request),
        ':authority': 'app.test',
        'x-owner': plan.owner,
      },
      { endStream: !up },
    )
    let owner = ''
    let received = 0
    let left = false
    const parts: Buffer[] = []
    stream.on('error', (error) => (left ? resolve() : reject(error)))
    stream.on('response', (fields) => {
      owner = String(fields['x-owner'] ?? `status ${fields[':status']}`)
    })
    stream.on('data', (part: Buffer) => {
      parts.push(part)
      received += part.length
      if (received >= plan.leavesAfter) {
        left = true
        stream.close(http2.constants.NGHTTP2_CANCEL)
      } else if (plan.restMs > 0) {
        stream.pause()
        setTimeout(() => stream.resume(), plan.restMs)
      }
    })
    stream.on('close', () => {
      try {
        if (owner !== '') checkAnswer(plan, index, owner, Buffer.concat(parts), !left)
        else assert.ok(left, 'a stream ended without an answer')
        resolve()
      } catch (error) {
        reject(error)
      }
    })
    if (up) stream.end(pattern(plan.owner, request.length))
  })
}
