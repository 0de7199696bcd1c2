import type { AppError } from '../../core/errors.ts'
import type { HeldCertificate } from './certificate-table.ts'
import type { NameSet } from './issuer.ts'

/** One line of an admin page. Times are Unix milliseconds. */
export interface CertificateStatus {
  names: readonly string[]
  /** `managed`: by configuration; `demand`: by a visitor's first connection. */
  kind: 'managed' | 'demand'
  state: 'valid' | 'ordering' | 'expired' | 'missing' | 'refused'
  notAfterMs?: number
  /** When it will be renewed, as far as known. */
  renewAtMs?: number
  /** The last failure, if nothing has succeeded since. */
  failure?: { code: string; message: string; hint?: string | undefined; fault: string }
  /** When it is looked at, or may be asked for, again. */
  nextAtMs?: number
}

/** What is known of a set in memory. */
export interface SetState {
  set: NameSet
  held?: HeldCertificate | undefined
  renewAtMs?: number | undefined
  failure?: AppError | undefined
  ordering: boolean
  /** Where in the CA's renewal window this certificate is renewed, 0 to 1. */
  place: number
}

/** The line of a set that is kept. */
export function statusOf(
  { set, held, renewAtMs: dueMs, failure, ordering }: SetState,
  nextAtMs: number | undefined,
  nowMs: number,
): CertificateStatus {
  const notAfterMs = held?.record.notAfterMs
  const state =
    notAfterMs !== undefined && notAfterMs > nowMs
      ? 'valid'
      : ordering
        ? 'ordering'
        : notAfterMs === undefined
          ? 'missing'
          : 'expired'
  return {
    names: set.names,
    kind: set.kind,
    state,
    ...(notAfterMs === undefined ? {} : { notAfterMs }),
    ...(dueMs === undefined ? {} : { renewAtMs: dueMs }),
    ...(failure === undefined ? {} : { failure: failureOf(failure) }),
    ...(nextAtMs === undefined ? {} : { nextAtMs }),
  }
}

/** The line of a set that was refused a moment ago. */
export function refusedStatus(names: readonly string[], error: AppError, nextAtMs: number): CertificateStatus {
  return { names, kind: 'demand', state: 'refused', failure: failureOf(error), nextAtMs }
}

function failureOf({ code, message, hint, fault }: AppError): NonNullable<CertificateStatus['failure']> {
  return { code, message, hint, fault }
}
