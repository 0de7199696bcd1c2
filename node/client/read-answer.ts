import type { Clock } from '../../core/clock.ts'

/** An answer went on past its limit: no honest node gives such a one. */
export class AnswerTooLongError extends Error {}

/** A node answered, but not with what was asked for. Another one may. */
export class NotServedError extends Error {}

/** Reads the body of an answer of any status. @throws AnswerTooLongError past `bytesMax` */
export async function answerBytes(response: Response, bytesMax: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  let total = 0
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    total += chunk.length
    if (total > bytesMax) throw new AnswerTooLongError(`The answer has more than ${bytesMax} bytes.`)
    parts.push(chunk)
  }
  return Buffer.concat(parts)
}

/** The JSON of a successful answer. @throws NotServedError for another status, else Error */
export function parseJsonAnswer({ ok, status, bytes }: { ok: boolean; status: number; bytes: Uint8Array }): unknown {
  if (!ok) throw new NotServedError(`The node answered ${status}.`)
  return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
}

/** Passes a body on; ends it by `slow` when no byte comes for `silenceTimeoutMs`. A slow reader does not count as silence. */
export async function* chunksUnlessSilent(
  response: Response,
  options: { clock: Clock; silenceTimeoutMs: number; slow: AbortController },
): AsyncIterable<Uint8Array> {
  const { clock, silenceTimeoutMs, slow } = options
  const reader = response.body?.getReader()
  if (!reader) return
  const next = async () => {
    using _timer = clock.schedule(silenceTimeoutMs, () => slow.abort(new Error(`Silent for ${silenceTimeoutMs} ms.`)))
    return await reader.read()
  }
  try {
    for (let read = await next(); !read.done; read = await next()) yield read.value
  } finally {
    await reader.cancel().catch(() => {})
  }
}
