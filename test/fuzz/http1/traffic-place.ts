import { startFakeHost } from '../../../gateway/testing/fake-host.ts'
import { hostCertificate, startHttp2Host } from '../../../gateway/testing/http2-host.ts'
import { startTestGateway, type TestGateway } from '../../../gateway/testing/test-gateway.ts'
import { differenceTo, pattern } from './pattern.ts'

/** Two gateways on real sockets: one before a host on HTTP/1.1, one before a host on HTTP/2. */
export interface TrafficPlace extends AsyncDisposable {
  overHttp1: TestGateway
  overHttp2: TestGateway
}

/** Pieces in which a body of unknown length is written. */
const pieceBytes = 9_000

export async function openPlace(): Promise<TrafficPlace> {
  await using stack = new AsyncDisposableStack()
  const plain = stack.use(await startHttp1())
  const secure = stack.use(await startHttp2())
  const config = {
    listen: { plainSites: true },
    clients: { requestsPerSecond: 0, handshakesPerSecond: 0 },
  }
  const overHttp1 = stack.use(await startTestGateway(config))
  overHttp1.hosts.add('one', plain.origin)
  const overHttp2 = stack.use(await startTestGateway(config, { hostAuthorities: hostCertificate().certificatePem }))
  overHttp2.hosts.add('one', secure.origin)
  const moved = stack.move()
  return { overHttp1, overHttp2, [Symbol.asyncDispose]: () => moved.disposeAsync() }
}

async function startHttp1() {
  const host = await startFakeHost((request, response) => {
    const parts: Buffer[] = []
    request.on('error', () => {})
    request.on('data', (part: Buffer) => parts.push(part))
    request.on('end', () => {
      const { owner, body, chunked } = answerTo(request.url ?? '', Buffer.concat(parts))
      if (request.headers['x-owner'] !== owner) response.destroy(new Error('fields of another client'))
      response.writeHead(200, { 'X-Owner': owner, ...(chunked ? {} : { 'Content-Length': body.length }) })
      if (chunked) for (const piece of piecesOf(body)) response.write(piece)
      response.end(chunked ? undefined : body)
    })
  })
  // A connection that the host closes while a POST is on its way to it would be a failure for the right reason.
  host.server.keepAliveTimeout = 600_000
  return host
}

function startHttp2() {
  return startHttp2Host((stream, headers) => {
    const parts: Buffer[] = []
    stream.on('data', (part: Buffer) => parts.push(part))
    stream.on('end', () => {
      const { owner, body, chunked } = answerTo(headers[':path'] ?? '', Buffer.concat(parts))
      if (stream.destroyed || stream.closed) return
      if (headers['x-owner'] !== owner) return stream.close(2)
      stream.respond({ ':status': 200, 'x-owner': owner, ...(chunked ? {} : { 'content-length': body.length }) })
      if (chunked) for (const piece of piecesOf(body)) stream.write(piece)
      stream.end(chunked ? undefined : body)
    })
  })
}

/** What a host answers: to an upload, whether it came whole; to everything else, content of the owner's. */
function answerTo(url: string, received: Buffer): { owner: string; body: Buffer; chunked: boolean } {
  const [, , , what, owner = '', length, manner] = url.split('/')
  const size = Number(length)
  const wrong = what === 'up' ? differenceTo(Number(owner), size, received) : undefined
  const body = what === 'up' ? Buffer.from(wrong ?? 'right') : pattern(Number(owner), size)
  return { owner, body, chunked: manner === 'chunks' }
}

function piecesOf(body: Buffer): Buffer[] {
  return Array.from({ length: Math.ceil(body.length / pieceBytes) }, (_, i) =>
    body.subarray(i * pieceBytes, (i + 1) * pieceBytes),
  )
}
