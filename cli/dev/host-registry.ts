import { type Signer, signMessage } from '../../node/protocol/signer.ts'

export interface RegisteredHost {
  /** Node hash. */
  id: string
  /** Base URL that gateways connect to. */
  url: string
}

/** The network's registry of hosts: the aggregate `corechannel`, signed by one account (protocol 7.1). */
export interface HostRegistry {
  /** Publishes the present state as a signed message. */
  publish(): Promise<void>
  setUptimes(uptimes: readonly number[]): Promise<void>
  setHostAddresses(addresses: readonly string[] | undefined): Promise<void>
}

/** What gateways may cache the registry for, in the development network, plus the time of one poll. */
const knownAfterMs = 1_500

/** Keeps the registry of a development network in its CCN. */
export function createHostRegistry(ccnUrl: string, operator: Signer, hosts: readonly RegisteredHost[]): HostRegistry {
  let uptimes: readonly number[] = hosts.map(() => 0.9)
  let addresses: readonly string[] | undefined
  const publish = async (): Promise<void> => {
    const nodes = hosts.map(({ id, url }, index) => ({
      hash: id,
      type: 'compute',
      owner: operator.address,
      status: 'linked',
      name: `crn-${index + 1}`,
      address: addresses?.[index] ?? url,
      score: uptimes[index] ?? 0.9,
      time: Date.now() / 1_000,
    }))
    const time = Date.now() / 1_000
    const content = {
      address: operator.address,
      key: 'corechannel',
      time,
      content: { nodes: [], resource_nodes: nodes },
    }
    const message = await signMessage(operator, { type: 'AGGREGATE', content, time, channel: 'FOUNDATION' })
    const response = await fetch(`${ccnUrl}/api/v0/messages`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ sync: true, message }),
    })
    if (!response.ok) throw new Error(`the CCN refused the host registry: ${response.status} ${await response.text()}`)
  }
  const publishAndWait = async (): Promise<void> => {
    await publish()
    await new Promise((resolve) => setTimeout(resolve, knownAfterMs))
  }
  return {
    publish,
    setUptimes: (next) => {
      uptimes = next
      return publishAndWait()
    },
    setHostAddresses: (next) => {
      addresses = next
      return publishAndWait()
    },
  }
}
