import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type Network, type NetworkOptions, startNetwork } from '../cli/dev/network.ts'
import { FakeClock } from '../core/clock.ts'

const states = new URL('../.lastmile/', import.meta.url).pathname

/**
 * The network that `npm start` runs, on ports and in a folder of its own. Disposing stops it and removes the folder.
 * One way to start a network: what the tests see is what a developer sees.
 */
export async function startTestNetwork(options: Partial<NetworkOptions> = {}): Promise<Network> {
  mkdirSync(states, { recursive: true })
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

/**
 * The same network in this process, on a clock that stands still once the network serves. Without compute hosts: guests live in real
 * time.
 */
export async function startNetworkOnFakeClock(): Promise<{ network: Network; clock: FakeClock } & AsyncDisposable> {
  const clock = new FakeClock(Date.now())
  const starting = startTestNetwork({ clock, hostCount: 0 })
  const network = await withTimeRunning(clock, starting)
  return { network, clock, [Symbol.asyncDispose]: () => withTimeRunning(clock, network[Symbol.asyncDispose]()) }
}

/** Lets the fake clock follow the real one while `work` is under way: orders and stops wait for time to pass. */
async function withTimeRunning<T>(clock: FakeClock, work: PromiseLike<T>): Promise<T> {
  const stepMs = 20
  let done = false
  const settled = Promise.resolve(work).finally(() => {
    done = true
  })
  while (!done) {
    await clock.advance(stepMs)
    await new Promise((resolve) => setTimeout(resolve, stepMs))
  }
  return settled
}
