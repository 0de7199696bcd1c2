import { decodeHostLabel } from '../../protocol/host-label.ts'
import { NotHereError } from '../errors.ts'

/** The program that a request is for, and the path it shall see. */
export interface Target {
  itemHash: string
  /** Path and query, starting with a slash. */
  path: string
}

const labelChars = 52
const byPath = /^\/vm\/([^/?#]*)(.*)$/s

/**
 * Decides which program a request is for. On its own name a program owns every path, but for `/vm/<its own hash>`: gateways send
 * that path together with the public name, which may be the label of the same program.
 * @returns undefined when the request is for the host's own API
 * @throws NotHereError for a label or hash of wrong form
 */
export function findTarget(host: string | undefined, url: string): Target | undefined {
  const label = host?.slice(0, host.indexOf('.') + 1 || undefined).replace(/\.$/, '') ?? ''
  if (host?.includes('.') && label.length === labelChars) {
    const itemHash = decodeHostLabel(label)
    if (!itemHash) throw new NotHereError(`The host label "${label}" is not the base32 of a hash.`)
    const prefix = `/vm/${itemHash}`
    const viaPath = url === prefix || url.startsWith(`${prefix}/`) || url.startsWith(`${prefix}?`)
    return { itemHash, path: viaPath ? rooted(url.slice(prefix.length)) : url }
  }
  const match = byPath.exec(url)
  if (!match) return undefined
  const [, itemHash = '', rest = ''] = match
  if (!/^[0-9a-f]{64}$/.test(itemHash))
    throw new NotHereError(`"${itemHash.slice(0, 80)}" is no item hash: it must be 64 lower-case hex characters.`)
  return { itemHash, path: rooted(rest) }
}

function rooted(path: string): string {
  return path.startsWith('/') ? path : `/${path}`
}
