import type { TLSSocket } from 'node:tls'
import { serveHttp1 } from './http1/serve-http1.ts'
import type { ListenContext } from './listen-context.ts'
import { SocketClient } from './socket-client.ts'
import type { SecureInfo } from './tls/tls-listener.ts'

/** Speaks the protocol that the handshake settled. */
export function serveSecure(socket: TLSSocket, info: SecureInfo, context: ListenContext): void {
  const client = new SocketClient(info.raw, true, info.serverName, info.clientVerified)
  serveHttp1(socket, client, context)
}
