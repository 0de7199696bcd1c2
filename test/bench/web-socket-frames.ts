/** A text frame of at most 65,535 bytes. @param mask - four bytes; a client must mask (RFC 6455 §5.1) */
export function textFrame(payload: Buffer, mask?: Buffer): Buffer {
  const lengthBytes = payload.length < 126 ? 0 : 2
  const head = Buffer.alloc(2 + lengthBytes)
  head[0] = 0x81
  head[1] = (mask ? 0x80 : 0) | (lengthBytes === 0 ? payload.length : 126)
  if (lengthBytes > 0) head.writeUInt16BE(payload.length, 2)
  return mask ? Buffer.concat([head, mask, masked(payload, mask)]) : Buffer.concat([head, payload])
}

/** The first complete frame of less than 64 KiB: its payload unmasked, and the index past it. Undefined while bytes are missing. */
export function takeFrame(bytes: Buffer): { payload: Buffer; end: number } | undefined {
  if (bytes.length < 2) return undefined
  const isMasked = ((bytes[1] as number) & 0x80) !== 0
  const short = (bytes[1] as number) & 0x7f
  if (short === 126 && bytes.length < 4) return undefined
  const start = (short === 126 ? 4 : 2) + (isMasked ? 4 : 0)
  const end = start + (short === 126 ? bytes.readUInt16BE(2) : short)
  if (bytes.length < end) return undefined
  const payload = bytes.subarray(start, end)
  return { payload: isMasked ? masked(payload, bytes.subarray(start - 4, start)) : payload, end }
}

function masked(payload: Buffer, mask: Buffer): Buffer {
  const out = Buffer.allocUnsafe(payload.length)
  for (let i = 0; i < payload.length; i++) out[i] = (payload[i] as number) ^ (mask[i & 3] as number)
  return out
}
