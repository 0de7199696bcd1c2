import { createHash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdir, mkdtemp, readdir, rename, rm, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { SingleFlight } from '../../../core/single-flight.ts'
import { FileHashError, FileTooLargeError } from '../errors.ts'
import type { PlannedVolume } from '../plan-vm.ts'
import type { NetworkSource } from '../ports.ts'
import { buildImage } from './build-image.ts'

export interface CodeCacheOptions {
  dir: string
  network: Pick<NetworkSource, 'file'>
  codeBytesMax: number
  unpackedBytesMax: number
  unpackedFilesMax: number
  cacheBytesMax: number
}

/** Images of code on disk, by the hash of the file they were made from. What is in the cache was verified when it came. */
export class CodeCache {
  readonly #options: CodeCacheOptions
  readonly #flights = new SingleFlight<string, string>()

  constructor(options: CodeCacheOptions) {
    this.#options = options
  }

  /** Prepares the folder, removing what an interrupted download left. */
  async open(): Promise<void> {
    const { dir } = this.#options
    await mkdir(dir, { recursive: true })
    for (const name of await readdir(dir))
      if (name.startsWith('work-')) await rm(join(dir, name), { recursive: true, force: true })
  }

  /** The image if it is on disk. */
  async find(fileHash: string, volume: PlannedVolume): Promise<string | undefined> {
    const path = this.#path(fileHash, volume)
    try {
      const now = new Date()
      await utimes(path, now, now) // the order of eviction
      return path
    } catch {
      return undefined
    }
  }

  /**
   * The image, downloaded and built if need be. Concurrent callers share the work.
   * @throws FileHashError, FileTooLargeError, BadArchiveError, or what the network source throws
   */
  async get(fileHash: string, volume: PlannedVolume, signal: AbortSignal): Promise<string> {
    return (
      (await this.find(fileHash, volume)) ??
      this.#flights.run(this.#path(fileHash, volume), () => this.#make(fileHash, volume, signal))
    )
  }

  #path(fileHash: string, volume: PlannedVolume): string {
    const name =
      volume.encoding === 'plain' ? `-${createHash('sha256').update(volume.fileName).digest('hex').slice(0, 16)}` : ''
    return join(this.#options.dir, `${fileHash}-${volume.encoding}${name}.sqfs`)
  }

  async #make(fileHash: string, volume: PlannedVolume, signal: AbortSignal): Promise<string> {
    const { dir, unpackedFilesMax, unpackedBytesMax } = this.#options
    const work = await mkdtemp(join(dir, 'work-'))
    try {
      const file = join(work, 'file')
      await this.#download(fileHash, file, signal)
      const image = join(work, 'image')
      await buildImage(file, volume, image, work, { filesMax: unpackedFilesMax, bytesMax: unpackedBytesMax })
      const path = this.#path(fileHash, volume)
      await this.#evict((await stat(image)).size)
      await rename(image, path)
      return path
    } finally {
      await rm(work, { recursive: true, force: true })
    }
  }

  async #download(fileHash: string, target: string, signal: AbortSignal): Promise<void> {
    const { network, codeBytesMax } = this.#options
    const digest = createHash('sha256')
    let bytes = 0
    const source = network.file(fileHash, signal)
    async function* verified(): AsyncIterable<Uint8Array> {
      for await (const chunk of source) {
        bytes += chunk.length
        if (bytes > codeBytesMax) throw new FileTooLargeError(`The file ${fileHash}`, codeBytesMax)
        digest.update(chunk)
        yield chunk
      }
    }
    await pipeline(Readable.from(verified()), createWriteStream(target, { mode: 0o644 }), { signal })
    const actual = digest.digest('hex')
    if (actual !== fileHash) throw new FileHashError(fileHash, actual)
  }

  /** Makes room for `bytes`. Guests that run from an image keep it: they hold a link or a copy of their own. */
  async #evict(bytes: number): Promise<void> {
    const { dir, cacheBytesMax } = this.#options
    const names = (await readdir(dir)).filter((name) => name.endsWith('.sqfs'))
    const files = await Promise.all(
      names.map(async (name) => ({ path: join(dir, name), info: await stat(join(dir, name)) })),
    )
    files.sort((a, b) => a.info.mtimeMs - b.info.mtimeMs)
    let total = bytes + files.reduce((sum, file) => sum + file.info.size, 0)
    for (const file of files) {
      if (total <= cacheBytesMax) return
      await rm(file.path, { force: true })
      total -= file.info.size
    }
  }
}
