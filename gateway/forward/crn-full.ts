import type { IncomingMessage } from 'node:http'

const problemBytesMax = 8_192
const retryAfterDefaultMs = 2_000

/**
 * Recognises a host that has no room: status 503, `application/problem+json` with code `CRN_FULL`. Its body is small, so it is read here;
 * when it turns out to be something else, `prefix` holds what was read and the rest is still in `answer`.
 */
export async function readFullAnswer(answer: IncomingMessage): Promise<{ retryAfterMs?: number; prefix?: Buffer }> {
  const type = answer.headers['content-type'] ?? ''
  const length = Number(answer.headers['content-length'] ?? Number.NaN)
  if (answer.statusCode !== 503 || !type.startsWith('application/problem+json') || !(length <= problemBytesMax))
    return {}
  const prefix = await readAll(answer)
  if (codeOf(prefix) !== 'CRN_FULL') return { prefix }
  const seconds = Number(answer.headers['retry-after'] ?? Number.NaN)
  return { retryAfterMs: Number.isFinite(seconds) ? Math.max(0, seconds * 1_000) : retryAfterDefaultMs }
}

function readAll(answer: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve) => {
    const parts: Buffer[] = []
    answer.on('data', (part: Buffer) => parts.push(part))
    // "close" also follows "end"; a body that broke off is no CRN_FULL and fails again when it is relayed.
    answer.once('close', () => resolve(Buffer.concat(parts)))
  })
}

function codeOf(body: Buffer): unknown {
  try {
    return (JSON.parse(body.toString('utf8')) as { code?: unknown } | null)?.code
  } catch {
    return undefined
  }
}
