/**
 * What becomes of a media type: `never`, `shared` (the same for everybody in practice: code, styles, fonts, pictures as text), or
 * `document` (may hold what only one visitor should see).
 */
export type Compressibility = 'never' | 'shared' | 'document'

const shared = new Set([
  'text/css',
  'text/javascript',
  'application/javascript',
  'application/x-javascript',
  'application/wasm',
  'application/manifest+json',
  'image/svg+xml',
  'image/bmp',
  'image/x-icon',
  'image/vnd.microsoft.icon',
  'font/ttf',
  'font/otf',
  'application/vnd.ms-fontobject',
  'application/x-font-ttf',
  'model/gltf+json',
])

const document = new Set([
  'application/json',
  'application/xml',
  'application/x-ndjson',
  'application/jsonl',
  'application/graphql',
  'application/rtf',
  'application/x-yaml',
  'application/yaml',
  'application/toml',
  'application/sql',
])

/** Text that is sent bit by bit, each to be seen at once. */
const streams = new Set(['text/event-stream'])

/**
 * Decides by the type without its parameters, lower case. A list of what gains, not of what does not: pictures, video, archives, fonts in
 * WOFF, gRPC and types nobody has heard of pass as they are.
 */
export function compressibilityOf(type: string): Compressibility {
  if (shared.has(type)) return 'shared'
  if (streams.has(type)) return 'never'
  if (type.startsWith('text/') || document.has(type) || type.endsWith('+json') || type.endsWith('+xml'))
    return 'document'
  return 'never'
}
