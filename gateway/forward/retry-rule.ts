import type { ForwardResult } from './forwarder.ts'

const idempotent = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'])

/** Whether sending a request twice has the effect of sending it once (RFC 9110 §9.2.2). */
export function isIdempotent(method: string): boolean {
  return idempotent.has(method)
}

/**
 * Decides whether the request may go to one more host. Nothing has reached the client yet. A body that began to flow is gone and cannot
 * be sent again; a request that may have had an effect is repeated only when repeating is harmless; one that the host turned away, or
 * never saw, may always go elsewhere.
 */
export function mayTryAnother(method: string, result: ForwardResult): boolean {
  switch (result.kind) {
    case 'answered':
    case 'gone':
      return false
    case 'full':
      return !result.bodyStarted
    case 'failed':
      return !result.bodyStarted && (result.refused || (isIdempotent(method) && result.error.status !== 504))
  }
}
