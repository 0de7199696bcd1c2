import { createHash } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { UnusableClientCaError } from '../errors.ts'
import type { Settings } from './listen-context.ts'
import type { ClientCa } from './tls/site-servers.ts'

interface Loaded {
  ca: ClientCa
  /** When the file had been changed last. */
  changedMs: number
  checkedMs: number
}

/** How long a file is believed to be unchanged, milliseconds. */
const believedMs = 2_000

/**
 * The authorities whose client certificates a site takes, from the PEM file named in its options. A changed file counts for new connections
 * within seconds.
 * @returns for a server name: its authorities, or undefined where everybody may come
 */
export function clientCas(settings: Settings): (serverName: string) => ClientCa | undefined {
  const loaded = new Map<string, Loaded>()
  return (serverName) => {
    const path = settings.sites.optionsFor(serverName).clientCertificates
    return path === undefined ? undefined : load(path, loaded)
  }
}

function load(path: string, loaded: Map<string, Loaded>): ClientCa {
  const nowMs = performance.now()
  const known = loaded.get(path)
  if (known && nowMs - known.checkedMs < believedMs) return known.ca
  try {
    const changedMs = statSync(path).mtimeMs
    if (known?.changedMs === changedMs) {
      known.checkedMs = nowMs
      return known.ca
    }
    const pem = readFileSync(path, 'utf8')
    const ca = { id: createHash('sha256').update(pem).digest('hex'), pem }
    loaded.set(path, { ca, changedMs, checkedMs: nowMs })
    return ca
  } catch (cause) {
    // A site that demands certificates must never be open because a file is gone.
    throw new UnusableClientCaError(path, { cause })
  }
}
