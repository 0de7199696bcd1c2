/**
 * Tells whether a path has a `..` segment in any reading a host might apply: percent-encoded dots and slashes, backslashes as slashes,
 * parameters after ";" cut off. The gateway puts `/vm/<hash>` in front of the path, so such a segment could reach other programs, or the
 * host's own API. Browsers, curl and fetch resolve these segments before they send; refusing them costs no honest client anything.
 * @see RFC 3986 §5.2.4
 */
export function hasParentSegment(path: string): boolean {
  const end = path.indexOf('?')
  const plain = (end < 0 ? path : path.slice(0, end)).replace(/%2e/gi, '.').replace(/%2f|%5c|\\/gi, '/')
  return plain.includes('..') && plain.split('/').some((segment) => segment.split(/;|%3b/i, 1)[0] === '..')
}
