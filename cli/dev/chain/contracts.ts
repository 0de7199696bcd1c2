import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Contract, ContractFactory, type InterfaceAbi, type NonceManager } from 'ethers'

interface Artefact {
  abi: InterfaceAbi
  bytecode: string
}

/** Deploys contracts from compiled JSON: the public ENS packages in the toolchain folder, and our own fixtures beside this file. */
export interface Deployer {
  deploy(artefact: Artefact, ...args: unknown[]): Promise<Contract>
}

/** @param signer - pays and owns; must keep its own nonce count, since deployments do not wait for each other */
export function createDeployer(signer: NonceManager): Deployer {
  return {
    deploy: async ({ abi, bytecode }, ...args) => {
      const deployed = await new ContractFactory(abi, bytecode, signer).deploy(...args)
      await deployed.waitForDeployment()
      return new Contract(await deployed.getAddress(), abi, signer)
    },
  }
}

/** Compiled ENS contracts: `ens/ENSRegistry`, `resolver/PublicResolver` and so on. */
export function ensArtefact(toolchainDir: string, packageName: 'ens' | 'resolver', contract: string): Artefact {
  return readArtefact(join(toolchainDir, 'ens', packageName, 'build', 'contracts', `${contract}.json`))
}

/** Our own contracts, compiled from `fixtures/ens-fixtures.sol`. */
export function fixtureArtefact(contract: 'UniversalResolver' | 'OffchainResolver' | 'WildcardResolver'): Artefact {
  const all = JSON.parse(readFileSync(join(import.meta.dirname, 'fixtures', 'ens-fixtures.json'), 'utf8')) as Record<
    string,
    Artefact
  >
  return all[contract] as Artefact
}

function readArtefact(path: string): Artefact {
  const { abi, bytecode } = JSON.parse(readFileSync(path, 'utf8')) as Artefact
  return { abi, bytecode }
}
