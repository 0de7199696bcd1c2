import { execFile } from 'node:child_process'
import { chmod, copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { BadArchiveError } from '../errors.ts'
import type { PlannedVolume } from '../plan-vm.ts'
import { readZip, type ZipLimits } from './zip.ts'

const run = promisify(execFile)
/** Making an image of the largest allowed archive takes seconds. */
const squashTimeoutMs = 60_000
const squashMagic = 0x7371_7368
const superblockBytes = 96

/** Turns a verified file into a squashfs image at `image`. `work` is an empty folder of the caller's. */
export async function buildImage(
  file: string,
  volume: Pick<PlannedVolume, 'encoding' | 'fileName'>,
  image: string,
  work: string,
  limits: ZipLimits,
): Promise<void> {
  if (volume.encoding === 'squashfs') {
    await checkSquashfs(file)
    await copyFile(file, image)
    return
  }
  const root = join(work, 'root')
  await mkdir(root, { recursive: true })
  if (volume.encoding === 'zip') await unpackZip(await readFile(file), root, limits)
  else {
    await copyFile(file, join(root, volume.fileName))
    await chmod(join(root, volume.fileName), 0o755)
  }
  // No compression: the image is read once, from the page cache, by a guest that should spend its time on the program.
  const options = [
    '-noI',
    '-noD',
    '-noF',
    '-noX',
    '-all-root',
    '-no-xattrs',
    '-noappend',
    '-quiet',
    '-no-progress',
    '-no-exports',
  ]
  await run('mksquashfs', [root, image, ...options], { timeout: squashTimeoutMs })
  await rm(root, { recursive: true, force: true })
}

async function unpackZip(bytes: Buffer, root: string, limits: ZipLimits): Promise<void> {
  for (const entry of readZip(bytes, limits)) {
    const path = join(root, entry.path)
    try {
      await mkdir(dirname(path), { recursive: true })
      await writeFile(path, entry.read(), { mode: entry.executable ? 0o755 : 0o644, flag: 'wx' })
    } catch (error) {
      if (error instanceof BadArchiveError) throw error
      throw new BadArchiveError(`"${entry.path}" clashes with another entry`, { cause: error })
    }
  }
}

/** A wrong image would only be noticed inside the guest, as a mount that fails; say it here, where the owner reads it. */
async function checkSquashfs(file: string): Promise<void> {
  const head = await readFile(file).then((bytes) => bytes.subarray(0, superblockBytes))
  if (head.length < superblockBytes || head.readUInt32LE(0) !== squashMagic)
    throw new BadArchiveError('it is no squashfs image')
}
