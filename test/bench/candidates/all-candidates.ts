import { createRequire } from 'node:module'
import { caddy } from './caddy.ts'
import type { Candidate } from './candidate.ts'
import { nodeProxy } from './candidate.ts'
import { haproxy } from './haproxy.ts'
import { nginx } from './nginx.ts'
import { bare, ours } from './ours.ts'

const require = createRequire(import.meta.url)
const packageVersion = (name: string): string => (require(`${name}/package.json`) as { version: string }).version

const httpProxy: Candidate = {
  name: 'http-proxy',
  version: () => packageVersion('http-proxy'),
  lacks: ['h2'],
  command: (place) => nodeProxy('http-proxy-program.ts', place),
}

const undici: Candidate = {
  name: 'undici',
  version: () => packageVersion('undici'),
  lacks: ['h2', 'websocket'],
  command: (place) => nodeProxy('undici-program.ts', place),
}

/** Servers of the distribution; measured where they are installed. */
export const servers: readonly Candidate[] = [nginx, haproxy, caddy]

/** Proxies on Node that can always be measured, since npm brings them. */
export const baselines: readonly Candidate[] = [httpProxy, undici]

export { bare, ours }
