import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type Network, type NetworkOptions, startNetwork } from '../cli/dev/network.ts'

const states = new URL('../.lastmile/', import.meta.url).pathname

/**
 * The network that `npm start` runs, on ports and in a folder of its own. Disposing stops it and removes the folder.
 * One way to start a network: what the tests see is what a developer sees.
 */
export async function startTestNetwork(options: Partial<NetworkOptions> = {}): Promise<Network> {
  const stateDir = mkdtempSync(join(states, 'test-'))
  const network = await startNetwork({ ...options, stateDir, ports: 'any' })
  return {
    ...network,
    async [Symbol.asyncDispose]() {
      await network[Symbol.asyncDispose]()
      rmSync(stateDir, { recursive: true, force: true })
    },
  }
}
