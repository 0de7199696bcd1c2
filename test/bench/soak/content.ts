import { createCipheriv } from 'node:crypto'

/** Bytes that follow from a number alone and differ between numbers: whatever belongs to another exchange shows. */
export function seededBytes(seed: number, length: number): Buffer {
  const key = Buffer.alloc(16)
  key.writeUInt32BE(seed >>> 0)
  return createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(length))
}

export const bigBytes = 1_048_576
export const smallBytes = 3_000
/** Parts of a chunked answer, and events of a stream. */
export const partCount = 8
export const partBytes = 5_000

/** The data of one server-sent event, as it stands on the wire. */
export const eventText = (seed: number, at: number): string =>
  `id: ${at}\ndata: ${seededBytes(seed + at, 24).toString('hex')}\n\n`
