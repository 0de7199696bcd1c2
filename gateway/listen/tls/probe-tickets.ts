import { randomBytes } from 'node:crypto'
import { type Duplex, duplexPair } from 'node:stream'
import tls, { type SecureContext, type TLSSocket } from 'node:tls'

const probeMs = 2_000

interface NativeContext {
  enableTicketKeyCallback?: () => void
  onticketkeycallback?: (name: Buffer, iv: Buffer, seal: boolean) => unknown[]
}

let answer: Promise<boolean> | undefined

/**
 * Whether this Node lets us seal, open and renew session tickets one by one. The interface is internal to Node (`enableTicketKeyCallback` of
 * the native context, there since version 0.12 for its own tests), so it is tried out: one handshake in memory, and one that resumes it.
 * Asked once per process.
 */
export function probeTickets(): Promise<boolean> {
  answer ??= tryTickets().catch(() => false)
  return answer
}

async function tryTickets(): Promise<boolean> {
  // An anonymous cipher: there is no certificate at hand, and none is needed to get a ticket.
  const options = { ciphers: 'AECDH-AES128-SHA:@SECLEVEL=0', maxVersion: 'TLSv1.2', minVersion: 'TLSv1.2' } as const
  const [server, client] = [tls.createSecureContext(options), tls.createSecureContext(options)]
  const native = (server as unknown as { context: NativeContext }).context
  if (typeof native.enableTicketKeyCallback !== 'function') return false
  const [name, key, iv] = [randomBytes(16), randomBytes(16), randomBytes(16)]
  const calls: string[] = []
  native.onticketkeycallback = (given, _iv, seal) => {
    calls.push(seal ? 'seal' : 'open')
    if (seal) return [1, key, key, name, iv]
    return [given.equals(name) ? 2 : 0, key, key]
  }
  native.enableTicketKeyCallback()
  const first = await handshake(server, client, undefined)
  const second = await handshake(server, client, first.session)
  return second.resumed && calls.join(' ') === 'seal open seal'
}

function handshake(
  server: SecureContext,
  client: SecureContext,
  session: Buffer | undefined,
): Promise<{ session: Buffer | undefined; resumed: boolean }> {
  const [near, far] = duplexPair()
  return new Promise((resolve, reject) => {
    const ended = (error?: Error): void => {
      clearTimeout(timer)
      accepted.destroy()
      connected.destroy()
      if (error) reject(error)
      else resolve(result)
    }
    const timer = setTimeout(ended, probeMs, new Error('The handshake did not end.'))
    let result: { session: Buffer | undefined; resumed: boolean }
    const accepted = new tls.TLSSocket(far as never, { isServer: true, secureContext: server })
    const connected = connect(near, client, session)
    accepted.on('error', ended)
    connected.on('error', ended)
    connected.once('secureConnect', () => {
      result = { session: connected.getSession(), resumed: connected.isSessionReused() }
      ended()
    })
  })
}

function connect(socket: Duplex, secureContext: SecureContext, session: Buffer | undefined): TLSSocket {
  return tls.connect({ socket, secureContext, rejectUnauthorized: false, ...(session ? { session } : {}) })
}
