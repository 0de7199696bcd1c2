import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { Network } from '../../cli/dev/network.ts'
import { packFiles, readFolder } from '../../cli/pack-folder.ts'
import { importSite } from '../../node/client/publish.ts'
import { encodeHostLabel } from '../../node/protocol/host-label.ts'
import { sha256Hex } from '../../node/protocol/item-hash.ts'
import { wellKnownRuntimes } from '../../node/protocol/runtimes.ts'
import { createSdkClient, type SdkClient } from '../sdk/sdk-client.ts'
import { eventually } from './expect.ts'
import { OutsideClient } from './outside-client.ts'

export type Language = 'python' | 'node'

export interface PublishedProgram {
  itemHash: string
  label: string
  /** `https://<label>.<zone>/` */
  url: string
  /** Item hash of the STORE that holds the code. */
  codeRef: string
}

export interface PublishedSite {
  cid: string
  itemHash: string
  fileCids: Readonly<Record<string, string>>
}

const samples = new URL('../../cli/dev/samples/', import.meta.url).pathname
const entrypoints: Record<Language, string> = { python: 'main:app', node: 'server.mjs' }

/** What the checks act on: a network, a client outside it, the SDK with two accounts, and what was published so far. */
export class World {
  readonly network: Network
  readonly client: OutsideClient
  readonly ethereum: SdkClient
  readonly solana: SdkClient
  readonly siteFolder = `${samples}site`
  #programs = new Map<Language, PublishedProgram>()
  #site: PublishedSite | undefined

  constructor(network: Network) {
    this.network = network
    this.client = new OutsideClient({
      dnsServer: network.dns,
      caPem: network.rootPem,
      httpPort: network.gatewayPorts.http,
      httpsPort: network.gatewayPorts.https,
    })
    const key = crypto.getRandomValues(Buffer.alloc(32)).toString('hex')
    this.ethereum = createSdkClient({ url: network.ccnUrl, chain: 'ETH', privateKey: key })
    this.solana = createSdkClient({ url: network.ccnUrl, chain: 'SOL', privateKey: key })
  }

  /** Address that owns all that the checks publish. */
  get owner(): string {
    return this.ethereum.address
  }

  readonly labelOf = encodeHostLabel

  /** The sample that the publish checks have published. */
  readonly program = (language: Language): PublishedProgram => {
    const found = this.#programs.get(language)
    if (!found) throw new Error(`the check publish.${language} has not published its program`)
    return found
  }

  readonly site = (): PublishedSite => {
    if (!this.#site) throw new Error('the check publish.static has not published its site')
    return this.#site
  }

  async publishSample(language: Language): Promise<PublishedProgram> {
    const program = await this.publishProgram(language, readFileSync(`${samples}${language}/VERSION`, 'utf8').trim())
    this.#programs.set(language, program)
    return program
  }

  /** Publishes a sample with its own version text, by the SDK. */
  async publishProgram(language: Language, version: string): Promise<PublishedProgram> {
    const message = await this.ethereum.program({
      code: sampleCode(language, version),
      entrypoint: entrypoints[language],
      runtime: wellKnownRuntimes[language],
    })
    const content = JSON.parse(message.item_content ?? '') as { code: { ref: string } }
    return this.#published(message.item_hash, content.code.ref)
  }

  /** Another program with the same code, so that a host has the code on disk but runs no guest for it. */
  async publishTwin(program: PublishedProgram): Promise<PublishedProgram> {
    const twin = await this.ethereum.programOf(program.codeRef, entrypoints.python, { TWIN: crypto.randomUUID() })
    return this.#published(twin.item_hash, program.codeRef)
  }

  /** A program whose module cannot be imported. */
  async publishBrokenProgram(): Promise<PublishedProgram> {
    const code = packFiles([{ name: 'main.py', data: Buffer.from('import no_such_module\n') }])
    const message = await this.ethereum.program({ code, entrypoint: 'main:app' })
    return this.#published(message.item_hash, '')
  }

  /** Stores a new version of the code of `program`. */
  async amendProgram(program: PublishedProgram, language: Language, version: string): Promise<void> {
    const code = sampleCode(language, version)
    await this.ethereum.storeVersion(program.codeRef, code, sha256Hex(code))
  }

  async publishSampleSite(): Promise<PublishedSite> {
    const files = Object.fromEntries(readFolder(this.siteFolder).map(({ name, data }) => [name, data]))
    this.#site = await this.publishSite(files)
    return this.#site
  }

  /** Uploads the blocks, then pins the directory by a STORE message that the SDK signs. */
  async publishSite(files: Readonly<Record<string, string | Uint8Array>>): Promise<PublishedSite> {
    const bytes = Object.fromEntries(Object.entries(files).map(([name, data]) => [name, Buffer.from(data)]))
    const { cid, fileCids, car } = await importSite(bytes)
    const form = new FormData()
    form.append('file', new Blob([car as Uint8Array<ArrayBuffer>]), 'site.car')
    const response = await fetch(`${this.network.ccnUrl}/api/v0/ipfs/add_car`, { method: 'POST', body: form })
    if (!response.ok) throw new Error(`the CCN refused the site: ${response.status} ${await response.text()}`)
    const message = await this.ethereum.pin(cid)
    return { cid, fileCids, itemHash: message.item_hash }
  }

  /** Points `app.<custom zone>` at the Python sample by `_aleph-id`; returns the name. */
  readonly connectApp = (): string => {
    const { records, customZone, zone } = this.network
    const host = `app.${customZone}`
    records.set(host, 'CNAME', [zone])
    records.set(`_control.${host}`, 'TXT', [this.owner])
    records.set(`_aleph-id.${host}`, 'TXT', [this.program('python').itemHash])
    return host
  }

  /** Points `<label>.<custom zone>` at a site by `_dnslink`; returns the name. */
  async connectSite(label: string, cid: string): Promise<string> {
    const { records, customZone, zone } = this.network
    const host = `${label}.${customZone}`
    records.set(host, 'CNAME', [zone])
    records.set(`_control.${host}`, 'TXT', [this.owner])
    records.set(`_dnslink.${host}`, 'TXT', [`dnslink=/ipfs/${cid}`])
    return host
  }

  async publishPost(text: string): Promise<string> {
    return (await this.ethereum.post({ text })).item_hash
  }

  /** Gives both hosts room for one program, fills it, runs `work`, and gives the room back. */
  async withFullHosts<T>(work: () => Promise<T>): Promise<T> {
    const restart = async (change?: Readonly<Record<string, unknown>>): Promise<void> => {
      for (const { role } of this.network.hosts) await role.kill()
      await Promise.all(this.network.hosts.map(({ role }) => role.start(change)))
    }
    await restart({ vmsMax: 1, evictIdleMs: 3_600_000 })
    try {
      const filler = this.program('python').itemHash
      for (const { url } of this.network.hosts) await (await fetch(`${url}/vm/${filler}/`)).arrayBuffer()
      return await work()
    } finally {
      await restart()
    }
  }

  /**
   * Lets the registry name a host that answers with bytes that are no HTTP, for as long as `work` runs.
   * `heard` gives all that the gateway has sent to it.
   */
  async withGarbageHost<T>(work: (program: PublishedProgram, heard: () => string) => Promise<T>): Promise<T> {
    let heard = ''
    const server = createServer((socket) => {
      socket.on('error', () => {})
      socket.on('data', (bytes) => {
        heard += bytes.toString('latin1')
      })
      socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\nhello'))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as { port: number }
    const program = await this.publishProgram('python', 'behind-garbage')
    await this.network.setHostAddresses(this.network.hosts.map(() => `http://127.0.0.1:${port}`))
    try {
      return await work(program, () => heard)
    } finally {
      await this.network.setHostAddresses(undefined)
      server.close()
      await eventually('the real hosts are used again', 30_000, async () =>
        (await this.client.ask(this.program('python').url)).status === 200 ? true : undefined,
      )
    }
  }

  #published(itemHash: string, codeRef: string): PublishedProgram {
    const label = encodeHostLabel(itemHash)
    return { itemHash, codeRef, label, url: `https://${label}.${this.network.zone}/` }
  }
}

/** The sample's folder as an archive, with another version text. */
function sampleCode(language: Language, version: string): Buffer {
  const files = readFolder(`${samples}${language}`).map((file) =>
    file.name === 'VERSION' ? { ...file, data: Buffer.from(version) } : file,
  )
  return packFiles(files)
}
