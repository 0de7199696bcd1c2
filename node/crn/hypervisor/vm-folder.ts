import { constants } from 'node:fs'
import { chmod, chown, copyFile, link, mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'

/** Makes the folder of one microVM. It belongs to the guest's user and is closed to all others. */
export async function makeVmFolder(vmsDir: string, id: string, uid: number | undefined): Promise<string> {
  const folder = join(vmsDir, id)
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true, mode: 0o700 })
  if (uid === undefined) return folder
  // Root's group may enter: bwrap has given up root's capabilities when it changes into the folder.
  await chown(folder, uid, 0)
  await chmod(folder, 0o710)
  return folder
}

/** Puts an image into a VM's folder: a hard link, so that the cache may forget the image while the guest still reads it. */
export async function placeImage(imagePath: string, target: string): Promise<void> {
  try {
    await link(imagePath, target)
  } catch (error) {
    // Another file system, or links are forbidden. Never copy over an existing name: it may be a link to another image.
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw error
    await copyFile(imagePath, target, constants.COPYFILE_EXCL)
    await chmod(target, 0o644)
  }
}

/** Removes what a killed supervisor left. Its guests died with it, so every folder here is stale. */
export async function removeStaleVms(vmsDir: string): Promise<number> {
  const names = await readdir(vmsDir).catch(() => [])
  for (const name of names) await rm(join(vmsDir, name), { recursive: true, force: true })
  return names.length
}

/** Hands out host users, one per running guest, lowest first. */
export class JailUsers {
  readonly #base: number
  readonly #used = new Set<number>()

  constructor(base: number) {
    this.#base = base
  }

  take(): number {
    let uid = this.#base
    while (this.#used.has(uid)) uid++
    this.#used.add(uid)
    return uid
  }

  giveBack(uid: number): void {
    this.#used.delete(uid)
  }
}
