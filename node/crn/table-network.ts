import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { NotHereError } from './errors.ts'
import type { NetworkSource } from './ports.ts'

/** A network source that is a table in memory: for tests and measurements. */
export interface TableNetwork extends NetworkSource {
  /** Stores a file and returns its hash. */
  addFile(bytes: Uint8Array): string
  /** Lets `ref` stand for a file; tells listeners when it stood for another one. */
  setRef(ref: string, fileHash: string): void
  /** Publishes a program that runs `files`, packed as a zip, and returns its item hash. */
  addProgram(name: string, entrypoint: string, files: ZipSource, overrides?: Record<string, unknown>): string
  /** Gives other bytes for a file than its hash promises. */
  corrupt(fileHash: string): void
  /** How often a file was asked for. */
  readonly downloads: Map<string, number>
}

export type ZipSource = Readonly<Record<string, Uint8Array | string>>

export function createTableNetwork(): TableNetwork {
  const files = new Map<string, Uint8Array>()
  const refs = new Map<string, string>()
  const programs = new Map<string, Record<string, unknown>>()
  const listeners = new Set<(ref: string) => void>()
  const downloads = new Map<string, number>()
  const owner = '0x0000000000000000000000000000000000000001'
  const hashOf = (text: string | Uint8Array): string => createHash('sha256').update(text).digest('hex')
  const network: TableNetwork = {
    downloads,
    addFile(bytes) {
      const hash = hashOf(bytes)
      files.set(hash, bytes)
      return hash
    },
    setRef(ref, fileHash) {
      const before = refs.get(ref)
      refs.set(ref, fileHash)
      if (before !== undefined && before !== fileHash) for (const listener of listeners) listener(ref)
    },
    addProgram(name, entrypoint, source, overrides = {}) {
      const ref = hashOf(`ref of ${name}`)
      network.setRef(ref, network.addFile(packZip(source)))
      programs.set(hashOf(name), programContent(owner, ref, entrypoint, overrides))
      return hashOf(name)
    },
    corrupt: (fileHash) => void files.set(fileHash, new TextEncoder().encode('something else')),
    async program(itemHash) {
      const content = programs.get(itemHash)
      if (!content) throw new NotHereError(`The message ${itemHash} is unknown.`)
      return { content, owner }
    },
    async fileHash(ref) {
      const hash = refs.get(ref)
      if (!hash) throw new NotHereError(`No file is stored under ${ref}.`)
      return hash
    },
    async *file(hash) {
      downloads.set(hash, (downloads.get(hash) ?? 0) + 1)
      const bytes = files.get(hash)
      if (!bytes) throw new NotHereError(`The file ${hash} is unknown.`)
      for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536)
    },
    onFileChanged(listener) {
      listeners.add(listener)
      return { [Symbol.dispose]: () => void listeners.delete(listener) }
    },
  }
  return network
}

function programContent(
  owner: string,
  ref: string,
  entrypoint: string,
  overrides: Record<string, unknown>,
): Record<string, unknown> {
  return {
    address: owner,
    time: 1_750_000_000,
    type: 'vm-function',
    allow_amend: false,
    code: { encoding: 'zip', entrypoint, ref, use_latest: true },
    runtime: { ref: hashText('runtime'), use_latest: true, comment: '' },
    on: { http: true },
    environment: { reproducible: false, internet: false, aleph_api: false, shared_cache: false },
    resources: { vcpus: 1, memory: 128, seconds: 10 },
    ...overrides,
  }
}

const hashText = (text: string): string => createHash('sha256').update(text).digest('hex')

/** Reads a folder as the source of an archive. */
export function filesOf(folder: string, prefix = ''): ZipSource {
  const found: Record<string, Uint8Array | string> = {}
  for (const name of readdirSync(folder)) {
    const path = join(folder, name)
    if (statSync(path).isDirectory()) Object.assign(found, filesOf(path, `${prefix}${name}/`))
    else found[prefix + name] = readFileSync(path)
  }
  return found
}

/** Packs files into a zip archive without compression. */
export function packZip(source: ZipSource): Buffer {
  const parts: Buffer[] = []
  const directory: Buffer[] = []
  let at = 0
  for (const [path, value] of Object.entries(source)) {
    const name = Buffer.from(path)
    const content = Buffer.from(value)
    const fields = Buffer.alloc(26)
    fields.writeUInt16LE(20, 0)
    fields.writeUInt32LE(crc32(content), 10)
    fields.writeUInt32LE(content.length, 14)
    fields.writeUInt32LE(content.length, 18)
    fields.writeUInt16LE(name.length, 22)
    const local = Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), fields, name, content])
    const tail = Buffer.alloc(14)
    tail.writeUInt32LE(0o100_644 * 65_536, 6)
    tail.writeUInt32LE(at, 10)
    directory.push(Buffer.concat([Buffer.from('PK\x01\x02\x14\x03', 'latin1'), fields, tail, name]))
    parts.push(local)
    at += local.length
  }
  const entries = Buffer.concat(directory)
  const end = Buffer.alloc(22)
  end.write('PK\x05\x06', 0, 'latin1')
  end.writeUInt16LE(directory.length, 8)
  end.writeUInt16LE(directory.length, 10)
  end.writeUInt32LE(entries.length, 12)
  end.writeUInt32LE(at, 16)
  return Buffer.concat([...parts, entries, end])
}
