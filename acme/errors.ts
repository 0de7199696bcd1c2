import { AppError, type Fault } from '../core/errors.ts'

/** The CA could not be reached, or its TLS certificate is not trusted. Nothing was ordered. */
export class CaUnreachableError extends AppError {
  readonly code = 'ACME_CA_UNREACHABLE'
  readonly fault = 'upstream'
  override readonly status = 503
  constructor(url: string, cause: unknown) {
    const hint =
      'Check directoryUrl, the route to it and caFile. Existing certificates stay in use; the order is tried again.'
    super(`The certificate authority does not answer at ${new URL(url).origin}: ${reasonOf(cause)}.`, { cause, hint })
  }
}

/** The CA answered with something RFC 8555 does not allow: no JSON, too long, a missing field, an unusable certificate. */
export class CaReplyError extends AppError {
  readonly code = 'ACME_CA_BAD_REPLY'
  readonly fault = 'upstream'
  override readonly status = 502
}

/** The CA issued a certificate that cannot be used: for another key, without one of the names, expired or unreadable. */
export class CertificateUnusableError extends AppError {
  readonly code = 'ACME_CERTIFICATE_UNUSABLE'
  readonly fault = 'upstream'
  override readonly status = 502
  constructor(names: readonly string[], why: string) {
    super(`The certificate issued for ${list(names)} cannot be used: ${why}.`, {
      hint: 'It is ordered anew. If it happens again, compare the clock here with that of the certificate authority.',
    })
  }
}

/** An order was not finished within its deadline. It is kept, and resumed at the next attempt. */
export class OrderTimeoutError extends AppError {
  readonly code = 'ACME_ORDER_TIMEOUT'
  readonly fault = 'upstream'
  override readonly status = 503
}

/** The CA offers no challenge type for this name that a responder here can answer. */
export class NoChallengeError extends AppError {
  readonly code = 'ACME_NO_CHALLENGE'
  readonly fault = 'ours'
  constructor(name: string, offered: readonly string[], have: readonly string[]) {
    const hint = name.startsWith('*.')
      ? 'Wildcards need DNS-01: serve the zone here, or name it in the zones of the DNS-01 responder.'
      : 'Enable a responder of an offered type that covers this name.'
    super(`No challenge for "${name}" can be answered: offered ${list(offered)}, available ${list(have)}.`, { hint })
  }
}

/** The CA wants its terms of service agreed to before it makes an account. */
export class TermsNotAgreedError extends AppError {
  readonly code = 'ACME_TERMS_NOT_AGREED'
  readonly fault = 'ours'
  constructor(termsUrl: string) {
    super(`The terms of service of the certificate authority have not been agreed to: ${termsUrl}.`, {
      hint: 'Read them, then set termsOfServiceAgreed to true.',
    })
  }
}

/** The configured certificate profile is not listed in the CA's directory. */
export class ProfileUnknownError extends AppError {
  readonly code = 'ACME_PROFILE_UNKNOWN'
  readonly fault = 'ours'
  constructor(profile: string, listed: readonly string[]) {
    super(`The certificate authority has no profile "${profile}".`, { hint: `It lists: ${list(listed)}.` })
  }
}

/** The name cannot have a certificate: not a DNS name of at least two labels in A-label form. */
export class NameInvalidError extends AppError {
  readonly code = 'ACME_NAME_INVALID'
  readonly fault = 'caller'
  override readonly status = 400
  constructor(name: string) {
    super(`"${name.slice(0, 80)}" is not a name that can have a certificate.`, {
      hint: 'Use a DNS name with two labels or more; international names in their xn-- form; no IP address.',
    })
  }
}

/** The issuance policy itself failed: it neither allowed nor refused. No certificate is ordered without its yes. */
export class PolicyFailedError extends AppError {
  readonly code = 'ACME_POLICY_FAILED'
  readonly fault = 'ours'
  override readonly status = 503
  constructor(name: string, cause: unknown) {
    super(`Whether "${name}" may have a certificate could not be decided.`, {
      cause,
      hint: 'It is asked again with the next connection; the cause says what failed.',
    })
  }
}

/** An earlier attempt for these names failed and its waiting time has not passed. `details` holds the failure and `retryAtMs`. */
export class BackingOffError extends AppError {
  readonly code = 'ACME_BACKING_OFF'
  readonly fault: Fault
  override readonly status = 503
  constructor(names: readonly string[], failure: FailureSummary) {
    const at = new Date(failure.retryAtMs).toISOString()
    super(`The last order for ${list(names)} failed (${failure.code}): ${failure.message} Next attempt at ${at}.`, {
      hint: failure.hint ?? 'Wait for the next attempt.',
      details: failure,
    })
    this.fault = failure.fault
  }
}

/** What is remembered of a failed order. Times are Unix milliseconds. */
export interface FailureSummary {
  code: string
  message: string
  hint?: string | undefined
  fault: Fault
  /** Failures in a row. */
  count: number
  atMs: number
  retryAtMs: number
}

/** Our own limit on orders is reached, kept below the CA's so that renewals never starve. `details.retryAtMs` says when there is room. */
export class BudgetUsedUpError extends AppError {
  readonly code = 'ACME_BUDGET_USED_UP'
  readonly fault = 'ours'
  override readonly status = 429
  constructor(budget: string, limit: { count: number; perMs: number }, retryAtMs: number) {
    const hours = Math.round(limit.perMs / 360_000) / 10
    super(
      `The order budget "${budget}" is used up (${limit.count} in ${hours} h); room again at ${new Date(retryAtMs).toISOString()}.`,
      {
        hint: 'Use a wildcard for many names of one domain, or raise the budget if the certificate authority allows more.',
        details: { budget, retryAtMs },
      },
    )
  }
}

/** More orders wait than this instance may queue. Nothing was ordered. */
export class TooManyOrdersError extends AppError {
  readonly code = 'ACME_TOO_MANY_ORDERS'
  readonly fault = 'ours'
  override readonly status = 503
  constructor(queued: number) {
    super(`${queued} certificate orders are waiting already.`, { hint: 'Try again shortly; see ordersQueuedMax.' })
  }
}

/** Another instance orders a certificate for these names now and did not finish in time. */
export class OrderedElsewhereError extends AppError {
  readonly code = 'ACME_ORDERED_ELSEWHERE'
  readonly fault = 'upstream'
  override readonly status = 503
  constructor(names: readonly string[]) {
    super(`Another instance is ordering a certificate for ${list(names)}.`, { hint: 'Try again in some seconds.' })
  }
}

/** The certificate manager is stopping: the order goes on after the next start. */
export class ManagerStoppedError extends AppError {
  readonly code = 'ACME_STOPPED'
  readonly fault = 'ours'
  override readonly status = 503
  constructor() {
    super('The certificate manager has stopped.', { hint: 'Start the service again; unfinished orders are resumed.' })
  }
}

/** The certificate store cannot be read or written. Without it nothing is ordered, else the CA's limits would be used up. */
export class StoreDownError extends AppError {
  readonly code = 'ACME_STORE_DOWN'
  readonly fault = 'ours'
  override readonly status = 503
  constructor(what: string, cause: unknown) {
    super(`The certificate store failed: ${what}: ${reasonOf(cause)}.`, {
      cause,
      hint: 'Check that its disk has space and its folder may be written. Orders resume by themselves.',
    })
  }
}

/** A lock was granted to another holder since: what this one wanted to write is out of date. */
export class StoreFencedError extends AppError {
  readonly code = 'ACME_STORE_FENCED'
  readonly fault = 'ours'
  override readonly status = 503
  constructor(key: string, token: number) {
    super(`The lock "${key}" with token ${token} is no longer held here; the write was refused.`, {
      hint: 'Another instance has taken over; its result will be used.',
    })
  }
}

/** A key of the certificate store has a form that the port does not allow. */
export class StoreKeyError extends AppError {
  readonly code = 'ACME_STORE_KEY_INVALID'
  readonly fault = 'ours'
  constructor(key: string) {
    super(`"${key.slice(0, 80)}" is no key of the certificate store.`, {
      hint: 'See CertificateStore in acme/ports.ts.',
    })
  }
}

/** A record of the certificate store cannot be understood. It is left as it is, and nothing is ordered in its place. */
export class StoreRecordError extends AppError {
  readonly code = 'ACME_STORE_RECORD_INVALID'
  readonly fault = 'ours'
  override readonly status = 503
  constructor(key: string, cause: unknown) {
    super(`The record "${key}" of the certificate store cannot be read: ${reasonOf(cause)}.`, {
      cause,
      hint: 'Restore it from a backup, or remove it to have it made anew.',
    })
  }
}

function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause)
  const code = (cause as NodeJS.ErrnoException).code
  return code && !cause.message.includes(code) ? `${code} ${cause.message}`.trim() : cause.message || code || cause.name
}

function list(words: readonly string[]): string {
  if (words.length === 0) return '(none)'
  return words.length > 5 ? `${words.slice(0, 5).join(', ')} and ${words.length - 5} more` : words.join(', ')
}
