import { createHmac } from 'node:crypto'

export const cookieOption = 10

const clientCookieBytes = 8

/**
 * The COOKIE option to answer with, or undefined when the asker's is malformed or absent (RFC 7873, layout of RFC 9018).
 * `address` is mixed into the hash and kept nowhere.
 */
export function answerCookie(
  asked: Buffer | undefined,
  address: string,
  secret: Uint8Array,
  nowMs: number,
): Buffer | undefined {
  if (!asked || !isCookieSize(asked.length)) return undefined
  const client = asked.subarray(0, clientCookieBytes)
  const head = Buffer.alloc(8)
  head[0] = 1
  head.writeUInt32BE(Math.floor(nowMs / 1_000) >>> 0, 4)
  return Buffer.concat([client, head, hash(client, head, address, secret)])
}

function isCookieSize(size: number): boolean {
  return size === clientCookieBytes || (size >= 16 && size <= 40)
}

function hash(client: Buffer, head: Buffer, address: string, secret: Uint8Array): Buffer {
  return createHmac('sha256', secret).update(client).update(head).update(address).digest().subarray(0, 8)
}
