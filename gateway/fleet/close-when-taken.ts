import type { Server } from 'node:net'
import { setImmediate as nextCheck } from 'node:timers/promises'

/** A listener under constant load may never come to rest; then it is closed all the same. */
const restMs = 1_000
/** In a longer turn of the event loop, others may have come since its poll. */
const shortTurnMs = 0.5

/**
 * Closes each listener at a moment at which it has taken every connection that the kernel had queued for it. With `reusePort` each process
 * has queues of its own, and what is left in them is reset at the close. Resolves when none takes connections any more.
 *
 * A poll of the event loop takes one connection per listener, so a poll that brings none has met an empty queue; the close comes right
 * after it. What comes in the instant between, and handshakes of TCP that are half done, are still lost, unless the kernel hands them over to the other processes:
 * `net.ipv4.tcp_migrate_req = 1` (Linux 5.14 and later, off by default) does that.
 */
export async function closeWhenTaken(servers: readonly Server[]): Promise<void> {
  await Promise.all(servers.map(closeOne))
}

async function closeOne(server: Server): Promise<void> {
  let taken = 0
  const count = (): void => void taken++
  server.on('connection', count)
  const endMs = performance.now() + restMs
  // Immediates run after each poll; the first may come before any.
  await nextCheck()
  for (let nowMs = performance.now(), atRest = false; !atRest && nowMs < endMs; ) {
    const [before, sinceMs] = [taken, nowMs]
    await nextCheck()
    nowMs = performance.now()
    atRest = taken === before && nowMs - sinceMs < shortTurnMs
  }
  server.off('connection', count)
  server.close()
}
