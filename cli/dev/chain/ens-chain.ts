import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  Contract,
  ContractFactory,
  type InterfaceAbi,
  id,
  JsonRpcProvider,
  NonceManager,
  namehash,
  Wallet,
  ZeroHash,
} from 'ethers'
import { CID } from 'multiformats/cid'
import { type RunningProcess, startProcess } from '../../../core/child-process.ts'
import type { Log } from '../../../core/log.ts'
import { freePort } from '../free-port.ts'

export interface EnsChainOptions {
  /** Folder with the compiled ENS contracts that deploy/setup fetched. */
  toolchainDir: string
  log: Log
  /** Absent: any free port. */
  port?: number
}

export interface EnsAddresses {
  registry: string
  publicResolver: string
  reverseRegistrar: string
  universalResolver: string
}

/** What a name shall say; absent records are left as they are. */
export interface EnsNameRecords {
  /** Text record `aleph.vm`: the hash of a program. */
  vm?: string
  /** Content hash, as an IPFS CID. */
  contentCid?: string
}

/** An Ethereum chain with ENS on it, on loopback. All names belong to one account. */
export interface EnsChain extends AsyncDisposable {
  readonly rpcUrl: string
  readonly chainId: number
  readonly addresses: EnsAddresses
  /** Registers `<label>.eth` (or deeper, parents first) with the public resolver, and sets its records. */
  registerName(name: string, records?: EnsNameRecords): Promise<void>
  setVm(name: string, itemHash: string): Promise<void>
  setContent(name: string, cid: string): Promise<void>
  /** Registers a name whose resolver is a contract of the fixtures. */
  registerWithResolver(
    name: string,
    resolver: 'OffchainResolver' | 'WildcardResolver',
    args: readonly unknown[],
  ): Promise<void>
}

/** The first account of anvil's well-known development mnemonic; it holds play money only. */
const developmentKey = '0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80'
const chainId = 31_337
const anvil = new URL('../../../node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil', import.meta.url).pathname

/**
 * Starts anvil and deploys ENS to it: the registry, public resolver and reverse registrar that ENS published, and our own
 * Universal Resolver (fixtures/). Takes about two seconds.
 */
export async function startEnsChain(options: EnsChainOptions): Promise<EnsChain> {
  const port = options.port ?? (await freePort())
  const rpcUrl = `http://127.0.0.1:${port}`
  await using stack = new AsyncDisposableStack()
  stack.use(await startAnvil(port, rpcUrl))
  const provider = new JsonRpcProvider(rpcUrl, chainId, { staticNetwork: true, pollingInterval: 20, cacheTimeout: -1 })
  stack.defer(() => provider.destroy())
  const names = await deployEns(new NonceManager(new Wallet(developmentKey, provider)), options.toolchainDir)
  options.log.debug('ENS deployed', { registry: names.addresses.registry })
  const moved = stack.move()
  return Object.assign(names, { rpcUrl, chainId, [Symbol.asyncDispose]: () => moved.disposeAsync() })
}

function startAnvil(port: number, rpcUrl: string): Promise<RunningProcess> {
  return startProcess({
    name: 'anvil',
    command: anvil,
    args: ['--host', '127.0.0.1', '--port', String(port), '--chain-id', String(chainId), '--silent'],
    ready: () => answersChainId(rpcUrl),
  })
}

async function answersChainId(rpcUrl: string): Promise<boolean> {
  try {
    const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'eth_chainId', params: [] })
    const response = await fetch(rpcUrl, { method: 'POST', body, headers: { 'content-type': 'application/json' } })
    return response.ok
  } catch {
    return false
  }
}

type Names = Omit<EnsChain, 'rpcUrl' | 'chainId' | typeof Symbol.asyncDispose>

async function deployEns(account: NonceManager, toolchainDir: string): Promise<Names> {
  const owner = await account.getAddress()
  const artefact = (part: string, name: string): Artefact =>
    readJson(join(toolchainDir, 'ens', part, 'build/contracts', `${name}.json`))
  const registry = await deploy(account, artefact('ens', 'ENSRegistry'))
  const registryAddress = await registry.getAddress()
  const resolver = await deploy(account, artefact('resolver', 'PublicResolver'), registryAddress)
  const resolverAddress = await resolver.getAddress()
  const reverse = await deploy(account, artefact('ens', 'ReverseRegistrar'), registryAddress, resolverAddress)
  const universal = await deploy(account, fixture('UniversalResolver'), registryAddress)

  const setNode = async (name: string, resolverOf: string): Promise<void> => {
    const [label, ...rest] = name.split('.')
    const parent = rest.length === 0 ? ZeroHash : namehash(rest.join('.'))
    await send(registry, 'setSubnodeRecord', parent, id(label as string), owner, resolverOf, 0)
  }
  await setNode('eth', '0x0000000000000000000000000000000000000000')
  await setNode('reverse', '0x0000000000000000000000000000000000000000')
  await send(registry, 'setSubnodeOwner', namehash('reverse'), id('addr'), await reverse.getAddress())

  const setVm = (name: string, itemHash: string): Promise<void> =>
    send(resolver, 'setText', namehash(name), 'aleph.vm', itemHash)
  const setContent = (name: string, cid: string): Promise<void> =>
    send(resolver, 'setContenthash', namehash(name), contentHash(cid))
  return {
    addresses: {
      registry: registryAddress,
      publicResolver: resolverAddress,
      reverseRegistrar: await reverse.getAddress(),
      universalResolver: await universal.getAddress(),
    },
    setVm,
    setContent,
    async registerName(name, records = {}) {
      await setNode(name, resolverAddress)
      if (records.vm !== undefined) await setVm(name, records.vm)
      if (records.contentCid !== undefined) await setContent(name, records.contentCid)
    },
    async registerWithResolver(name, kind, args) {
      const own = await deploy(account, fixture(kind), ...args)
      await setNode(name, await own.getAddress())
    },
  }
}

/** Content hash of an IPFS file as ENS stores it: the `ipfs` namespace code as varint, then the CIDv1 (ENSIP-7). */
function contentHash(cid: string): Uint8Array {
  return Uint8Array.from([0xe3, 0x01, ...CID.parse(cid).toV1().bytes])
}

interface Artefact {
  abi: InterfaceAbi
  bytecode: string
}

function fixture(name: 'UniversalResolver' | 'OffchainResolver' | 'WildcardResolver'): Artefact {
  const all = readJson<Record<string, Artefact>>(new URL('fixtures/ens-fixtures.json', import.meta.url).pathname)
  return all[name] as Artefact
}

function readJson<T>(path: string): T {
  return JSON.parse(readFileSync(path, 'utf8')) as T
}

async function deploy(
  account: NonceManager,
  { abi, bytecode }: Artefact,
  ...args: readonly unknown[]
): Promise<Contract> {
  const factory = new ContractFactory(abi, bytecode, account)
  const deployed = await factory.deploy(...args)
  await deployed.waitForDeployment()
  return new Contract(await deployed.getAddress(), abi, account)
}

async function send(contract: Contract, method: string, ...args: readonly unknown[]): Promise<void> {
  const transaction = (await contract.getFunction(method)(...args)) as { wait(): Promise<unknown> }
  await transaction.wait()
}
