import { join } from 'node:path'
import { HDNodeWallet, JsonRpcProvider, Mnemonic, NonceManager, Wallet } from 'ethers'
import { type RunningProcess, startProcess } from '../../../core/child-process.ts'
import type { Log } from '../../../core/log.ts'
import { createDeployer } from './contracts.ts'
import { deployEns, type EnsNames } from './deploy-ens.ts'

export interface EnsChainOptions {
  /** Folder that holds `ens/{ens,resolver}/build/contracts/*.json`. */
  toolchainDir: string
  /** Folder for the chain's state between runs; absent: a fresh chain each time, nothing written. */
  stateDir?: string
  /** 0 or absent takes a free port. */
  port?: number
  log: Log
}

/** An Ethereum chain on this machine with ENS deployed; gone when disposed. */
export interface EnsChain extends EnsNames, AsyncDisposable {
  readonly rpcUrl: string
  readonly chainId: number
  /** Owner of `.eth` and of all names registered here. Its key is public knowledge: never use it elsewhere. */
  readonly owner: string
}

const anvilPath = join(
  import.meta.dirname,
  '../../../node_modules/@foundry-rs',
  `anvil-${process.platform}-${process.arch === 'x64' ? 'amd64' : process.arch}`,
  'bin/anvil',
)

/** Chain id of development chains. */
export const devChainId = 31337

/** Well-known mnemonic of development chains; its accounts hold play money only. */
const mnemonic = 'test test test test test test test test test test test junk'

/** Seconds between two writes of the state, so that kill -9 loses little. */
const stateIntervalSeconds = 5

/**
 * Starts anvil with ENS on it: registry, public resolver, reverse registrar, Universal Resolver and `.eth`. Takes about a second.
 * @throws ProcessStartError when anvil does not come up
 */
export async function startEnsChain(options: EnsChainOptions): Promise<EnsChain> {
  await using stack = new AsyncDisposableStack()
  const anvil = stack.use(await startAnvil(options.port ?? 0, options.stateDir))
  const port = listeningPort(anvil.output())
  const rpcUrl = `http://127.0.0.1:${port}`
  const provider = new JsonRpcProvider(rpcUrl, devChainId, {
    staticNetwork: true,
    cacheTimeout: -1,
    pollingInterval: 50,
  })
  stack.defer(() => provider.destroy())
  const wallet = new Wallet(HDNodeWallet.fromMnemonic(Mnemonic.fromPhrase(mnemonic)).privateKey, provider)
  const deployer = createDeployer(new NonceManager(wallet))
  const names = await deployEns(deployer, wallet.address, options.toolchainDir)
  options.log.info('ENS development chain is ready', { port })
  const owned = stack.move()
  return {
    ...names,
    rpcUrl,
    chainId: devChainId,
    owner: wallet.address,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

function startAnvil(port: number, stateDir: string | undefined): Promise<RunningProcess> {
  const state = stateDir
    ? ['--state', join(stateDir, 'anvil.json'), '--state-interval', `${stateIntervalSeconds}`, '--cache-path', stateDir]
    : []
  return startProcess({
    name: 'anvil',
    command: anvilPath,
    args: ['--host', '127.0.0.1', '--port', `${port}`, '--chain-id', `${devChainId}`, '--mnemonic', mnemonic, ...state],
    // Anvil would keep a cache in the home folder; everything of ours stays in the state folder.
    options: { env: { PATH: process.env.PATH, HOME: stateDir ?? '/nonexistent' } },
    ready: (output) => /Listening on \S+:\d+/.test(output),
  })
}

function listeningPort(output: string): number {
  return Number(/Listening on \S+:(\d+)/.exec(output)?.[1])
}
