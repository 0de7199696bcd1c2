import http2, { type ClientHttp2Session, type ClientHttp2Stream, type OutgoingHttpHeaders } from 'node:http2'
import tls from 'node:tls'

export interface Http2Request {
  host: string
  path?: string
  method?: string
  headers?: OutgoingHttpHeaders
  body?: string | Buffer
  /** Sent after the body. */
  trailers?: OutgoingHttpHeaders
}

export interface Http2Answer {
  status: number
  headers: http2.IncomingHttpHeaders
  /** Statuses of informational answers, in order. */
  hints: { status: number; headers: http2.IncomingHttpHeaders }[]
  trailers: http2.IncomingHttpHeaders
  body: Buffer
}

/** Opens an HTTP/2 connection and waits for the settings of the gateway. `options` go to `tls.connect`; `session` to Node's client. */
export function connectHttp2(
  port: number,
  servername: string,
  options: tls.ConnectionOptions = {},
  session: http2.ClientSessionOptions = {},
): Promise<ClientHttp2Session & AsyncDisposable> {
  return new Promise((resolve, reject) => {
    const where = { port, host: '127.0.0.1', servername, rejectUnauthorized: false, ALPNProtocols: ['h2'] }
    // The session itself is silent when its socket is refused after the handshake.
    const socket = tls.connect({ ...where, ...options }).once('error', reject)
    const client = http2.connect(`https://${servername}`, { ...session, createConnection: () => socket })
    client.once('error', reject)
    client.once('close', () => reject(new Error('the connection was closed')))
    client.once('remoteSettings', () => {
      client.off('error', reject).on('error', () => {})
      const close = async (): Promise<void> => void client.destroy()
      resolve(Object.assign(client, { [Symbol.asyncDispose]: close }) as never)
    })
  })
}

/** Begins a request; the caller does with the stream what it likes. */
export function beginHttp2(session: ClientHttp2Session, request: Http2Request): ClientHttp2Stream {
  const { host, path = '/', method = 'GET', headers = {}, trailers } = request
  const endStream = request.body === undefined && trailers === undefined && method !== 'CONNECT'
  return session.request(
    { ':authority': host, ':path': path, ':method': method, ...headers },
    { endStream, waitForTrailers: trailers !== undefined },
  )
}

/** One request on an open connection, with its whole answer. Rejects when the stream is reset. */
export function askHttp2(session: ClientHttp2Session, request: Http2Request): Promise<Http2Answer> {
  return new Promise((resolve, reject) => {
    const stream = beginHttp2(session, request)
    const answer: Http2Answer = { status: 0, headers: {}, hints: [], trailers: {}, body: Buffer.alloc(0) }
    const parts: Buffer[] = []
    stream.on('headers', (headers) => answer.hints.push({ status: Number(headers[':status']), headers }))
    stream.on('response', (headers) => {
      answer.status = Number(headers[':status'])
      answer.headers = headers
    })
    stream.on('trailers', (trailers) => {
      answer.trailers = trailers
    })
    stream.on('data', (part: Buffer) => parts.push(part))
    stream.on('error', reject)
    stream.on('wantTrailers', () => stream.sendTrailers(request.trailers ?? {}))
    // Not at 'end': the 'response' event may come a tick after it.
    stream.on('close', () => {
      if (stream.rstCode !== 0) return reject(new Error(`the stream was reset with code ${stream.rstCode}`))
      answer.body = Buffer.concat(parts)
      resolve(answer)
    })
    if (request.body !== undefined || request.trailers) stream.end(request.body)
  })
}
