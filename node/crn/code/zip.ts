import { crc32, inflateRawSync } from 'node:zlib'
import { BadArchiveError } from '../errors.ts'

/** One file of an archive. */
export interface ZipEntry {
  /** Relative, with forward slashes, never leaving the folder. */
  path: string
  executable: boolean
  /** Unpacks the file; its checksum and size are verified. @throws BadArchiveError */
  read(): Buffer
}

export interface ZipLimits {
  filesMax: number
  /** Sum of the unpacked sizes. */
  bytesMax: number
}

const endSignature = 0x0605_4b50
const entrySignature = 0x0201_4b50
const localSignature = 0x0403_4b50
/** The end record and the longest comment it may have. */
const endBytesMax = 22 + 65_535
const depthMax = 32

/**
 * Lists the files of a zip archive by its central directory. The archive comes from a stranger: names that leave the folder,
 * links, encryption, unknown methods, overlapping claims about sizes and bombs are refused before anything is written.
 * @see APPNOTE.TXT 4.3 (formats 4.3.7, 4.3.12, 4.3.16); zip64 is not accepted
 */
export function readZip(bytes: Buffer, limits: ZipLimits): ZipEntry[] {
  const end = findEnd(bytes)
  const count = bytes.readUInt16LE(end + 10)
  let at = bytes.readUInt32LE(end + 16)
  if (count === 0xffff || at === 0xffff_ffff) throw new BadArchiveError('it is a zip64 archive')
  if (count > limits.filesMax) throw new BadArchiveError(`it has ${count} entries, ${limits.filesMax} are allowed`)
  const entries = new Map<string, ZipEntry>()
  let total = 0
  for (let index = 0; index < count; index++) {
    if (at + 46 > end || bytes.readUInt32LE(at) !== entrySignature)
      throw new BadArchiveError('its directory is cut off')
    const nameBytes = bytes.readUInt16LE(at + 28)
    const next = at + 46 + nameBytes + bytes.readUInt16LE(at + 30) + bytes.readUInt16LE(at + 32)
    if (next > end) throw new BadArchiveError('its directory is cut off')
    const name = bytes.toString('utf8', at + 46, at + 46 + nameBytes)
    total += bytes.readUInt32LE(at + 24)
    if (total > limits.bytesMax) throw new BadArchiveError(`it unpacks to more than ${limits.bytesMax} bytes`)
    const entry = parseEntry(bytes, at, name)
    if (entry && entries.has(entry.path)) throw new BadArchiveError(`it holds "${entry.path}" twice`)
    if (entry) entries.set(entry.path, entry)
    at = next
  }
  return [...entries.values()]
}

function findEnd(bytes: Buffer): number {
  for (let at = bytes.length - 22; at >= 0 && at >= bytes.length - endBytesMax; at--) {
    if (bytes.readUInt32LE(at) === endSignature) return at
  }
  throw new BadArchiveError('it is no zip archive')
}

/** Undefined for folders: they come into being with their files. */
function parseEntry(bytes: Buffer, at: number, name: string): ZipEntry | undefined {
  const flags = bytes.readUInt16LE(at + 8)
  const method = bytes.readUInt16LE(at + 10)
  const unixMode = bytes.readUInt32LE(at + 38) >>> 16
  const path = safePath(name)
  if (flags & 1) throw new BadArchiveError(`"${path}" is encrypted`)
  const kind = unixMode & 0o170_000
  if (kind !== 0 && kind !== 0o100_000 && kind !== 0o040_000)
    throw new BadArchiveError(`"${path}" is neither a file nor a folder`)
  if (name.endsWith('/')) return undefined
  if (method !== 0 && method !== 8) throw new BadArchiveError(`"${path}" uses the unknown method ${method}`)
  return { path, executable: (unixMode & 0o111) !== 0, read: () => readEntry(bytes, at, path, method) }
}

function safePath(name: string): string {
  const parts = name
    .replaceAll('\\', '/')
    .split('/')
    .filter((part) => part !== '' && part !== '.')
  const bad = name.startsWith('/') || name.includes('\0') || name.includes('\ufffd') || parts.includes('..')
  if (bad || parts.length === 0 || parts.length > depthMax || parts.some((part) => Buffer.byteLength(part) > 255)) {
    throw new BadArchiveError(`it holds the path ${JSON.stringify(name.slice(0, 100))}`)
  }
  return parts.join('/')
}

function readEntry(bytes: Buffer, at: number, path: string, method: number): Buffer {
  const packedBytes = bytes.readUInt32LE(at + 20)
  const fileBytes = bytes.readUInt32LE(at + 24)
  const local = bytes.readUInt32LE(at + 42)
  if (local + 30 > bytes.length || bytes.readUInt32LE(local) !== localSignature)
    throw new BadArchiveError(`"${path}" is cut off`)
  const start = local + 30 + bytes.readUInt16LE(local + 26) + bytes.readUInt16LE(local + 28)
  if (start + packedBytes > bytes.length) throw new BadArchiveError(`"${path}" is cut off`)
  const packed = bytes.subarray(start, start + packedBytes)
  const content = method === 0 ? packed : inflate(packed, fileBytes, path)
  if (content.length !== fileBytes || crc32(content) !== bytes.readUInt32LE(at + 16)) {
    throw new BadArchiveError(`"${path}" does not have the size and checksum that the directory states`)
  }
  return content
}

function inflate(packed: Buffer, fileBytes: number, path: string): Buffer {
  try {
    return inflateRawSync(packed, { maxOutputLength: Math.max(fileBytes, 1) })
  } catch (cause) {
    throw new BadArchiveError(`"${path}" cannot be inflated`, { cause })
  }
}
