import { WebSocket } from 'ws'
import type { Clock } from '../../core/clock.ts'

export interface MessageSocketOptions {
  clock: Clock
  /** A connection without any sign of life for this time is asked for one, and ended when it gives none for as long again. */
  pingMs: number
  /** Ends the connection. */
  signal: AbortSignal
  onOpen(): void
  /** The other side showed that it is there. */
  onAlive(): void
  onText(text: string): void
}

export interface MessageSocket {
  /** Resolves when the connection has ended or could not be made; never rejects. */
  readonly ended: Promise<void>
  /** Ends the connection at once. */
  terminate(): void
}

const frameBytesMax = 16_777_216

/** Opens a WebSocket for text frames of at most 16 MiB. The runtime's own WebSocket cannot ping, so a dead peer would stay unnoticed. */
export function openSocket(url: string, options: MessageSocketOptions): MessageSocket {
  const { clock, pingMs, signal } = options
  const ended = Promise.withResolvers<void>()
  const socket = new WebSocket(url, { maxPayload: frameBytesMax, followRedirects: false, perMessageDeflate: false })
  let asked = false
  const alive = (): void => {
    asked = false
    options.onAlive()
  }
  // The first round bounds the handshake too.
  const check = (): void => {
    if (asked || socket.readyState !== WebSocket.OPEN) terminate()
    else {
      asked = true
      socket.ping()
      timer = clock.schedule(pingMs, check)
    }
  }
  let timer = clock.schedule(pingMs, check)
  const end = (): void => {
    timer[Symbol.dispose]()
    signal.removeEventListener('abort', terminate)
    ended.resolve()
  }
  const terminate = (): void => socket.terminate()
  signal.addEventListener('abort', terminate, { once: true })
  socket.on('open', options.onOpen)
  socket.on('pong', alive)
  socket.on('ping', alive)
  socket.on('message', (data, isBinary) => {
    alive()
    if (!isBinary) options.onText(data.toString())
  })
  // What went wrong shows in `close`, which follows.
  socket.on('error', () => {})
  socket.on('close', end)
  if (signal.aborted) terminate()
  return { ended: ended.promise, terminate }
}
