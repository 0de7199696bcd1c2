import type { FieldBlock } from '../http1/field-block.ts'
import { Flag, FrameType, frameHeadBytes, framePayloadMax, writeFrameHead } from './frame.ts'
import { encodedFieldOverhead, encodedStartMax, HpackEncoder } from './hpack-encoder.ts'
import type { OutputBuffer } from './output-buffer.ts'

/** Work space of blocks that may not fit into one frame; grows to the largest. */
let scratch = Buffer.allocUnsafeSlow(32_768)

/** Writes the header blocks of a connection as HEADERS and, where they are large, CONTINUATION frames. */
export class HeaderWriter {
  readonly encoder: HpackEncoder
  readonly #output: OutputBuffer
  #direct = false

  constructor(output: OutputBuffer, tableBytes: number) {
    this.#output = output
    this.encoder = new HpackEncoder(tableBytes)
  }

  /**
   * Begins a block; the encoder then stands where it is to be written, straight in the output where it surely fits one frame.
   * @param room - at least what `roomFor` says of all that will be written
   */
  begin(room: number): HpackEncoder {
    this.#direct = room <= framePayloadMax
    if (this.#direct) {
      this.#output.reserve(frameHeadBytes + room)
      this.encoder.start(this.#output.bytes, this.#output.at + frameHeadBytes)
    } else {
      if (room > scratch.length) scratch = Buffer.allocUnsafeSlow(room)
      this.encoder.start(scratch, 0)
    }
    return this.encoder
  }

  /** Completes the block begun. */
  finish(id: number, endStream: boolean): void {
    const flag = endStream ? Flag.endStream : 0
    const output = this.#output
    if (this.#direct) {
      const length = this.encoder.at - output.at - frameHeadBytes
      writeFrameHead(output.bytes, output.at, length, FrameType.headers, flag | Flag.endHeaders, id)
      output.commit(this.encoder.at)
      return
    }
    const end = this.encoder.at
    for (let at = 0; at === 0 || at < end; at += framePayloadMax) {
      const size = Math.min(framePayloadMax, end - at)
      output.reserve(frameHeadBytes + size)
      const flags = (at === 0 ? flag : 0) | (at + size === end ? Flag.endHeaders : 0)
      const type = at === 0 ? FrameType.headers : FrameType.continuation
      const from = writeFrameHead(output.bytes, output.at, size, type, flags, id)
      scratch.copy(output.bytes, from, at, at + size)
      output.commit(from + size)
    }
  }
}

/** Room that a block's fields need at most, and the start of a block with its status. */
export function roomFor(fields: FieldBlock): number {
  return fields.count === 0
    ? encodedStartMax
    : fields.end - fields.lineStart(0) + fields.count * encodedFieldOverhead + encodedStartMax
}
