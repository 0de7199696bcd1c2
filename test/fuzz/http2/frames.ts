import { frame } from '../../../gateway/listen/http2/testing/raw-client.ts'

/** What a client sends first: the preface, and SETTINGS that change nothing. */
export const greeting: Buffer = Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(4, 0, 0)])

export interface ReadFrame {
  type: number
  flags: number
  id: number
  payload: Buffer
}

/** Takes output apart. `rest` is what makes no whole frame. */
export function readFrames(bytes: Buffer): { frames: ReadFrame[]; rest: Buffer } {
  const frames: ReadFrame[] = []
  let at = 0
  while (at + 9 <= bytes.length) {
    const end = at + 9 + bytes.readUIntBE(at, 3)
    if (end > bytes.length) break
    frames.push({
      type: bytes[at + 3] as number,
      flags: bytes[at + 4] as number,
      id: bytes.readUInt32BE(at + 5),
      payload: bytes.subarray(at + 9, end),
    })
    at = end
  }
  return { frames, rest: bytes.subarray(at) }
}
