import { Field } from '../http1/known-fields.ts'
import type { HostAnswer } from '../upstream/host-stream.ts'

/** An answer larger than this is no word of a host that it is full. */
export const problemBytesMax = 8_192
const retryAfterDefaultMs = 2_000

/** Whether a 503 may be a host's word that it has no room for the program; its body tells. */
export function isFullCandidate({ fields, bodyBytes }: HostAnswer): boolean {
  if (bodyBytes <= 0 || bodyBytes > problemBytesMax) return false
  return fields.valueOf(Field.contentType)?.startsWith('application/problem+json') ?? false
}

/** Milliseconds after which a host that said it has no room (503 with code `CRN_FULL`) may be asked again; undefined for other answers. */
export function fullRetryAfterMs(answer: HostAnswer, body: Buffer): number | undefined {
  if (!isFullCandidate(answer) || codeIn(body) !== 'CRN_FULL') return undefined
  const seconds = Number(answer.fields.valueOf(Field.retryAfter) ?? Number.NaN)
  return Number.isFinite(seconds) ? Math.max(0, seconds * 1_000) : retryAfterDefaultMs
}

function codeIn(body: Buffer): unknown {
  try {
    return (JSON.parse(body.toString('utf8')) as { code?: unknown } | null)?.code
  } catch {
    return undefined
  }
}
