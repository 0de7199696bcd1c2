import type { Duplex } from 'node:stream'
import { GuestEndedError, HostFullError, LinkProtocolError } from '../errors.ts'
import { encodeFrame, encodeFrameHeader, type Frame, FrameDecoder, type FrameType } from './frame.ts'
import { LinkStream, type StreamLink } from './link-stream.ts'
import { encodeSettings, type GuestSettings, parsePairs } from './settings.ts'

/** What the guest tells, as it happens. Texts come from the guest: show them to the owner only. */
export interface LinkEvents {
  onLog?: (output: 1 | 2, bytes: Buffer) => void
  /** The guest cannot go on, at `stage` (boot, zygote, mount, load, run). */
  onFailed?: (stage: string, text: string) => void
}

export interface LinkOptions extends LinkEvents {
  random: (count: number) => Uint8Array
  nowMs: () => number
  /** Connections into the guest at one time; at most 1000. */
  streamsMax?: number
}

const protocol = '1'
const failureCharsMax = 2_048

/** The host's end of a guest-agent link: settings in, readiness and logs out, and byte streams to the program. */
export class GuestLink implements StreamLink {
  /** The guest has booted; settles with its boot id. Rejects when the link ends before. */
  readonly hello: Promise<{ bootId: string }>
  /** The language runtime waits for code. */
  readonly zygoteReady: Promise<void>
  /** The program accepts connections. */
  readonly programReady: Promise<void>
  /** Settles when the link is over, with the reason; never rejects. */
  readonly ended: Promise<Error>
  readonly #duplex: Duplex
  readonly #options: LinkOptions
  readonly #streams = new Map<number, LinkStream>()
  readonly #free: number[]
  readonly #waiting = new Set<() => void>()
  readonly #hello = Promise.withResolvers<{ bootId: string }>()
  readonly #zygote = Promise.withResolvers<void>()
  readonly #program = Promise.withResolvers<void>()
  readonly #ended = Promise.withResolvers<Error>()
  #reason: Error | undefined

  constructor(duplex: Duplex, options: LinkOptions) {
    this.#duplex = duplex
    this.#options = options
    this.hello = this.#hello.promise
    this.zygoteReady = this.#zygote.promise
    this.programReady = this.#program.promise
    this.ended = this.#ended.promise
    for (const promise of [this.hello, this.zygoteReady, this.programReady]) promise.catch(() => {})
    // Descending, so that pop() hands out the lowest: the agent looks through ids up to the highest in use.
    this.#free = Array.from({ length: Math.min(options.streamsMax ?? 512, 1_000) }, (_, index) => index + 1).reverse()
    const decoder = new FrameDecoder()
    duplex.on('data', (chunk: Buffer) => {
      if (this.#reason) return
      try {
        decoder.push(chunk, (frame) => this.#take(frame))
      } catch (error) {
        this.close(error as Error)
      }
    })
    duplex.on('drain', () => this.#drained())
    duplex.on('error', (error) => this.close(new GuestEndedError('the link broke', { cause: error })))
    duplex.on('end', () => this.close(new GuestEndedError('the link ended')))
    duplex.on('close', () => this.close(new GuestEndedError('the link ended')))
  }

  /** Connections open now. */
  get streams(): number {
    return this.#streams.size
  }

  get isOver(): boolean {
    return this.#reason !== undefined
  }

  /** Gives the guest randomness of its own and the time. Nothing of a runtime runs in a guest before the first. */
  reseed(): void {
    const payload = Buffer.alloc(72)
    payload.writeBigUInt64LE(BigInt(Math.round(this.#options.nowMs() * 1_000)) * 1_000n)
    payload.set(this.#options.random(64), 8)
    this.#write(encodeFrame('reseed', 0, payload))
  }

  /** Tells the guest what to run. `programReady` follows, or the link ends with the reason. */
  configure(settings: GuestSettings): void {
    for (const payload of encodeSettings(settings)) this.#write(encodeFrame('config', 0, payload))
  }

  /**
   * Opens a connection to the program's server.
   * @throws HostFullError when the guest has as many as it may
   * @throws GuestEndedError when it is gone
   */
  open(): LinkStream {
    if (this.#reason) throw new GuestEndedError('it is gone', { cause: this.#reason })
    const id = this.#free.pop()
    if (id === undefined) throw new HostFullError('connections to this program', this.#streams.size)
    const stream = new LinkStream(id, this)
    this.#streams.set(id, stream)
    this.#write(encodeFrame('open', id))
    return stream
  }

  send(type: FrameType, stream: number, payload?: Uint8Array): boolean {
    if (this.#reason) return true
    if (!payload || payload.length <= 1_024) return this.#write(encodeFrame(type, stream, payload))
    this.#duplex.cork()
    this.#write(encodeFrameHeader(type, stream, payload.length))
    const taken = this.#write(payload)
    this.#duplex.uncork()
    return taken
  }

  onWritable(callback: () => void): void {
    this.#waiting.add(callback)
  }

  release(id: number): void {
    if (this.#streams.delete(id)) this.#free.push(id)
  }

  /** Ends the link and every stream of it. */
  close(reason: Error = new GuestEndedError('it was stopped')): void {
    if (this.#reason) return
    this.#reason = reason
    for (const { reject } of [this.#hello, this.#zygote, this.#program]) reject(reason)
    for (const stream of [...this.#streams.values()]) stream.takeLinkEnd()
    this.#streams.clear()
    this.#duplex.destroy()
    this.#ended.resolve(reason)
  }

  #write(bytes: Uint8Array): boolean {
    if (this.#reason || this.#duplex.destroyed) return true
    return this.#duplex.write(bytes)
  }

  #drained(): void {
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const callback of waiting) callback()
  }

  #take(frame: Frame): void {
    switch (frame.type) {
      case 'data':
        this.#check(this.#streamOf(frame).takeData(frame.payload), 'more data than it was granted')
        break
      case 'end':
        this.#streamOf(frame).takeEnd()
        break
      case 'reset':
        this.#streamOf(frame).takeReset()
        break
      case 'credit':
        this.#check(frame.payload.length === 4, 'a credit of a wrong size')
        this.#check(this.#streamOf(frame).takeCredit(frame.payload.readUInt32LE(0)), 'too much credit')
        break
      case 'log':
        this.#check(frame.payload[0] === 1 || frame.payload[0] === 2, 'a log line of an unknown output')
        this.#options.onLog?.(frame.payload[0] as 1 | 2, frame.payload.subarray(1))
        break
      case 'hello':
        this.#takeHello(frame.payload)
        break
      case 'ready':
        this.#check(frame.payload.length === 5, 'a readiness of a wrong size')
        ;(frame.payload[0] === 1 ? this.#zygote : this.#program).resolve()
        break
      case 'failed':
        this.#takeFailed(frame.payload)
        break
      case 'pong':
        break
      default:
        throw new LinkProtocolError(`a frame "${frame.type}", which only the host sends`)
    }
  }

  #streamOf(frame: Frame): LinkStream {
    const stream = this.#streams.get(frame.stream)
    if (!stream) throw new LinkProtocolError(`a frame for the stream ${frame.stream}, which is not open`)
    return stream
  }

  #takeHello(payload: Buffer): void {
    const pairs = parsePairs(payload)
    this.#check(pairs.get('protocol') === protocol, 'another protocol version')
    this.#hello.resolve({ bootId: (pairs.get('boot_id') ?? '').slice(0, 36) })
    this.reseed()
  }

  #takeFailed(payload: Buffer): void {
    const [stage = '', text = ''] = payload.toString('utf8').slice(0, failureCharsMax).split('\0')
    this.#options.onFailed?.(stage, text)
    this.close(new GuestEndedError(`it failed at stage "${stage.slice(0, 16)}"`))
  }

  #check(ok: boolean, what: string): void {
    if (!ok) throw new LinkProtocolError(what)
  }
}
