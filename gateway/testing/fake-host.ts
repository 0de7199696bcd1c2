import http, { type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import net, { type AddressInfo, type Socket } from 'node:net'
import { listenKillably } from './killable.ts'

/** A compute host for tests on a real socket. `kill` closes it with all connections; `revive` listens on the same port again. */
export interface FakeHost extends AsyncDisposable {
  readonly origin: string
  readonly port: number
  /** Requests seen, without probes. */
  readonly seen: { method: string; url: string; rawHeaders: string[] }[]
  readonly server: http.Server
  kill(): Promise<void>
  revive(): Promise<void>
}

/** Starts a host that answers with `listener`; probes (`/healthz`) are answered 200 by themselves. */
export async function startFakeHost(listener: RequestListener): Promise<FakeHost> {
  const seen: FakeHost['seen'] = []
  const server = http.createServer((request: IncomingMessage, response: ServerResponse) => {
    if (request.url === '/healthz') return void response.end('ok')
    seen.push({ method: request.method ?? '', url: request.url ?? '', rawHeaders: request.rawHeaders })
    listener(request, response)
  })
  const { port, kill, revive } = await listenKillably(server)
  return { origin: `http://127.0.0.1:${port}`, port, seen, server, kill, revive, [Symbol.asyncDispose]: kill }
}

/** Starts a host that speaks raw bytes: `answer` gets the socket once the first bytes of a request have come. */
export async function startRawHost(
  answer: (socket: Socket, request: Buffer) => void,
): Promise<AsyncDisposable & { origin: string }> {
  const sockets = new Set<Socket>()
  const server = net.createServer((socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket)).on('error', () => {})
    socket.once('data', (request) => answer(socket, request))
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve))
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}
