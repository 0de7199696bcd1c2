import { poison } from '../http1/message-socket.ts'

/** Room of a pooled buffer: the head of nearly every request or answer fits. */
const pooledBytes = 2_048
/** Buffers kept for reuse: at most 2 MiB. */
const pooledMax = 1_024
const pool: Buffer[] = []

/** A buffer of at least `length` bytes for one message's head. Give it back with `releaseHeadBytes`, once. */
export function takeHeadBytes(length: number): Buffer {
  if (length > pooledBytes) return Buffer.allocUnsafeSlow(length)
  return pool.pop() ?? Buffer.allocUnsafeSlow(pooledBytes)
}

/** Gives a buffer back; nobody may look at it afterwards. */
export function releaseHeadBytes(bytes: Buffer): void {
  if (poison.on) bytes.fill(poison.byte)
  if (bytes.length === pooledBytes && pool.length < pooledMax) pool.push(bytes)
}
