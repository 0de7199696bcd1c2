import { randomBytes } from 'node:crypto'
import { systemClock } from '../../core/clock.ts'
import { silentLog } from '../../core/log.ts'
import { systemRandom } from '../../core/random.ts'
import { createNetworkClient } from '../../node/client/network-client.ts'
import { encodeHostLabel } from '../../node/protocol/host-label.ts'
import { ethereumSigner } from '../../node/protocol/signer.ts'
import { packFolder } from '../pack-folder.ts'
import type { Network } from './network.ts'

/** Addresses that open in the development network, each with what stands behind it. */
export interface Samples {
  urls: { what: string; url: string }[]
  owner: string
}

const samples = new URL('samples/', import.meta.url).pathname

/** Publishes both sample programs and the sample site, and gives them a label, a custom domain and an ENS name. */
export async function publishSamples(network: Network): Promise<Samples> {
  const signer = ethereumSigner(randomBytes(32))
  const { clock, random } = { clock: systemClock, random: systemRandom }
  await using client = createNetworkClient({ ccnUrls: [network.ccnUrl], clock, random, log: silentLog })
  const publish = (language: 'python' | 'node', entrypoint: string) =>
    client.publishProgram({
      signer,
      code: packFolder(`${samples}${language}`),
      encoding: 'zip',
      entrypoint,
      runtime: language,
    })
  const python = await publish('python', 'main:app')
  const node = await publish('node', 'server.mjs')
  const site = await client.publishSite({ signer, directory: `${samples}site` })

  const { records, customZone, zone } = network
  const connect = (host: string, record: string, value: string): void => {
    records.set(host, 'CNAME', [zone])
    records.set(`_control.${host}`, 'TXT', [signer.address])
    records.set(`${record}.${host}`, 'TXT', [value])
  }
  connect(`app.${customZone}`, '_aleph-id', python.itemHash)
  connect(`www.${customZone}`, '_dnslink', `dnslink=/ipfs/${site.cid}`)
  await network.chain.registerName('app.eth', { vm: node.itemHash })
  return {
    owner: signer.address,
    urls: [
      { what: 'Python program by its label', url: `https://${encodeHostLabel(python.itemHash)}.${zone}/` },
      { what: 'Node program by its label', url: `https://${encodeHostLabel(node.itemHash)}.${zone}/` },
      { what: 'custom domain (certificate on demand)', url: `https://app.${customZone}/` },
      { what: 'ENS name', url: `https://app.eth.${zone}/` },
      { what: 'static site', url: `https://www.${customZone}/` },
    ],
  }
}
