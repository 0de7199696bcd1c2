import { createHash } from 'node:crypto'
import { HashMismatchError } from '../protocol/errors.ts'

/** Passes bytes on while hashing them. @throws HashMismatchError at the end when they were others than the hash names */
export async function* hashChecked(sha256: string, source: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  const hash = createHash('sha256')
  for await (const chunk of source) {
    hash.update(chunk)
    yield chunk
  }
  const actual = hash.digest('hex')
  if (actual !== sha256) throw new HashMismatchError(`The file ${sha256} arrived with the hash ${actual}.`)
}
