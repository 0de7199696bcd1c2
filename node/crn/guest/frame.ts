import { LinkProtocolError } from '../errors.ts'

/** Kinds of frame on the guest-agent link; the numbers are fixed with deploy/guest/agent/agent.h. */
export const frameTypes = {
  hello: 1,
  config: 2,
  reseed: 3,
  ready: 4,
  failed: 5,
  open: 6,
  data: 7,
  end: 8,
  reset: 9,
  credit: 10,
  log: 11,
  ping: 12,
  pong: 13,
} as const
export type FrameType = keyof typeof frameTypes

const names = new Map<number, FrameType>(Object.entries(frameTypes).map(([name, code]) => [code, name as FrameType]))

/** One frame: `u32 payload length | u8 type | u32 stream | payload`, little endian. */
export interface Frame {
  type: FrameType
  /** 0 for what concerns the guest as a whole, else 1 to 1023. */
  stream: number
  payload: Buffer
}

export const frameHeaderBytes = 9
/** Largest payload either side may send. Bounds what one frame can make the host hold. */
export const framePayloadBytesMax = 65_536

const empty = Buffer.alloc(0)

/** Encodes the header of a frame; the payload follows as it is, so that bodies are not copied. */
export function encodeFrameHeader(type: FrameType, stream: number, payloadBytes: number): Buffer {
  const header = Buffer.allocUnsafe(frameHeaderBytes)
  header.writeUInt32LE(payloadBytes, 0)
  header.writeUInt8(frameTypes[type], 4)
  header.writeUInt32LE(stream, 5)
  return header
}

/** Encodes one frame in one piece. The payload must not exceed `framePayloadBytesMax`. */
export function encodeFrame(type: FrameType, stream: number, payload: Uint8Array = empty): Buffer {
  return Buffer.concat([encodeFrameHeader(type, stream, payload.length), payload])
}

/**
 * Cuts a byte stream into frames, whatever the pieces it arrives in. The bytes come from a guest: every length and type is
 * checked before anything is kept, and no more than one frame is ever held back.
 */
export class FrameDecoder {
  #pieces: Buffer[] = []
  #bytes = 0
  #wanted = frameHeaderBytes

  /**
   * Takes bytes and calls `take` for each frame that is complete. The payload is valid after the call too.
   * @throws LinkProtocolError for an unknown type or a length over the limit; the stream is then unusable
   */
  push(chunk: Buffer, take: (frame: Frame) => void): void {
    this.#pieces.push(chunk)
    this.#bytes += chunk.length
    if (this.#bytes < this.#wanted) return
    let buffer = this.#pieces.length === 1 ? chunk : Buffer.concat(this.#pieces, this.#bytes)
    this.#pieces = []
    this.#bytes = 0
    for (;;) {
      this.#wanted = frameHeaderBytes
      if (buffer.length < frameHeaderBytes) break
      const payloadBytes = buffer.readUInt32LE(0)
      const type = names.get(buffer.readUInt8(4))
      if (payloadBytes > framePayloadBytesMax) throw new LinkProtocolError(`a frame of ${payloadBytes} bytes`)
      if (type === undefined) throw new LinkProtocolError(`a frame of the unknown type ${buffer.readUInt8(4)}`)
      this.#wanted = frameHeaderBytes + payloadBytes
      if (buffer.length < this.#wanted) break
      const frame = { type, stream: buffer.readUInt32LE(5), payload: buffer.subarray(frameHeaderBytes, this.#wanted) }
      buffer = buffer.subarray(this.#wanted)
      take(frame)
    }
    if (buffer.length === 0) return
    this.#pieces.push(buffer)
    this.#bytes = buffer.length
  }
}
