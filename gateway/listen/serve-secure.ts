import type { TLSSocket } from 'node:tls'
import { clientOn } from './door.ts'
import { serveHttp1 } from './http1/serve-http1.ts'
import { Http2Connection } from './http2/http2-connection.ts'
import type { Http2Context } from './http2/ports.ts'
import type { ListenContext } from './listen-context.ts'
import type { SecureInfo } from './tls/tls-listener.ts'

/** Speaks the protocol that the handshake settled. */
export function serveSecure(socket: TLSSocket, info: SecureInfo, http1: ListenContext, http2: Http2Context): void {
  const client = clientOn(info.raw)
  client.secured(info.serverName, info.clientVerified)
  if (info.protocol === 'h2') new Http2Connection(socket, client, http2)
  else serveHttp1(socket, client, http1)
}
