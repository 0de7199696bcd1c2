/** Meant for one connection only (RFC 9110 §7.6.1). Transfer-Encoding and Upgrade are decided separately. */
const hopByHop = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'upgrade',
])
/** Tells who asks, or through whom. A program never learns that from its host. */
const identifying =
  /^(x-forwarded(-.*)?|forwarded|via|x-real-ip|x-client-ip|x-cluster-client-ip|true-client-ip|fastly-client-ip|cf-.*|x-original-forwarded-for|x-envoy-external-address|x-appengine-user-ip)$/
/** Answered by this host already. */
const answeredHere = new Set(['expect'])

/**
 * Headers of a request as the program sees them: order, case and repetition kept.
 * @param raw - name, value, name, value, … as they arrived
 */
export function requestHeaders(raw: readonly string[], upgrade = false): string[] {
  const named = connectionTokens(raw)
  const kept = filterPairs(
    raw,
    (name) => !hopByHop.has(name) && !named.has(name) && !identifying.test(name) && !answeredHere.has(name),
  )
  if (!upgrade) return kept
  return [...kept, 'Connection', 'Upgrade', 'Upgrade', headerValue(raw, 'upgrade') ?? 'websocket']
}

/** Headers of a program's answer as the client sees them; `own` replaces what the program said under those names. */
export function answerHeaders(raw: readonly string[], own: readonly string[], upgrade = false): string[] {
  const named = connectionTokens(raw)
  const replaced = new Set(own.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase()))
  const kept = filterPairs(raw, (name) => {
    if (replaced.has(name) || (name === 'transfer-encoding' && !upgrade)) return false
    return upgrade
      ? name === 'upgrade' || name === 'connection' || !hopByHop.has(name)
      : !hopByHop.has(name) && !named.has(name)
  })
  return [...kept, ...own]
}

function filterPairs(raw: readonly string[], keep: (name: string) => boolean): string[] {
  const kept: string[] = []
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = raw[index] as string
    if (keep(name.toLowerCase())) kept.push(name, raw[index + 1] as string)
  }
  return kept
}

/** Names that a Connection header declares hop-by-hop. The framing of the body stays ours to decide. */
function connectionTokens(raw: readonly string[]): Set<string> {
  const tokens = new Set<string>()
  for (let index = 0; index + 1 < raw.length; index += 2) {
    if ((raw[index] as string).toLowerCase() !== 'connection') continue
    for (const token of (raw[index + 1] as string).split(',')) tokens.add(token.trim().toLowerCase())
  }
  for (const kept of ['content-length', 'transfer-encoding', 'host']) tokens.delete(kept)
  return tokens
}

function headerValue(raw: readonly string[], wanted: string): string | undefined {
  for (let index = 0; index + 1 < raw.length; index += 2)
    if ((raw[index] as string).toLowerCase() === wanted) return raw[index + 1]
  return undefined
}
