import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { fieldValues } from '../guard/check-request.ts'
import type { ForwardJob } from './forwarder.ts'
import type { Relayed } from './relay-answer.ts'

/** One side of a joined connection: the socket, and bytes that came with the head already. */
export interface Side {
  socket: Socket
  head: Buffer
}

/**
 * Checks that a 101 really agrees to this WebSocket; anything else would let a host switch a client to a protocol nobody asked for.
 * @returns what is wrong, or undefined
 * @see RFC 6455 §4.1
 */
export function checkUpgradeAnswer(job: ForwardJob, answer: IncomingMessage): string | undefined {
  if (answer.statusCode !== 101) return `status ${answer.statusCode} with an upgrade`
  if (answer.headers.upgrade?.toLowerCase() !== 'websocket') return 'a 101 to another protocol than websocket'
  const key = fieldValues(job.fields, 'sec-websocket-key')[0] ?? ''
  const expected = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
  return answer.headers['sec-websocket-accept'] === expected ? undefined : 'a 101 with a wrong Sec-WebSocket-Accept'
}

/** Writes the 101 to the client, then moves bytes both ways until either side ends. Frames are not looked into. */
export function relayUpgrade(
  job: ForwardJob,
  answer: IncomingMessage,
  near: Side,
  far: Side,
  idleMs: number,
): Promise<Relayed> {
  const fields = job.answerFields(answer.rawHeaders)
  const lines = ['HTTP/1.1 101 Switching Protocols', 'Connection: Upgrade', 'Upgrade: websocket']
  for (let i = 0; i + 1 < fields.length; i += 2) lines.push(`${fields[i]}: ${fields[i + 1]}`)
  near.socket.write(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), far.head]))
  far.socket.write(near.head)
  near.socket.pipe(far.socket)
  far.socket.pipe(near.socket)
  return new Promise((resolve) => {
    const end = (brokenBy: Relayed['brokenBy']) => (): void => {
      // Bytes already taken over still go out; then both sides close.
      near.socket.destroySoon()
      far.socket.destroySoon()
      resolve({ complete: brokenBy === undefined, brokenBy })
    }
    for (const [side, name] of [[near, 'client'] as const, [far, 'host'] as const]) {
      // A write refreshes the timer too, so only silence in both directions ends it.
      side.socket.setTimeout(idleMs, end(undefined))
      side.socket.once('error', end(name))
      side.socket.once('close', end(undefined))
    }
  })
}
