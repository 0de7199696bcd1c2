import { writeFile } from 'node:fs/promises'

/** One regular file of an initial file system. */
export interface CpioFile {
  name: string
  mode: number
  content: Uint8Array
}

/**
 * Writes an initramfs in the "newc" format, uncompressed: a guest kernel need not spend time on unpacking.
 * @see Linux Documentation/driver-api/early-userspace/buffer-format.rst
 */
export async function writeCpio(path: string, files: readonly CpioFile[]): Promise<void> {
  const parts = files.flatMap((file, index) => entry(file, index + 1))
  await writeFile(
    path,
    Buffer.concat([...parts, ...entry({ name: 'TRAILER!!!', mode: 0, content: new Uint8Array() }, 0)]),
  )
}

function entry(file: CpioFile, inode: number): Uint8Array[] {
  const name = Buffer.from(`${file.name}\0`)
  const regular = file.mode === 0 ? 0 : 0o100_000 | file.mode
  const fields = [inode, regular, 0, 0, 1, 0, file.content.length, 0, 0, 0, 0, name.length, 0]
  const head = Buffer.from(`070701${fields.map((value) => value.toString(16).padStart(8, '0')).join('')}`)
  return [head, name, padding(head.length + name.length), file.content, padding(file.content.length)]
}

function padding(bytes: number): Uint8Array {
  return new Uint8Array((4 - (bytes % 4)) % 4)
}
