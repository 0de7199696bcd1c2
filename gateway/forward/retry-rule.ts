const idempotent = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'])

/** Whether sending a request twice has the effect of sending it once (RFC 9110 §9.2.2). */
export function isIdempotent(method: string): boolean {
  return idempotent.has(method)
}

/** How an attempt at a host came to nothing. Nothing has reached the client. */
export interface FailedAttempt {
  /** `full`: the host said that it has no room; `refused`: it has seen nothing of the request; `timeout`: it began no answer in time. */
  kind: 'full' | 'refused' | 'timeout' | 'failed'
  /** The body has begun to flow and cannot be sent again. */
  bodyStarted: boolean
}

/**
 * Decides whether the request may go to one more host. A body that began to flow is gone and cannot be sent again; a request that may have
 * had an effect is repeated only when repeating is harmless; one that the host turned away, or never saw, may always go elsewhere. What
 * took one host too long would most likely take the next too long as well, and the client has waited already.
 */
export function mayTryAnother(method: string, { kind, bodyStarted }: FailedAttempt): boolean {
  if (bodyStarted || kind === 'timeout') return false
  return kind === 'full' || kind === 'refused' || isIdempotent(method)
}
