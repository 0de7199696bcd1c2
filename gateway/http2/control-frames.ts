import { Flag, FrameType, frameHeadBytes, writeFrameHead, writeUint32 } from './frame.ts'
import type { OutputBuffer } from './output-buffer.ts'

/** Writers of the frames that carry no message (RFC 9113 §6). Each appends one frame to the output of a connection. */

/** @param settings - pairs of name (`Setting`) and value */
export function sendSettings(output: OutputBuffer, settings: readonly number[]): void {
  let at = begin(output, FrameType.settings, 0, 0, settings.length * 3)
  for (let i = 0; i + 1 < settings.length; i += 2) {
    output.bytes[at] = 0
    output.bytes[at + 1] = settings[i] as number
    at = writeUint32(output.bytes, at + 2, settings[i + 1] as number)
  }
  output.commit(at)
}

export function sendSettingsAck(output: OutputBuffer): void {
  output.commit(begin(output, FrameType.settings, Flag.ack, 0, 0))
}

export function sendPing(output: OutputBuffer): void {
  const at = begin(output, FrameType.ping, 0, 0, 8)
  output.bytes.fill(0, at, at + 8)
  output.commit(at + 8)
}

/** Answers a PING with its own eight bytes, `bytes[start, start + 8)`. */
export function sendPingAck(output: OutputBuffer, bytes: Buffer, start: number): void {
  const at = begin(output, FrameType.ping, Flag.ack, 0, 8)
  bytes.copy(output.bytes, at, start, start + 8)
  output.commit(at + 8)
}

/** @param lastId - the last stream of the peer that was or may be processed */
export function sendGoaway(output: OutputBuffer, lastId: number, code: number): void {
  const at = begin(output, FrameType.goaway, 0, 0, 8)
  writeUint32(output.bytes, at, lastId)
  output.commit(writeUint32(output.bytes, at + 4, code))
}

/** @param id - 0 for the connection's window */
export function sendWindowUpdate(output: OutputBuffer, id: number, increment: number): void {
  const at = begin(output, FrameType.windowUpdate, 0, id, 4)
  output.commit(writeUint32(output.bytes, at, increment))
}

export function sendReset(output: OutputBuffer, id: number, code: number): void {
  const at = begin(output, FrameType.rstStream, 0, id, 4)
  output.commit(writeUint32(output.bytes, at, code))
}

function begin(output: OutputBuffer, type: number, flags: number, id: number, length: number): number {
  output.reserve(frameHeadBytes + length)
  return writeFrameHead(output.bytes, output.at, length, type, flags, id)
}
