// The only file that imports ensjs: it builds the one call that reads all records of a name, and reads its result.
import { getRecords } from '@ensdomains/ensjs/public'
import type { Address, Hex } from './viem-codec.ts'

/** The call to the Universal Resolver, and how to read what it returns. */
export interface RecordsCall {
  to: Address
  data: Hex
  read(result: Hex): Promise<{ vm: string | undefined; contenthash: { protocol: string; value: string } | undefined }>
}

type Client = Parameters<typeof getRecords>[0]

export interface EnsContracts {
  chainId: number
  registry: Address
  universalResolver: Address
}

/** Text `aleph.vm` and the contenthash of a normalised name, in one call. Nothing is sent from here. */
export function recordsCall(name: string, contracts: EnsContracts): RecordsCall {
  const client = clientOf(contracts)
  const request = getRecords.batch({ name, texts: ['aleph.vm'], contentHash: true })
  // The library's types ask for all records where it takes any selection.
  const parameters = request.args[0] as unknown as Parameters<typeof request.encode>[1]
  const { to, data, passthrough } = request.encode(client, parameters)
  return {
    to: to as Address,
    data: data as Hex,
    read: async (result) => {
      const records = await request.decode(client, result, passthrough, request.args[0])
      const vm = records.texts?.find((text: { key: string }) => text.key === 'aleph.vm')?.value
      const content = records.contentHash
      return {
        vm,
        contenthash: content ? { protocol: content.protocolType ?? 'unknown', value: content.decoded } : undefined,
      }
    },
  }
}

/** ensjs looks up addresses in a chain object; ours is made by hand, since it knows only chains 1 and 11155111 by itself. */
function clientOf({ chainId, registry, universalResolver }: EnsContracts): Client {
  const contracts = {
    ensRegistry: { address: registry },
    ensUniversalResolver: { address: universalResolver },
  }
  return { chain: { id: chainId, name: `chain ${chainId}`, contracts } } as unknown as Client
}
