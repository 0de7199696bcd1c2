import { createServer, type Server } from 'node:net'
import type { Door, Entered } from './door.ts'
import { serveHttp1 } from './http1/serve-http1.ts'
import type { ListenContext } from './listen-context.ts'

/** The listener for plain HTTP. Not listening yet. */
export function createPlainListener(door: Door, context: ListenContext): Server {
  const serve: Entered = (raw, client, first) => serveHttp1(raw, client, context, first)
  const server = createServer({ allowHalfOpen: true }, (raw) => door.enter(raw, serve))
  server.maxConnections = context.settings.config.limits.connectionsMax
  return server
}
