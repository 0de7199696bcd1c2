import type { Socket } from 'node:net'
import { Deadline } from '../../core/timing-wheel.ts'

/** Room in which one message is put together before it is written: heads of any allowed size, and small bodies behind them. */
const scratchBytes = 65_536
/** Bodies up to this size travel in the same write as their head: copying costs less than a second write does. */
export const joinedBytesMax = 16_384

/**
 * The buffer in which messages are put together. One for the whole worker: a message is put together and written within one call, and when
 * the kernel has not taken all of it the buffer is abandoned to the write that is under way.
 */
export const scratch = {
  bytes: Buffer.allocUnsafeSlow(scratchBytes),

  /** Makes sure that a message of `bytes` fits. */
  ensure(bytes: number): Buffer {
    if (bytes > scratch.bytes.length) scratch.bytes = Buffer.allocUnsafeSlow(bytes)
    return scratch.bytes
  },

  abandon(): void {
    scratch.bytes = Buffer.allocUnsafeSlow(scratchBytes)
  },
}

/**
 * For tests: when `on`, memory is overwritten as soon as it counts as free, so that whoever still reads it is found out. Message memory
 * that is reused has to look at this wherever it is freed.
 */
export const poison = { on: false, byte: 0xdb }

const nothing = Buffer.alloc(0)

/** Copies a small constant; below some 40 bytes a loop beats a call into native code. */
export function putBytes(out: Buffer, at: number, bytes: Uint8Array): number {
  for (let i = 0; i < bytes.length; i++) out[at + i] = bytes[i] as number
  return at + bytes.length
}

/** Writes a number in decimal digits. */
export function putNumber(out: Buffer, at: number, value: number): number {
  if (value < 10) {
    out[at] = 0x30 + value
    return at + 1
  }
  return at + out.write(String(value), at, 'latin1')
}

/**
 * One side of an HTTP/1 connection: a socket, what was written to it and not yet taken, and a deadline. All writes go through here, so
 * that the rule about memory stands in one place: a buffer that the socket may still read from is never written to again.
 */
export abstract class MessageSocket extends Deadline {
  readonly socket: Socket
  /** TLS keeps what it is given until it has encrypted it, which the caller cannot see; so it gets copies. */
  readonly #copies: boolean
  #waiting = false
  #onFlushed: (() => void) | undefined = undefined

  constructor(socket: Socket, copies: boolean) {
    super()
    this.socket = socket
    this.#copies = copies
  }

  /** Everything written has been taken, after a write returned false. */
  protected abstract onWritable(): void

  /** True while a write is waited for. */
  get waiting(): boolean {
    return this.#waiting
  }

  /**
   * Writes the first `end` bytes of the scratch buffer.
   * @returns false when more should wait for `onWritable`
   */
  protected writeScratch(end: number): boolean {
    const { socket } = this
    let more: boolean
    if (this.#copies || socket.writableLength > 0) {
      const copy = Buffer.allocUnsafe(end)
      scratch.bytes.copy(copy, 0, 0, end)
      more = socket.write(copy)
      if (poison.on) scratch.bytes.fill(poison.byte)
    } else {
      more = socket.write(scratch.bytes.subarray(0, end))
      if (socket.writableLength === 0) {
        if (poison.on) scratch.bytes.fill(poison.byte)
        return true
      }
      scratch.abandon()
    }
    return more || this.#wait()
  }

  /**
   * Writes bytes that somebody else owns and wants back.
   * @returns true when the memory is free again; false: not before `onWritable`
   */
  protected writeBorrowed(part: Buffer): boolean {
    const { socket } = this
    if (this.#copies) {
      if (part.length <= joinedBytesMax) return this.writeOwned(Buffer.from(part))
      // The part's own callback would do, were it certain that TLS has let go of it by then; behind the next write it is.
      socket.write(part)
      return this.#wait()
    }
    socket.write(part)
    if (socket.writableLength === 0) return true
    return this.#wait()
  }

  /** Writes a borrowed part between two small owned ones, in one call to the kernel. Returns as `writeBorrowed` does. */
  protected writeFramed(before: Buffer, part: Buffer, after: Buffer): boolean {
    const { socket } = this
    socket.cork()
    socket.write(before)
    socket.write(part)
    socket.write(after)
    socket.uncork()
    return socket.writableLength === 0 || this.#wait()
  }

  /** Writes bytes that nobody will change. Returns false when more should wait for `onWritable`. */
  protected writeOwned(part: Buffer): boolean {
    return this.socket.write(part) || this.socket.writableLength === 0 || this.#wait()
  }

  /** An empty write behind the others tells when they are through; the socket's own event tells of full buffers only. */
  #wait(): false {
    if (!this.#waiting) this.socket.write(nothing, this.#flushed())
    this.#waiting = true
    return false
  }

  #flushed(): () => void {
    this.#onFlushed ??= () => {
      if (!this.#waiting) return
      // More was written meanwhile: the wait goes on behind that.
      if (this.socket.writableLength > 0 && !this.socket.destroyed)
        return void this.socket.write(nothing, this.#flushed())
      this.#waiting = false
      if (!this.socket.destroyed) this.onWritable()
    }
    return this.#onFlushed
  }
}
