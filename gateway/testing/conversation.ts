import net, { type Socket } from 'node:net'
import { until } from './until.ts'

/** A connection whose bytes a test sends and looks at one by one. */
export interface Conversation extends AsyncDisposable {
  readonly socket: Socket
  /** All that came so far, Latin-1. */
  readonly text: string
  /** The other side has ended it, cleanly or not. */
  readonly ended: boolean
  say(bytes: string | Buffer): void
  /** Waits until all that came matches. */
  hear(pattern: RegExp): Promise<string>
  /** Waits until the connection is closed, and returns all that came. */
  end(): Promise<string>
  /** Forgets what came so far. */
  forget(): void
}

/** Reads along on a socket. */
export function converse(socket: Socket): Conversation {
  let text = ''
  let ended = false
  socket.on('data', (part) => {
    text += part.toString('latin1')
  })
  socket.on('error', () => {})
  socket.on('end', () => {
    ended = true
  })
  socket.on('close', () => {
    ended = true
  })
  return {
    socket,
    get text() {
      return text
    },
    get ended() {
      return ended
    },
    say: (bytes) => void socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes),
    async hear(pattern) {
      await until(() => {
        if (ended && !pattern.test(text))
          throw new Error(`the connection ended before ${pattern}: ${JSON.stringify(text)}`)
        return pattern.test(text)
      })
      return text
    },
    async end() {
      await until(() => ended)
      return text
    },
    forget() {
      text = ''
    },
    async [Symbol.asyncDispose]() {
      socket.destroy()
    },
  }
}

/** Opens a plain TCP connection, from an address of this machine if given. */
export function connectPlain(port: number, localAddress = '127.0.0.1'): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ port, host: '127.0.0.1', localAddress })
    socket.once('error', reject)
    socket.once('connect', () => resolve(socket))
  })
}
