/** Whose mistake an error is: decides the status class, the metric label and whether a retry may help. */
export type Fault = 'caller' | 'upstream' | 'ours'

/** What an `AppError` looks like on the wire: RFC 9457 problem details with `code` and `hint` added. */
export interface Problem {
  type: string
  title: string
  status: number
  code: string
  detail: string
  hint?: string
  fault: Fault
  /** Values a program may want, for example the DNS records that were found. Never holds a requester's address or path. */
  details?: unknown
}

export interface AppErrorOptions {
  cause?: unknown
  /** What the reader should do next, one or two sentences. */
  hint?: string
  details?: unknown
}

/**
 * An expected failure. The message says what happened and with which value; `hint` says what to do next.
 * Subclasses fix `code` (stable, upper snake case with the module as prefix, listed in docs/reference/errors.md), `fault` and `status`.
 */
export abstract class AppError extends Error {
  abstract readonly code: string
  abstract readonly fault: Fault
  /** HTTP status to answer with where the error reaches a client. */
  readonly status: number = 500
  readonly hint: string | undefined
  readonly details: unknown

  constructor(message: string, options: AppErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.hint = options.hint
    this.details = options.details
  }

  override get name(): string {
    return this.constructor.name
  }
}

/** Turns any thrown value into problem details. An unexpected error shows neither message nor stack to the outside. */
export function toProblem(error: unknown): Problem {
  if (!(error instanceof AppError)) {
    return {
      type: 'about:blank',
      title: 'Internal error',
      status: 500,
      code: 'INTERNAL',
      detail: 'Something failed that should not have. The log of this node has the cause.',
      fault: 'ours',
    }
  }
  return {
    type: `urn:lastmile:error:${error.code}`,
    title: error.code,
    status: error.status,
    code: error.code,
    detail: error.message,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    fault: error.fault,
    ...(error.details === undefined ? {} : { details: error.details }),
  }
}

/** One line for a log or a terminal: code, message, hint, and the chain of causes. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const head = error instanceof AppError ? `${error.code}: ${error.message}` : error.message || error.name
  const hint = error instanceof AppError && error.hint ? ` ${error.hint}` : ''
  const cause = error.cause === undefined ? '' : ` (cause: ${describeError(error.cause)})`
  return head + hint + cause
}
