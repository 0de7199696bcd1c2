import { createServer, type Server } from 'node:net'
import { serveHttp1 } from './http1/serve-http1.ts'
import type { ListenContext } from './listen-context.ts'
import { SocketClient } from './socket-client.ts'

/** The listener for plain HTTP. Not listening yet. */
export function createPlainListener(context: ListenContext): Server {
  const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) =>
    serveHttp1(socket, new SocketClient(socket, false, undefined, false), context),
  )
  server.maxConnections = context.settings.config.limits.connectionsMax
  return server
}
