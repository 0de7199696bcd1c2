import { closeSync, openSync, writeSync } from 'node:fs'
import { Duplex } from 'node:stream'

/** Blocks of the file through which larger writes reach the guest; fixed with deploy/guest/agent/uml.c. */
export const bulkSlots = 16
export const bulkSlotBytes = 65_536
/** Larger writes go through the file: the serial line takes about 0.5 µs for each byte, a block read about 0.1 ms. */
const inlineBytesMax = 256
/**
 * Bytes on the serial line that the guest has not read yet. Its terminal layer holds 4095, and once that is full the
 * line stays stopped for good (the driver of 6.1 does not resume), so we stay clear of it.
 */
const unreadBytesMax = 2_816
/** The guest reports what it read in steps of this size. */
const readStepBytes = 1_024
const readStepMark = 0xff
const slotFlag = 0x8000

/**
 * The guest-agent link of a user-mode Linux guest as one ordinary byte stream. Upwards it is the serial line as it is
 * (about 160 MiB/s). Downwards that line is read one byte per system call by the guest kernel (2 MiB/s), so the line
 * carries records: `u16 length | bytes`, or `u16 0x8000+slot | u32 length` for bytes that lie in a block device's file.
 * A second line brings back which slots are free and how much was read.
 */
export class UmlLink extends Duplex {
  readonly #line: Duplex
  readonly #acks: Duplex
  readonly #file: number
  #closed = false
  #unread = 0
  readonly #freeSlots = Array.from({ length: bulkSlots }, (_, index) => index)
  #waiting: { bytes: Buffer; callback: (error?: Error | null) => void } | undefined

  /** @param bulkPath - the file behind the guest's block device, `bulkSlots * bulkSlotBytes` long */
  constructor(line: Duplex, acks: Duplex, bulkPath: string) {
    super({ allowHalfOpen: false, writableHighWaterMark: 262_144, readableHighWaterMark: 262_144 })
    this.#line = line
    this.#acks = acks
    this.#file = openSync(bulkPath, 'r+')
    line.on('data', (chunk: Buffer) => {
      if (!this.push(chunk)) line.pause()
    })
    acks.on('data', (chunk: Buffer) => this.#takeAcks(chunk))
    for (const stream of [line, acks]) {
      stream.on('error', (error) => this.destroy(error))
      stream.on('end', () => this.destroy())
      stream.on('close', () => this.destroy())
    }
  }

  override _read(): void {
    this.#line.resume()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.#waiting = { bytes: chunk, callback }
    this.#pump()
  }

  override _writev(chunks: { chunk: Buffer }[], callback: (error?: Error | null) => void): void {
    this.#waiting = { bytes: Buffer.concat(chunks.map(({ chunk }) => chunk)), callback }
    this.#pump()
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#line.destroy()
    this.#acks.destroy()
    if (!this.#closed) closeSync(this.#file)
    this.#closed = true
    callback(error)
  }

  #pump(): void {
    const waiting = this.#waiting
    if (!waiting || this.#closed) return
    while (waiting.bytes.length > 0) {
      const taken =
        waiting.bytes.length <= inlineBytesMax ? this.#sendInline(waiting.bytes) : this.#sendSlot(waiting.bytes)
      if (taken === 0) return
      waiting.bytes = waiting.bytes.subarray(taken)
    }
    this.#waiting = undefined
    waiting.callback()
  }

  #sendInline(bytes: Buffer): number {
    if (this.#unread + 2 + bytes.length > unreadBytesMax) return 0
    const record = Buffer.allocUnsafe(2 + bytes.length)
    record.writeUInt16LE(bytes.length)
    record.set(bytes, 2)
    this.#sendRecord(record)
    return bytes.length
  }

  #sendSlot(bytes: Buffer): number {
    if (this.#unread + 6 > unreadBytesMax) return 0
    const slot = this.#freeSlots.shift()
    if (slot === undefined) return 0
    const piece = bytes.subarray(0, bulkSlotBytes)
    // Synchronous: a copy into the page cache takes less than the turn through the thread pool would.
    writeSync(this.#file, piece, 0, piece.length, slot * bulkSlotBytes)
    const record = Buffer.allocUnsafe(6)
    record.writeUInt16LE(slotFlag | slot)
    record.writeUInt32LE(piece.length, 2)
    this.#sendRecord(record)
    return piece.length
  }

  #sendRecord(record: Buffer): void {
    this.#unread += record.length
    this.#line.write(record)
  }

  /** Each byte is a slot that is free again, or the mark of a step read. The guest is hostile: anything else ends the link. */
  #takeAcks(chunk: Buffer): void {
    for (const byte of chunk) {
      if (byte === readStepMark && this.#unread >= readStepBytes) this.#unread -= readStepBytes
      else if (byte < bulkSlots && !this.#freeSlots.includes(byte)) this.#freeSlots.push(byte)
      else {
        this.destroy(new Error('The guest acknowledged what was never sent.'))
        return
      }
    }
    this.#pump()
  }
}
