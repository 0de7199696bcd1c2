import net, { type AddressInfo, type Socket } from 'node:net'

/** What one read may bring; the kernel seldom has more at once. */
const readBytes = 65_536

/**
 * Where accepted sockets read into: one buffer for all of a worker, since what is read is used or copied before the next read. Node would
 * make a new 64 KiB buffer for every read, which at full speed is most of the garbage of a gateway.
 */
const shared = Buffer.allocUnsafeSlow(readBytes)

/** Called with the socket as `this`, and where in `bytes` (which is read into again afterwards) the new data ends. */
export type OnRead = (this: Socket, count: number, bytes: Buffer) => boolean

interface Internals {
  buffer: symbol
  callback: symbol
}

interface ReadingSocket {
  [name: symbol]: unknown
  _handle?: { useUserBuffer?(buffer: Uint8Array): void } | null
}

/**
 * `net.connect` can be told to read into a buffer (its option `onread`), a listener cannot. The option sets two fields of the socket and
 * makes one call; this finds them. They are internal to Node, so `canReadInto` tries all of it before anybody relies on it.
 */
const internals: Internals | undefined = (() => {
  const symbols = Object.getOwnPropertySymbols(new net.Socket())
  const named = (name: string): symbol | undefined => symbols.find(({ description }) => description === name)
  const [buffer, callback] = [named('kBuffer'), named('kBufferCb')]
  return buffer && callback ? { buffer, callback } : undefined
})()

let works = false

/** Makes the socket read into the shared buffer from now on. False when this Node cannot; then listen to `data`. */
export function readInto(socket: Socket, onRead: OnRead): boolean {
  return works && attach(socket, onRead)
}

function attach(socket: Socket, onRead: OnRead): boolean {
  const reading = socket as unknown as ReadingSocket
  const handle = reading._handle
  if (!internals || typeof handle?.useUserBuffer !== 'function') return false
  reading[internals.buffer] = shared
  reading[internals.callback] = onRead
  handle.useUserBuffer(shared)
  return true
}

/** Finds out, by a connection over loopback, whether accepted sockets can read into a buffer of ours. Once per process. */
let probe: Promise<boolean> | undefined
export function canReadInto(): Promise<boolean> {
  probe ??= tryOut().then((result) => {
    works = result
    return result
  })
  return probe
}

async function tryOut(): Promise<boolean> {
  const word = 'probe'
  const probeMs = 2_000
  const server = net.createServer()
  const clients: Socket[] = []
  try {
    const got = new Promise<string>((resolve, reject) => {
      setTimeout(() => reject(new Error('nothing was read')), probeMs).unref()
      server.on('error', reject)
      server.once('connection', (socket) => {
        clients.push(socket)
        socket.on('data', () => reject(new Error('read elsewhere')))
        const attached = attach(socket, (count, bytes) => {
          resolve(bytes.toString('latin1', 0, count))
          return true
        })
        if (!attached) reject(new Error('no such fields'))
        socket.on('error', reject)
      })
      server.listen(0, '127.0.0.1', () => {
        const client = net.connect((server.address() as AddressInfo).port, '127.0.0.1')
        clients.push(client)
        client.on('error', reject)
        client.write(word)
      })
    })
    return (await got) === word
  } catch {
    return false
  } finally {
    for (const socket of clients) socket.destroy()
    server.close()
  }
}
