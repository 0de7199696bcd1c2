import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const root = new URL('corpus/', import.meta.url).pathname

export interface CorpusFile {
  path: string
  input: Buffer
}

/** The inputs kept for a target, in the order of their names. Hand-written ones have a name that says what they are. */
export function readCorpus(target: string): CorpusFile[] {
  const folder = join(root, target)
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .sort()
    .map((name) => ({ path: join(folder, name), input: readFileSync(join(folder, name)) }))
}

/** Keeps an input under the beginning of its hash. Returns where. */
export function keepInput(target: string, input: Buffer): string {
  const folder = join(root, target)
  mkdirSync(folder, { recursive: true })
  const path = join(folder, createHash('sha256').update(input).digest('hex').slice(0, 16))
  writeFileSync(path, input)
  return path
}
