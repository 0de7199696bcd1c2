import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import tls, { type TLSSocket } from 'node:tls'
import { clientPreface, FrameType, frameHeadBytes } from '../../http2/frame.ts'
import { HpackDecoder } from '../../http2/hpack-decoder.ts'
import { ReceivedHead, releaseFields } from '../../http2/received-head.ts'
import { frame, settingsFrame, uint32 } from '../../listen/http2/testing/raw-client.ts'
import { hostCertificate } from '../../testing/http2-host.ts'

export interface HostFrame {
  type: number
  flags: number
  id: number
  payload: Buffer
  fields?: string[]
}

const received = new ReceivedHead({
  headBytesMax: 65_536,
  headFieldsMax: 200,
  uriBytesMax: 8_192,
  headerBlockBytesMax: 65_536,
  headerListBytesMax: 1_048_576,
  headerTableBytes: 4_096,
})

/** One connection to a host that sends whatever frames a test wants. */
export class RawHostConnection {
  readonly socket: TLSSocket
  readonly frames: HostFrame[] = []
  closed = false
  readonly #decoder = new HpackDecoder(4_096)
  readonly #onRequest: (connection: RawHostConnection, id: number, fields: string[]) => void
  #bytes = Buffer.alloc(0)
  #greeted = false

  constructor(socket: TLSSocket, onRequest: (connection: RawHostConnection, id: number, fields: string[]) => void) {
    this.socket = socket
    this.#onRequest = onRequest
    socket.on('data', (chunk: Buffer) => this.#read(chunk))
    socket.on('error', () => {})
    socket.on('close', () => {
      this.closed = true
    })
  }

  send(...parts: Buffer[]): void {
    this.socket.write(Buffer.concat(parts))
  }

  of(type: number, id?: number): HostFrame[] {
    return this.frames.filter((found) => found.type === type && (id === undefined || found.id === id))
  }

  /** Waits until `check` holds. */
  async until(check: () => boolean): Promise<void> {
    const endMs = performance.now() + 5_000
    while (!check()) {
      if (performance.now() > endMs)
        throw new Error(`still not so: ${check}; ${this.frames.map(({ type, id }) => `${type}@${id}`)}`)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }

  /** Waits for RST_STREAM on a stream, or GOAWAY for id 0. @returns its error code */
  async error(id: number): Promise<number> {
    const type = id === 0 ? FrameType.goaway : FrameType.rstStream
    await this.until(() => this.of(type, id).length > 0)
    return (this.of(type, id)[0] as HostFrame).payload.readUInt32BE(id === 0 ? 4 : 0)
  }

  #read(chunk: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk])
    if (!this.#greeted) {
      if (this.#bytes.length < clientPreface.length) return
      if (!this.#bytes.subarray(0, clientPreface.length).equals(clientPreface)) throw new Error('no client preface')
      this.#greeted = true
      this.#bytes = this.#bytes.subarray(clientPreface.length)
    }
    while (this.#bytes.length >= frameHeadBytes) {
      const length = this.#bytes.readUIntBE(0, 3)
      if (this.#bytes.length < frameHeadBytes + length) break
      const next: HostFrame = {
        type: this.#bytes[3] as number,
        flags: this.#bytes[4] as number,
        id: this.#bytes.readUInt32BE(5),
        payload: this.#bytes.subarray(frameHeadBytes, frameHeadBytes + length),
      }
      this.#bytes = this.#bytes.subarray(frameHeadBytes + length)
      this.frames.push(next)
      if (next.type === FrameType.headers) next.fields = this.#decode(next.payload)
      if (next.fields?.[0] === ':method') this.#onRequest(this, next.id, next.fields)
    }
  }

  #decode(block: Buffer): string[] {
    received.start()
    const error = this.#decoder.decode(block, 0, block.length, received)
    if (error !== 0 || received.malformed) throw new Error('the gateway sent a bad header block')
    const { method, scheme, authority, pathStart, pathEnd } = received
    const fields = received.takeFields()
    const path = fields.bytes.toString('latin1', pathStart, pathEnd)
    const pseudo = [':method', method, ':scheme', scheme, ':authority', authority, ':path', path]
    const pairs = [...(method === '' ? [] : pseudo), ...fields.pairs()]
    releaseFields(fields)
    return pairs
  }
}

/** A host of which every frame is the test's own. */
export interface RawHost extends AsyncDisposable {
  readonly origin: string
  readonly connections: RawHostConnection[]
  /** The connection that came first, once it is there. */
  first(): Promise<RawHostConnection>
}

/**
 * Starts one.
 * @param onRequest - called with each request head
 * @param greeting - what is sent first; SETTINGS without values when not given
 */
export async function startRawHttp2Host(
  onRequest: (connection: RawHostConnection, id: number, fields: string[]) => void,
  greeting: Buffer = settingsFrame([]),
): Promise<RawHost> {
  const { certificatePem, keyPem } = hostCertificate()
  const connections: RawHostConnection[] = []
  const server = tls.createServer({ cert: certificatePem, key: keyPem, ALPNProtocols: ['h2'] }, (socket) => {
    socket.setNoDelay(true)
    connections.push(new RawHostConnection(socket, onRequest))
    if (greeting.length > 0) socket.write(greeting)
  })
  server.on('tlsClientError', () => {})
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    origin: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    connections,
    async first() {
      const endMs = performance.now() + 5_000
      while (connections.length === 0 && performance.now() < endMs)
        await new Promise((resolve) => setTimeout(resolve, 5))
      return connections[0] as RawHostConnection
    },
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve))
      for (const { socket } of connections) socket.destroy()
      await closed
    },
  }
}

/** GOAWAY. */
export function goaway(lastId: number, code: number): Buffer {
  return frame(FrameType.goaway, 0, 0, Buffer.concat([uint32(lastId), uint32(code)]))
}
