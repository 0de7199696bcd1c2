import type { Server } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'

/** A listener under constant load never comes to rest; then it is closed all the same. */
const turnsMax = 64

/**
 * Waits for a moment at which the listeners have taken every connection that the kernel had queued for them. To be called just before they
 * close, in the same turn: with `reusePort` each process has queues of its own, and what is left in them is reset at the close.
 *
 * One connection is accepted per listener and turn of the event loop, so a turn without any means empty queues. Handshakes of TCP that
 * are not complete at the close are still lost, unless the kernel hands them over to the other processes: `net.ipv4.tcp_migrate_req = 1`
 * (Linux 5.14 and later, off by default) does that.
 */
export async function acceptQueued(servers: readonly Server[]): Promise<void> {
  let accepted = 0
  const count = (): void => void accepted++
  for (const server of servers) server.on('connection', count)
  try {
    for (let turn = 0, before = -1; accepted !== before && turn < turnsMax; turn++) {
      before = accepted
      // Two turns: the first may end before the sockets were looked at.
      await nextTurn()
      await nextTurn()
    }
  } finally {
    for (const server of servers) server.off('connection', count)
  }
}
