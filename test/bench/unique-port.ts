import { freePort } from '../../core/free-port.ts'

/** Below the range from which Linux takes the local ports of outgoing connections: thousands of those come and go here. */
const [first, count] = [20_000, 12_000]
const given = new Set<number>()

/** A free loopback port that this process has not handed out before, so that nothing left of an earlier round can answer on it. */
export async function uniquePort(): Promise<number> {
  for (;;) {
    const port = await freePort(first + Math.floor(Math.random() * count))
    if (given.has(port)) continue
    given.add(port)
    return port
  }
}
