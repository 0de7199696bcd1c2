import { Duplex } from 'node:stream'

/** Bytes either side may send on a new stream before the other grants more; fixed with the agent. */
export const streamWindowBytes = 256 * 1_024
/** Grants are sent in steps of this size, so that small bodies cost no extra frames. */
const creditStepBytes = streamWindowBytes / 4
/** Larger writes are cut, so that other streams of the link get their turn between the pieces. */
const dataBytesMax = 32_768

/** What a stream needs of its link. */
export interface StreamLink {
  send(type: 'data' | 'end' | 'reset' | 'credit', stream: number, payload?: Uint8Array): boolean
  /** Calls back once when the link takes bytes again. */
  onWritable(callback: () => void): void
  /** Both sides are done: the id may be used again. */
  release(id: number): void
}

/**
 * One byte stream to the program in a guest, with the methods that node:http expects of a socket.
 * Memory per stream is bounded by the window in each direction, whatever the guest does.
 */
export class LinkStream extends Duplex {
  readonly id: number
  readonly #link: StreamLink
  #sendCredit = streamWindowBytes
  #receiveCredit = streamWindowBytes
  #owed = 0
  #wanted = false
  #received: Buffer[] = []
  #guestEnded = false
  #guestDone = false
  #hostDone = false
  #hostReset = false
  #pending: { chunk: Buffer; callback: (error?: Error | null) => void } | undefined
  #timer: NodeJS.Timeout | undefined
  #timeoutMs = 0

  constructor(id: number, link: StreamLink) {
    super({ allowHalfOpen: true, readableHighWaterMark: 65_536, writableHighWaterMark: 65_536, emitClose: true })
    this.id = id
    this.#link = link
  }

  /** Takes bytes of the guest. Returns false when it sent more than it was granted. */
  takeData(payload: Buffer): boolean {
    if (this.#guestDone || payload.length > this.#receiveCredit) return false
    this.#receiveCredit -= payload.length
    if (this.destroyed) return true
    this.#touch()
    this.#received.push(payload)
    this.#deliver()
    return true
  }

  takeCredit(bytes: number): boolean {
    if (this.#sendCredit + bytes > streamWindowBytes) return false
    this.#sendCredit += bytes
    this.#touch()
    this.#sendPending()
    return true
  }

  takeEnd(): void {
    this.#guestDone = true
    this.#guestEnded = true
    this.#deliver()
    this.#releaseWhenDone()
  }

  takeReset(): void {
    this.#guestDone = true
    if (!this.destroyed) this.destroy(connectionReset())
    this.#finishHost('reset')
    this.#releaseWhenDone()
  }

  /** The link itself is gone. */
  takeLinkEnd(): void {
    this.#guestDone = true
    this.#hostDone = true
    if (!this.destroyed) this.destroy(connectionReset())
  }

  override _read(): void {
    this.#wanted = true
    this.#deliver()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.#touch()
    this.#pending = { chunk, callback }
    this.#sendPending()
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#finishHost('end')
    this.#releaseWhenDone()
    callback()
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    clearTimeout(this.#timer)
    this.#received = []
    this.#finishHost('reset')
    const pending = this.#pending
    this.#pending = undefined
    pending?.callback(error ?? connectionReset())
    this.#releaseWhenDone()
    callback(error)
  }

  #deliver(): void {
    while (this.#wanted) {
      const chunk = this.#received.shift()
      if (chunk === undefined) break
      this.#owed += chunk.length
      this.#wanted = this.push(chunk)
    }
    if (this.#owed >= creditStepBytes && !this.#guestDone && !this.destroyed) {
      const grant = Buffer.allocUnsafe(4)
      grant.writeUInt32LE(this.#owed)
      this.#receiveCredit += this.#owed
      this.#owed = 0
      this.#link.send('credit', this.id, grant)
    }
    if (this.#guestEnded && this.#received.length === 0) {
      this.#guestEnded = false
      this.push(null)
    }
  }

  #sendPending(): void {
    const pending = this.#pending
    if (!pending) return
    while (pending.chunk.length > 0 && this.#sendCredit > 0) {
      const piece = pending.chunk.subarray(0, Math.min(this.#sendCredit, dataBytesMax))
      pending.chunk = pending.chunk.subarray(piece.length)
      this.#sendCredit -= piece.length
      if (!this.#link.send('data', this.id, piece) && pending.chunk.length > 0) {
        this.#link.onWritable(() => this.#sendPending())
        return
      }
    }
    if (pending.chunk.length > 0) return
    this.#pending = undefined
    pending.callback()
  }

  #finishHost(how: 'end' | 'reset'): void {
    // A reset may follow our END: it tells the program that nobody reads its answer any more.
    if (this.#hostReset || (this.#hostDone && (how === 'end' || this.#guestDone))) return
    this.#hostDone = true
    this.#hostReset = how === 'reset'
    this.#link.send(how, this.id, how === 'reset' ? Buffer.alloc(4) : undefined)
  }

  #releaseWhenDone(): void {
    if (this.#hostDone && this.#guestDone) this.#link.release(this.id)
  }

  #touch(): void {
    this.#timer?.refresh()
  }

  // What node:http calls on a socket.
  setTimeout(timeoutMs: number, callback?: () => void): this {
    clearTimeout(this.#timer)
    this.#timeoutMs = timeoutMs
    this.#timer = undefined
    // As net.Socket does: a callback given with 0 is taken off.
    if (callback && timeoutMs > 0) this.once('timeout', callback)
    else if (callback) this.removeListener('timeout', callback)
    if (timeoutMs > 0) this.#timer = setTimeout(() => this.emit('timeout'), timeoutMs).unref()
    return this
  }
  get timeout(): number {
    return this.#timeoutMs
  }
  setNoDelay(): this {
    return this
  }
  setKeepAlive(): this {
    return this
  }
  ref(): this {
    return this
  }
  unref(): this {
    return this
  }
}

function connectionReset(): Error {
  return Object.assign(new Error('The connection to the program was reset.'), { code: 'ECONNRESET' })
}
