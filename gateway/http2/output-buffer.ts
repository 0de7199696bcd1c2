import { poison } from '../http1/message-socket.ts'
import { frameHeadBytes, framePayloadMax } from './frame.ts'

/** Where the bytes of a connection go. */
export interface FrameTransport {
  /**
   * Writes `bytes`, which stay untouched until `done` is called: once, or never when the connection has gone. At most one write is open.
   * After `done` with an error nothing is written any more.
   */
  write(bytes: Buffer, done: (error?: Error | null) => void): void
  /** No more bytes will be written. */
  end(): void
  /** Stops reading, for the peer does not take what it has caused. */
  pause(): void
  resume(): void
}

/** Hears of the output of a connection. */
export interface OutputOwner {
  /** Something was written; there may be room again. */
  onWritten(): void
  /** Something threw while the output was written; the connection is to end. */
  onFailed(error: unknown): void
}

/** Four full DATA frames and some heads: one write, a few TLS records. */
const slabBytes = 66_560
/** Slabs kept for reuse, for all connections of the thread: 4 MiB. */
const slabsMax = 64
/** Up to this size output is copied into memory of its own, so that a small answer to a slow reader does not hold a whole slab. */
const smallBytes = 2_048
/** A DATA frame is not begun in what is left of a slab when that is less. */
const dataRoomMin = 1_024

/** A recycled buffer. It is free again only when the transport has said that its bytes are written. */
class Slab {
  readonly bytes = Buffer.allocUnsafeSlow(slabBytes)
  length = 0
}

const pool: Slab[] = []
const dirty: OutputBuffer[] = []
let scheduled = false

/** Writes the output of all connections that have some: once per turn of the event loop, so that all frames of a turn make one write. */
function flushDirty(): void {
  scheduled = false
  for (let i = 0; i < dirty.length; i++) (dirty[i] as OutputBuffer).flush()
  dirty.length = 0
}

/**
 * The output of one connection. Frames are written to `bytes` at `at` after `reserve`, then `commit`ted; they leave together at the end of the
 * turn. A connection at rest holds no memory.
 */
export class OutputBuffer {
  bytes: Buffer = none
  at = 0
  /** Bytes committed and not yet written by the transport. */
  queued = 0
  /** Changes when what stands in `bytes` has left; until then a frame there may still be amended. */
  turn = 0
  /** Writes completed so far. */
  writes = 0
  readonly #transport: FrameTransport
  readonly #owner: OutputOwner
  readonly #full: Slab[] = []
  #current: Slab | undefined = undefined
  #open: Slab | undefined = undefined
  #openBytes = 0
  #dirty = false
  #ending = false
  readonly #done = (error?: Error | null): void => this.#written(error)

  constructor(transport: FrameTransport, owner: OutputOwner) {
    this.#transport = transport
    this.#owner = owner
  }

  /** Makes room for `length` bytes in one piece, at most one full frame and its head. */
  reserve(length: number): void {
    if (this.at + length > this.bytes.length) this.#turnSlab()
  }

  /** Makes room for a DATA frame with up to `length` bytes of content. @returns how many have room, at least one */
  reserveData(length: number): number {
    const free = this.bytes.length - this.at - frameHeadBytes
    if (free >= length) return length
    if (free >= dataRoomMin) return free
    this.#turnSlab()
    return Math.min(length, framePayloadMax)
  }

  /** What was written up to `at` is complete. */
  commit(at: number): void {
    this.queued += at - this.at
    this.at = at
    if (this.#dirty) return
    this.#dirty = true
    dirty.push(this)
    if (scheduled) return
    scheduled = true
    setImmediate(flushDirty)
  }

  /** Nothing will be committed any more; the transport is ended once all has been written. */
  end(): void {
    if (this.#ending) return
    this.#ending = true
    this.flush()
  }

  /** Writes what there is, unless a write is open. */
  flush(): void {
    this.#dirty = false
    try {
      this.#writeNext()
    } catch (error) {
      this.#owner.onFailed(error)
    }
  }

  #turnSlab(): void {
    this.#store()
    this.#current = pool.pop() ?? new Slab()
    this.bytes = this.#current.bytes
    this.at = 0
    this.turn++
  }

  /** Puts the slab in use among the full ones, or back into the pool when nothing is in it. */
  #store(): void {
    const slab = this.#current
    if (slab === undefined) return
    slab.length = this.at
    if (this.at > 0) this.#full.push(slab)
    else release(slab)
    this.#current = undefined
    this.bytes = none
    this.at = 0
    this.turn++
  }

  #writeNext(): void {
    if (this.#openBytes > 0) return
    if (this.#full.length === 0 && this.at <= smallBytes) this.#writeSmall()
    else {
      if (this.#full.length === 0) this.#store()
      const slab = this.#full.shift() as Slab
      this.#open = slab
      this.#openBytes = slab.length
      this.#transport.write(slab.bytes.subarray(0, slab.length), this.#done)
    }
    if (this.#openBytes === 0 && this.#ending) this.#transport.end()
  }

  #writeSmall(): void {
    const length = this.at
    if (length === 0) return
    const copy = Buffer.allocUnsafe(length)
    this.bytes.copy(copy, 0, 0, length)
    this.at = 0
    this.#store()
    this.#openBytes = length
    this.#transport.write(copy, this.#done)
  }

  #written(error: Error | null | undefined): void {
    // Who knows whether the bytes are still looked at: their memory is left to the garbage collector, and no further write is tried.
    if (error) return
    this.queued -= this.#openBytes
    this.#openBytes = 0
    this.writes++
    if (this.#open !== undefined) release(this.#open)
    this.#open = undefined
    try {
      this.#writeNext()
      this.#owner.onWritten()
    } catch (thrown) {
      this.#owner.onFailed(thrown)
    }
  }
}

const none = Buffer.alloc(0)

function release(slab: Slab): void {
  slab.length = 0
  if (poison.on) slab.bytes.fill(poison.byte)
  if (pool.length < slabsMax) pool.push(slab)
}
