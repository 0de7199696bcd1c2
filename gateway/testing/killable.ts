import type { AddressInfo, Server, Socket } from 'node:net'

/** A server that can go away and come back on the same port. */
export interface Killable {
  readonly port: number
  kill(): Promise<void>
  revive(): Promise<void>
}

/** Listens on a free loopback port. `kill` closes the server with all its connections; `revive` listens again. */
export async function listenKillably(server: Server): Promise<Killable> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  const listen = (port: number): Promise<void> =>
    new Promise((resolve) => void server.listen(port, '127.0.0.1', () => resolve()))
  const kill = async (): Promise<void> => {
    if (!server.listening) return
    const closed = new Promise((resolve) => server.close(resolve))
    // Not resetAndDestroy(): on a socket that is shutting down it never closes the handle (Node 24.21), and the process spins.
    for (const socket of sockets) socket.destroy()
    await closed
  }
  await listen(0)
  const { port } = server.address() as AddressInfo
  return { port, kill, revive: () => listen(port) }
}
