import { type Contract, id, namehash, ZeroAddress, ZeroHash } from 'ethers'
import { encodeIpfsContenthash } from './contenthash.ts'
import { type Deployer, ensArtefact, fixtureArtefact } from './contracts.ts'

/** Records to set on a name. `vm` is an item hash, `contentCid` a CIDv0 or v1. */
export interface NameRecords {
  vm?: string
  contentCid?: string
}

/** ENS on a development chain, and what can be done with it. Changes are mined at once: they hold when the promise resolves. */
export interface EnsNames {
  readonly addresses: Readonly<{
    registry: string
    publicResolver: string
    reverseRegistrar: string
    universalResolver: string
  }>
  /** Registers a name below `.eth`, missing parents included, and sets its records. Repeating it only changes the given records. */
  registerName(name: string, records?: NameRecords): Promise<void>
  /** Sets text `aleph.vm` of a registered name; an empty hash removes it. */
  setVm(name: string, itemHash: string): Promise<void>
  /** Sets the contenthash of a registered name. */
  setContent(name: string, cid: string): Promise<void>
  setText(name: string, key: string, value: string): Promise<void>
  /** Registers a name whose resolver answers on the chain for every name below it (ENSIP-10), with one `aleph.vm`. */
  registerWildcard(name: string, vm: string): Promise<void>
  /** Registers a name whose records live behind CCIP-Read gateways. `loop`: its contract asks again for ever. */
  registerOffchain(name: string, urls: readonly string[], loop?: boolean): Promise<void>
  /** A reverse record for the owner's address. */
  setReverseName(name: string): Promise<void>
}

/** Deploys ENS and registers `.eth` and `addr.reverse`. `toolchainDir` holds the compiled public contracts. */
export async function deployEns(deployer: Deployer, owner: string, toolchainDir: string): Promise<EnsNames> {
  const { deploy } = deployer
  const registry = await deploy(ensArtefact(toolchainDir, 'ens', 'ENSRegistry'))
  const registryAddress = await registry.getAddress()
  const publicResolver = await deploy(ensArtefact(toolchainDir, 'resolver', 'PublicResolver'), registryAddress)
  const resolverAddress = await publicResolver.getAddress()
  const reverseRegistrar = await deploy(
    ensArtefact(toolchainDir, 'ens', 'ReverseRegistrar'),
    registryAddress,
    resolverAddress,
  )
  const universalResolver = await deploy(fixtureArtefact('UniversalResolver'), registryAddress)
  const reverseAddress = await reverseRegistrar.getAddress()

  await send(registry, 'setSubnodeRecord', ZeroHash, id('eth'), owner, ZeroAddress, 0)
  await send(registry, 'setSubnodeOwner', ZeroHash, id('reverse'), owner)
  await send(registry, 'setSubnodeOwner', namehash('reverse'), id('addr'), reverseAddress)

  const register = async (name: string, resolver: string): Promise<void> => {
    const labels = name.split('.')
    if (labels.at(-1) !== 'eth' || labels.length < 2) throw new TypeError(`"${name}" is not below .eth.`)
    for (let at = labels.length - 2; at >= 0; at--) {
      const node = namehash(labels.slice(at).join('.'))
      const there = (await registry.getFunction('owner')(node)) !== ZeroAddress
      // Parents that are missing are made without a resolver, so that they mean nothing by themselves.
      if (there && at > 0) continue
      const parent = namehash(labels.slice(at + 1).join('.'))
      await send(
        registry,
        'setSubnodeRecord',
        parent,
        id(labels[at] as string),
        owner,
        at === 0 ? resolver : ZeroAddress,
        0,
      )
    }
  }
  const setText = (name: string, key: string, value: string): Promise<void> =>
    send(publicResolver, 'setText', namehash(name), key, value)
  const setContent = (name: string, cid: string): Promise<void> =>
    send(publicResolver, 'setContenthash', namehash(name), encodeIpfsContenthash(cid))

  return {
    addresses: {
      registry: registryAddress,
      publicResolver: resolverAddress,
      reverseRegistrar: reverseAddress,
      universalResolver: await universalResolver.getAddress(),
    },
    registerName: async (name, records = {}) => {
      await register(name, resolverAddress)
      if (records.vm !== undefined) await setText(name, 'aleph.vm', records.vm)
      if (records.contentCid !== undefined) await setContent(name, records.contentCid)
    },
    setVm: (name, itemHash) => setText(name, 'aleph.vm', itemHash),
    setContent,
    setText,
    registerWildcard: async (name, vm) => {
      const resolver = await deploy(fixtureArtefact('WildcardResolver'), vm)
      await register(name, await resolver.getAddress())
    },
    registerOffchain: async (name, urls, loop = false) => {
      const resolver = await deploy(fixtureArtefact('OffchainResolver'), urls, loop)
      await register(name, await resolver.getAddress())
    },
    setReverseName: (name) => send(reverseRegistrar, 'setName', name),
  }
}

async function send(contract: Contract, method: string, ...args: unknown[]): Promise<void> {
  const transaction = await contract.getFunction(method)(...args)
  await transaction.wait()
}
