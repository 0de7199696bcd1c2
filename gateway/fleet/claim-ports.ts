import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

const retryMs = 50
const triesMax = 20

/**
 * Makes sure that nobody else listens on a port that is about to be shared by workers. The kernel lets every process of the same user
 * join a shared port, so a second gateway would take half of the connections without a word. Workers that a killed primary has left
 * behind close their listeners within a moment; that long it is tried again.
 * @throws Error with code EADDRINUSE or EACCES
 */
export async function claimPort(host: string, port: number): Promise<void> {
  for (let tried = 1; ; tried++) {
    try {
      return await listenOnce(host, port)
    } catch (error) {
      if ((error as { code?: string }).code !== 'EADDRINUSE' || tried === triesMax) throw error
      await sleep(retryMs)
    }
  }
}

function listenOnce(host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(port, host, () => void server.close(() => resolve()))
  })
}
