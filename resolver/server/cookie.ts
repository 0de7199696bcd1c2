import { createHmac, timingSafeEqual } from 'node:crypto'

export const cookieOption = 10

const clientCookieBytes = 8
const cookieSecondsMax = 3_600

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

/** Whether the asker showed a cookie that we gave to this address within the last hour: then its address is no forgery. */
export function isOwnCookie(asked: Buffer, address: string, secret: Uint8Array, nowMs: number): boolean {
  if (asked.length !== 24) return false
  const head = asked.subarray(8, 16)
  const age = Math.floor(nowMs / 1_000) - head.readUInt32BE(4)
  const fresh = age >= -300 && age <= cookieSecondsMax
  return fresh && timingSafeEqual(asked.subarray(16), hash(asked.subarray(0, 8), head, address, secret))
}

function isCookieSize(size: number): boolean {
  return size === clientCookieBytes || (size >= 16 && size <= 40)
}

function hash(client: Buffer, head: Buffer, address: string, secret: Uint8Array): Buffer {
  return createHmac('sha256', secret).update(client).update(head).update(address).digest().subarray(0, 8)
}
