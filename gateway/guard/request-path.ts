/**
 * Tells whether a path leaves its root through `..` segments, in any reading a host might apply: percent-encoded dots and slashes,
 * backslashes, and empty segments that some normalisers drop count as the worst case. The gateway puts `/vm/<hash>` in front of the path,
 * so a path that climbs would reach other programs, or the host's own API.
 */
export function climbsAboveRoot(path: string): boolean {
  const end = path.indexOf('?')
  const plain = (end < 0 ? path : path.slice(0, end)).replace(/%2e/gi, '.').replace(/%2f|%5c|\\/gi, '/')
  if (!plain.includes('..')) return false
  let depth = 0
  for (const segment of plain.split('/')) {
    // A parameter after ";" is dropped by some servers before they look at dots.
    const name = segment.split(';', 1)[0]
    if (name === '..') depth--
    else if (segment !== '' && name !== '.' && name !== '') depth++
    if (depth < 0) return true
  }
  return false
}
