import http2, { type Http2SecureServer, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import type { SiteCertificate } from '../ports.ts'
import { listenKillably } from './killable.ts'
import { selfSigned } from './self-signed.ts'

let certificate: SiteCertificate | undefined

/** The certificate of hosts on this machine; `hostAuthorities` of a gateway that is to trust them. */
export function hostCertificate(): SiteCertificate {
  certificate ??= selfSigned(['127.0.0.1'])
  return certificate
}

/** A compute host on HTTP/2 (and HTTP/1.1, for who wants that) for tests. `kill` closes it with all connections; `revive` listens again. */
export interface FakeHttp2Host extends AsyncDisposable {
  readonly origin: string
  readonly server: Http2SecureServer
  /** Connections that came so far, by what they chose, and how many of them resumed a session. */
  readonly connections: { h2: number; http1: number; resumed: number }
  /** Heads of requests, without probes. */
  readonly seen: IncomingHttpHeaders[]
  kill(): Promise<void>
  revive(): Promise<void>
}

/** Starts a host that answers each stream with `answer`; probes (`/healthz`) are answered 200 by themselves. */
export async function startHttp2Host(
  answer: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void,
  options: http2.SecureServerOptions = {},
): Promise<FakeHttp2Host> {
  const { certificatePem, keyPem } = hostCertificate()
  const server = http2.createSecureServer({ cert: certificatePem, key: keyPem, allowHTTP1: true, ...options })
  const seen: IncomingHttpHeaders[] = []
  const connections = { h2: 0, http1: 0, resumed: 0 }
  server.on('secureConnection', (socket: TLSSocket) => {
    connections[socket.alpnProtocol === 'h2' ? 'h2' : 'http1']++
    if (socket.isSessionReused()) connections.resumed++
    socket.on('error', () => {})
  })
  server.on('sessionError', () => {})
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {})
    if (headers[':path'] === '/healthz') {
      stream.respond({ ':status': 200 })
      return void stream.end('ok')
    }
    seen.push(headers)
    answer(stream, headers)
  })
  const { port, kill, revive } = await listenKillably(server)
  return {
    origin: `https://127.0.0.1:${port}`,
    server,
    connections,
    seen,
    kill,
    revive,
    [Symbol.asyncDispose]: kill,
  }
}
