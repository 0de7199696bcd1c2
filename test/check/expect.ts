import assert from 'node:assert/strict'
import type { Answer } from './outside-client.ts'

/** What the sample programs answer at `/`. */
export interface SampleAnswer {
  language: string
  bootId: string
  version: string
}

/** The JSON of an answer with status 200; anything else is an error that shows what came. */
export function json<T>(answer: Answer, status = 200): T {
  const text = answer.body.toString()
  assert.equal(answer.status, status, `status ${answer.status} with ${text.slice(0, 400)}`)
  return JSON.parse(text) as T
}

/** Problem details of a refusal: status and code must be these; the hint must say what to do. */
export function refusal(
  answer: Answer,
  status: number,
  code: string,
): { detail: string; hint: string; details?: unknown } {
  const problem = json<{ code: string; detail: string; hint?: string; details?: unknown }>(answer, status)
  assert.equal(problem.code, code)
  assert.ok(problem.detail.length > 10, 'the detail says what happened')
  assert.ok((problem.hint ?? '').length > 10, 'the hint says what to do')
  return { detail: problem.detail, hint: problem.hint ?? '', details: problem.details }
}

/** Repeats `look` every `everyMs` until it returns a value; the last error is the reason when time runs out. */
export async function eventually<T>(
  what: string,
  timeoutMs: number,
  look: () => Promise<T | undefined>,
  everyMs = 100,
): Promise<T> {
  const endMs = performance.now() + timeoutMs
  let last: unknown
  for (;;) {
    try {
      const found = await look()
      if (found !== undefined) return found
    } catch (error) {
      last = error
    }
    if (performance.now() > endMs) throw new Error(`${what}: not so after ${timeoutMs} ms`, { cause: last })
    await new Promise((resolve) => setTimeout(resolve, everyMs))
  }
}
