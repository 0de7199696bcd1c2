import { joinedBytesMax, poison } from '../http1/message-socket.ts'

/**
 * Copies of small request bodies, kept until it is certain that no other host will need them. Up to `joinedBytesMax` they lie in buffers that
 * are used again, which is safe because such a body is copied once more when it is sent: no socket ever reads from here.
 */
const pool: Buffer[] = []
/** Buffers kept for reuse: 4 MiB together. */
const pooledMax = 256

export function keepBody(body: Buffer): Buffer {
  if (body.length > joinedBytesMax) return Buffer.from(body)
  const whole = pool.pop() ?? Buffer.allocUnsafeSlow(joinedBytesMax)
  body.copy(whole)
  return whole.subarray(0, body.length)
}

/** Gives a body from `keepBody` back. Using it afterwards is a fault. */
export function letGoBody(body: Buffer): void {
  const { buffer } = body
  if (poison.on) body.fill(poison.byte)
  if (buffer.byteLength === joinedBytesMax && body.byteOffset === 0 && pool.length < pooledMax)
    pool.push(Buffer.from(buffer, 0, joinedBytesMax))
}
