import { once } from 'node:events'
import { connect, type TLSSocket } from 'node:tls'
import { clientPreface, FrameType, frameHeadBytes, framePayloadMax } from '../../../http2/frame.ts'
import { HpackDecoder } from '../../../http2/hpack-decoder.ts'
import { ReceivedHead, releaseFields } from '../../../http2/received-head.ts'

/** A frame as a test sees it. */
export interface RawFrame {
  type: number
  flags: number
  id: number
  payload: Buffer
  /** Of HEADERS: names and values, pseudo-header fields first. */
  fields?: string[]
}

const errorFrames: number[] = [FrameType.rstStream, FrameType.goaway]
const head = new ReceivedHead({
  headBytesMax: 65_536,
  headFieldsMax: 200,
  uriBytesMax: 8_192,
  headerBlockBytesMax: 65_536,
  headerListBytesMax: 1_048_576,
  headerTableBytes: 4_096,
})

/** A client that sends whatever bytes a test wants, and shows the frames that come back. */
export class RawClient implements AsyncDisposable {
  readonly socket: TLSSocket
  readonly frames: RawFrame[] = []
  closed = false
  /** Frames are read, and windows opened by nobody but the test. */
  readonly #decoder = new HpackDecoder(4_096)
  #bytes = Buffer.alloc(0)
  #changed: (() => void)[] = []

  constructor(socket: TLSSocket) {
    this.socket = socket
    socket.on('data', (chunk: Buffer) => this.#read(chunk))
    socket.on('error', () => {})
    socket.on('close', () => {
      this.closed = true
      this.#wake()
    })
  }

  /** Connects without sending anything. */
  static async open(port: number): Promise<RawClient> {
    const socket = connect({
      port,
      host: '127.0.0.1',
      ALPNProtocols: ['h2'],
      rejectUnauthorized: false,
      servername: 'app.test',
    })
    await once(socket, 'secureConnect')
    socket.setNoDelay(true)
    return new RawClient(socket)
  }

  /** Connects and sends preface and settings. */
  static async start(port: number, settings: readonly (readonly [number, number])[] = []): Promise<RawClient> {
    const client = await RawClient.open(port)
    client.send(clientPreface, settingsFrame(settings))
    await client.until(() => client.has(FrameType.settings, (frame) => frame.flags === 1))
    return client
  }

  send(...parts: Buffer[]): void {
    this.socket.write(Buffer.concat(parts))
  }

  has(type: number, check: (frame: RawFrame) => boolean = () => true): boolean {
    return this.frames.some((frame) => frame.type === type && check(frame))
  }

  of(type: number, id: number): RawFrame[] {
    return this.frames.filter((frame) => frame.type === type && frame.id === id)
  }

  /** The content of a stream so far. */
  body(id: number): Buffer {
    return Buffer.concat(this.of(FrameType.data, id).map(({ payload }) => payload))
  }

  /** Waits until `check` holds, looking at each read. Fails when the connection closes before, or after five seconds. */
  async until(check: () => boolean): Promise<void> {
    const late = AbortSignal.timeout(5_000)
    while (!check()) {
      if (this.closed) throw new Error(`the connection has closed; frames: ${this.describe()}`)
      if (late.aborted) throw new Error(`still not so; frames: ${this.describe()}`)
      await new Promise<void>((resolve) => {
        this.#changed.push(resolve)
        setTimeout(resolve, 50)
      })
    }
  }

  /** Waits for RST_STREAM on a stream, or GOAWAY for id 0. @returns its error code */
  async error(id: number): Promise<number> {
    const find = (): RawFrame | undefined =>
      this.frames.find((frame) => errorFrames.includes(frame.type) && frame.id === id)
    await this.until(() => find() !== undefined)
    const frame = find() as RawFrame
    return frame.payload.readUInt32BE(frame.type === FrameType.goaway ? 4 : 0)
  }

  /** Waits for an answer's end. */
  async ended(id: number): Promise<void> {
    await this.until(() => this.frames.some((frame) => frame.id === id && frame.type <= 1 && (frame.flags & 1) !== 0))
  }

  /** Waits for a PING to come back: all that was sent before has been read, and all that answers it at once has come. */
  async settle(): Promise<void> {
    const before = this.frames.filter(({ type }) => type === FrameType.ping).length
    this.send(frame(FrameType.ping, 0, 0, Buffer.alloc(8)))
    await this.until(() => this.frames.filter(({ type }) => type === FrameType.ping).length > before)
  }

  describe(): string {
    return this.frames.map(({ type, flags, id, payload }) => `${type}/${flags}@${id}(${payload.length})`).join(' ')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.destroy()
    if (!this.closed) await once(this.socket, 'close')
  }

  #read(chunk: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk])
    while (this.#bytes.length >= frameHeadBytes) {
      const length = this.#bytes.readUIntBE(0, 3)
      if (this.#bytes.length < frameHeadBytes + length) break
      const payload = this.#bytes.subarray(frameHeadBytes, frameHeadBytes + length)
      const next: RawFrame = {
        type: this.#bytes[3] as number,
        flags: this.#bytes[4] as number,
        id: this.#bytes.readUInt32BE(5),
        payload,
      }
      if (next.type === FrameType.headers) next.fields = this.#decode(payload)
      this.frames.push(next)
      this.#bytes = this.#bytes.subarray(frameHeadBytes + length)
    }
    this.#wake()
  }

  #decode(block: Buffer): string[] {
    head.start()
    const error = this.#decoder.decode(block, 0, block.length, head)
    if (error !== 0 || head.malformed) throw new Error('the server sent a bad header block')
    const fields = head.takeFields()
    const pairs = [...(head.status ? [':status', String(head.status)] : []), ...fields.pairs()]
    releaseFields(fields)
    return pairs
  }

  #wake(): void {
    const waiting = this.#changed
    this.#changed = []
    for (const resolve of waiting) resolve()
  }
}

/** Any frame. */
export function frame(type: number, flags: number, id: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const out = Buffer.alloc(frameHeadBytes)
  out.writeUIntBE(payload.length, 0, 3)
  out[3] = type
  out[4] = flags
  out.writeUInt32BE(id, 5)
  return Buffer.concat([out, payload])
}

export function settingsFrame(settings: readonly (readonly [number, number])[]): Buffer {
  const payload = Buffer.alloc(settings.length * 6)
  settings.forEach(([name, value], i) => {
    payload.writeUInt16BE(name, i * 6)
    payload.writeUInt32BE(value, i * 6 + 2)
  })
  return frame(FrameType.settings, 0, 0, payload)
}

/** A header block of literals that touch no table. */
export function block(pairs: readonly string[]): Buffer {
  const parts: Buffer[] = []
  for (let i = 0; i + 1 < pairs.length; i += 2)
    parts.push(Buffer.of(0), string(pairs[i] as string), string(pairs[i + 1] as string))
  return Buffer.concat(parts)
}

/** HEADERS, with CONTINUATION where the block needs it. */
export function headers(id: number, pairs: readonly string[], endStream = true): Buffer {
  const whole = block(pairs)
  const flag = endStream ? 1 : 0
  if (whole.length <= framePayloadMax) return frame(FrameType.headers, flag | 4, id, whole)
  const parts = [frame(FrameType.headers, flag, id, whole.subarray(0, framePayloadMax))]
  for (let at = framePayloadMax; at < whole.length; at += framePayloadMax) {
    const last = at + framePayloadMax >= whole.length
    parts.push(frame(FrameType.continuation, last ? 4 : 0, id, whole.subarray(at, at + framePayloadMax)))
  }
  return Buffer.concat(parts)
}

export function data(id: number, payload: Buffer | string, endStream = false): Buffer {
  return frame(FrameType.data, endStream ? 1 : 0, id, Buffer.from(payload))
}

export function windowUpdate(id: number, increment: number): Buffer {
  return frame(FrameType.windowUpdate, 0, id, uint32(increment))
}

export function reset(id: number, code = 8): Buffer {
  return frame(FrameType.rstStream, 0, id, uint32(code))
}

export function uint32(value: number): Buffer {
  const out = Buffer.alloc(4)
  out.writeUInt32BE(value)
  return out
}

/** The pseudo-header fields of a plain request, with more fields. */
export function request(method = 'GET', path = '/', ...more: string[]): string[] {
  return [':method', method, ':scheme', 'https', ':authority', 'app.test', ':path', path, ...more]
}

function string(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1')
  const out: number[] = []
  if (bytes.length < 127) out.push(bytes.length)
  else {
    out.push(127)
    let rest = bytes.length - 127
    for (; rest >= 128; rest >>>= 7) out.push(0x80 | (rest & 127))
    out.push(rest)
  }
  return Buffer.concat([Buffer.from(out), bytes])
}
