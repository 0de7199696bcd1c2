import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { crc32, deflateRawSync } from 'node:zlib'
import { AppError } from '../core/errors.ts'

/** The folder to publish is empty, unreadable, or holds something that an archive cannot carry. */
export class FolderNotPackableError extends AppError {
  readonly code = 'CLI_FOLDER_NOT_PACKABLE'
  readonly fault = 'caller'
}

/** Most bytes of code that hosts of the network accept inline with a program (protocol 5.4). */
const codeBytesMax = 10 * 1024 * 1024

interface Entry {
  name: Buffer
  data: Buffer
  packed: Buffer
  crc: number
  offset: number
}

/** A file of a folder: its path below the folder, with `/` between the parts, and its bytes. */
export interface PackedFile {
  name: string
  data: Buffer
}

/**
 * Packs a folder into a ZIP archive.
 * @throws FolderNotPackableError
 */
export function packFolder(folder: string): Buffer {
  const files = readFolder(folder)
  if (files.length === 0) {
    const hint = 'Name the folder with the code of the program.'
    throw new FolderNotPackableError(`The folder ${folder} holds no file.`, { hint })
  }
  const archive = packFiles(files)
  if (archive.length > codeBytesMax) {
    const hint = 'Leave out what is not needed at run time, or publish large data as a volume.'
    throw new FolderNotPackableError(
      `The packed folder ${folder} has ${archive.length} bytes; a program may have ${codeBytesMax}.`,
      { hint },
    )
  }
  return archive
}

/** All files below a folder, sorted by name. @throws FolderNotPackableError when it cannot be read */
export function readFolder(folder: string): PackedFile[] {
  try {
    return readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
      .sort()
      .map((name) => ({ name, data: readFileSync(join(folder, name)) }))
  } catch (cause) {
    const hint = 'Give the path of a folder.'
    throw new FolderNotPackableError(`The folder ${folder} cannot be read.`, { cause, hint })
  }
}

/**
 * Packs files into a ZIP archive (APPNOTE 6.3: no encryption, no ZIP64, deflate). The same files give the same bytes:
 * the time stamp is fixed, so that an unchanged program keeps its hash.
 */
export function packFiles(files: readonly PackedFile[]): Buffer {
  const parts: Buffer[] = []
  let offset = 0
  const entries = files.map(({ name, data }): Entry => {
    const packed = deflateRawSync(data, { level: 9 })
    const entry = { name: Buffer.from(name), data, packed, crc: crc32(data), offset }
    const head = localHeader(entry)
    parts.push(head, packed)
    offset += head.length + packed.length
    return entry
  })
  const directory = Buffer.concat(entries.map(directoryHeader))
  return Buffer.concat([...parts, directory, endRecord(entries.length, directory.length, offset)])
}

/** DOS date of 1980-01-01, the earliest that ZIP knows; the time is zero. */
const fixedDate = 0x0021
const flagUtf8 = 0x0800
const methodDeflate = 8

function localHeader(entry: Entry): Buffer {
  const head = Buffer.alloc(30)
  head.writeUInt32LE(0x04034b50, 0)
  head.writeUInt16LE(20, 4)
  writeSharedFields(head, 6, entry)
  return Buffer.concat([head, entry.name])
}

function directoryHeader(entry: Entry): Buffer {
  const head = Buffer.alloc(46)
  head.writeUInt32LE(0x02014b50, 0)
  // "Made by" Unix, so that the mode in the external attributes counts.
  head.writeUInt16LE(0x0314, 4)
  head.writeUInt16LE(20, 6)
  writeSharedFields(head, 8, entry)
  head.writeUInt32LE((0o100644 << 16) >>> 0, 38)
  head.writeUInt32LE(entry.offset, 42)
  return Buffer.concat([head, entry.name])
}

/** The fields that both headers have, in the same order: flags to extra length. */
function writeSharedFields(head: Buffer, at: number, entry: Entry): void {
  head.writeUInt16LE(flagUtf8, at)
  head.writeUInt16LE(methodDeflate, at + 2)
  head.writeUInt16LE(fixedDate, at + 6)
  head.writeUInt32LE(entry.crc, at + 8)
  head.writeUInt32LE(entry.packed.length, at + 12)
  head.writeUInt32LE(entry.data.length, at + 16)
  head.writeUInt16LE(entry.name.length, at + 20)
}

function endRecord(count: number, directoryBytes: number, directoryOffset: number): Buffer {
  const end = Buffer.alloc(22)
  end.writeUInt32LE(0x06054b50, 0)
  end.writeUInt16LE(count, 8)
  end.writeUInt16LE(count, 10)
  end.writeUInt32LE(directoryBytes, 12)
  end.writeUInt32LE(directoryOffset, 16)
  return end
}
