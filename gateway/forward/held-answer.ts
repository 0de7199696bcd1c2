import type { IncomingMessage } from 'node:http'
import type { ForwardJob } from './forwarder.ts'
import type { HostAnswer } from './host-attempt.ts'
import { isIdempotent } from './retry-rule.ts'

const problemBytesMax = 8_192
const retryAfterDefaultMs = 2_000

/** A small answer that was read before anything went to the client. */
export type HeldAnswer = { state: 'whole'; body: Buffer } | { state: 'broken' } | { state: 'gone' }

/**
 * Reads a small answer whole before it is passed on, so that a host that dies in the middle of it costs the client nothing: the request
 * can still go to another host. Held are answers of known length up to `bytesMax` to requests that may be repeated, and what may be a
 * host's word that it is full. Everything else, event streams among it, flows as it comes.
 * @returns undefined when the answer is not to be held; it is unread then
 */
export async function holdAnswer(job: ForwardJob, got: HostAnswer, bytesMax: number): Promise<HeldAnswer | undefined> {
  const { answer, bodyStarted } = got
  const length = Number(answer.headers['content-length'] ?? Number.NaN)
  const repeatable = isIdempotent(job.method) && !bodyStarted && length <= bytesMax
  if (!repeatable && !(isFullCandidate(answer) && length <= problemBytesMax)) return undefined
  const { response } = job.client
  const onClientGone = (): void => void got.request.destroy()
  response.once('close', onClientGone)
  const body = await readAll(answer)
  response.off('close', onClientGone)
  if (response.destroyed) return { state: 'gone' }
  return answer.complete ? { state: 'whole', body } : { state: 'broken' }
}

/** Milliseconds after which a host that said it has no room (503 with code `CRN_FULL`) may be asked again; undefined for other answers. */
export function fullRetryAfterMs(answer: IncomingMessage, body: Buffer): number | undefined {
  if (!isFullCandidate(answer) || codeOf(body) !== 'CRN_FULL') return undefined
  const seconds = Number(answer.headers['retry-after'] ?? Number.NaN)
  return Number.isFinite(seconds) ? Math.max(0, seconds * 1_000) : retryAfterDefaultMs
}

function isFullCandidate(answer: IncomingMessage): boolean {
  return answer.statusCode === 503 && (answer.headers['content-type'] ?? '').startsWith('application/problem+json')
}

function readAll(answer: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve) => {
    const parts: Buffer[] = []
    answer.on('data', (part: Buffer) => parts.push(part))
    answer.on('error', () => {})
    // "close" also follows "end"; whether the body was whole is in `complete`.
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
