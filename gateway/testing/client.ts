import http from 'node:http'
import https from 'node:https'
import net from 'node:net'
import tls from 'node:tls'

export interface ClientRequest {
  port: number
  /** Name for SNI and Host. */
  host: string
  path?: string
  method?: string
  headers?: Record<string, string | string[]> | string[]
  body?: string | Buffer
  plain?: boolean
  agent?: https.Agent
}

export interface ClientAnswer {
  status: number
  headers: http.IncomingHttpHeaders
  rawHeaders: string[]
  trailers: NodeJS.Dict<string>
  body: string
}

/** Sends one request as a client on the same machine would, and reads the whole answer. Rejects when the answer is cut. */
export async function ask(options: ClientRequest): Promise<ClientAnswer> {
  const answer = await askBytes(options)
  return { ...answer, body: answer.body.toString() }
}

/** The same, for a body that is no text. */
export function askBytes(options: ClientRequest): Promise<Omit<ClientAnswer, 'body'> & { body: Buffer }> {
  return new Promise((resolve, reject) => {
    const { port, host, path = '/', method = 'GET', headers = {}, plain = false } = options
    const given = Array.isArray(headers) ? ['Host', host, ...headers] : { Host: host, ...headers }
    const common = { port, path, method, headers: given, host: '127.0.0.1' }
    const request = plain
      ? http.request({ ...common, agent: false })
      : https.request({ ...common, agent: options.agent ?? false, servername: host, rejectUnauthorized: false })
    request.on('error', reject)
    request.on('response', (response) => {
      const parts: Buffer[] = []
      response.on('data', (part: Buffer) => parts.push(part))
      response.on('error', reject)
      response.on('end', () => {
        const { statusCode = 0, headers, rawHeaders, trailers } = response
        resolve({ status: statusCode, headers, rawHeaders, trailers, body: Buffer.concat(parts) })
      })
    })
    request.end(options.body)
  })
}

/** Opens a TLS connection and waits for the handshake. Rejects with the alert. */
export function connectTls(
  port: number,
  servername: string,
  options: tls.ConnectionOptions = {},
): Promise<tls.TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({
      port,
      host: '127.0.0.1',
      servername,
      rejectUnauthorized: false,
      ALPNProtocols: ['http/1.1'],
      ...options,
    })
    socket.once('error', reject)
    socket.once('secureConnect', () => resolve(socket))
  })
}

/** Sends raw bytes over TLS and returns all that comes back until the connection closes, or `idleMs` pass after the last byte. */
export async function sendRaw(port: number, servername: string, bytes: string | Buffer, idleMs = 300): Promise<string> {
  const socket = await connectTls(port, servername)
  return collect(socket, bytes, idleMs)
}

/** The same over plain TCP. */
export function sendRawPlain(port: number, bytes: string | Buffer, idleMs = 300): Promise<string> {
  return collect(net.connect(port, '127.0.0.1'), bytes, idleMs)
}

function collect(socket: net.Socket, bytes: string | Buffer, idleMs: number): Promise<string> {
  return new Promise((resolve) => {
    let text = ''
    socket.on('data', (part) => {
      text += part.toString('latin1')
      // Only now: how long the first byte takes is the machine's load, not the answer's.
      socket.setTimeout(idleMs)
    })
    socket.on('error', () => {})
    socket.setTimeout(10_000, () => socket.destroy())
    socket.once('close', () => resolve(text))
    socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  })
}
