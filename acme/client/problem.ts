import { AppError, type Fault } from '../../core/errors.ts'
import { z } from '../../core/schema.ts'

/** A problem document of the CA (RFC 7807, RFC 8555 §6.7), texts cut to `problemTextCharsMax`. */
export interface AcmeProblem {
  /** `urn:ietf:params:acme:error:...` without that prefix when it is one, else the full type. */
  type: string
  /** HTTP status of the reply, or the one inside the document. */
  status: number
  detail: string
  /** One per identifier that the problem is about (RFC 8555 §6.7.1). */
  subproblems: { type: string; detail: string; identifier: string | undefined }[]
}

/** What the CA said, with the milliseconds it asked us to wait (already capped), if any. */
export interface ProblemReply {
  problem: AcmeProblem
  retryAfterMs?: number | undefined
}

// Long enough for every text Let's Encrypt sends; a longer one would flood logs and pages.
const problemTextCharsMax = 1_000
const subproblemsMax = 100
const prefix = 'urn:ietf:params:acme:error:'

/** The CA refused for a reason without a class of its own; `problem.type` says which. */
export class AcmeProblemError extends AppError {
  readonly code: string = 'ACME_CA_REFUSED'
  readonly fault: Fault = 'upstream'
  override readonly status: number = 502
  readonly problem: AcmeProblem
  readonly retryAfterMs: number | undefined
  constructor(reply: ProblemReply, hint = 'The type and the text are those of the certificate authority.') {
    super(messageOf(reply.problem), { hint, details: reply.problem })
    this.problem = reply.problem
    this.retryAfterMs = reply.retryAfterMs
  }
}

/** The CA's rate limit is reached: wait as long as it says. */
export class RateLimitedError extends AcmeProblemError {
  override readonly code = 'ACME_RATE_LIMITED'
  override readonly status = 503
  constructor(reply: ProblemReply) {
    super(reply, 'Wait: the order is tried again after the time the certificate authority asked for.')
  }
}

/** The domain's CAA records forbid this CA. */
export class CaaError extends AcmeProblemError {
  override readonly code = 'ACME_CAA'
  override readonly fault = 'caller'
  override readonly status = 422
  constructor(reply: ProblemReply) {
    super(
      reply,
      'Add a CAA record that allows this certificate authority (0 issue "<its domain>"), or remove the CAA records.',
    )
  }
}

/** The CA could not resolve the domain: no record, a broken delegation, or failing DNSSEC. */
export class CaDnsError extends AcmeProblemError {
  override readonly code = 'ACME_DNS'
  override readonly fault = 'caller'
  override readonly status = 422
  constructor(reply: ProblemReply) {
    super(reply, 'Check the CNAME or address record of the domain, its name servers, and DNSSEC if it is signed.')
  }
}

/** The CA reached something that did not prove control of the domain. */
export class UnauthorizedError extends AcmeProblemError {
  override readonly code = 'ACME_UNAUTHORIZED'
  override readonly fault = 'caller'
  override readonly status = 422
  constructor(reply: ProblemReply) {
    super(
      reply,
      'The domain leads to another server: point it to this gateway only, also its AAAA record, and without a proxy in front.',
    )
  }
}

/** The CA could not connect to the domain to validate it. */
export class CaConnectionError extends AcmeProblemError {
  override readonly code = 'ACME_CONNECTION'
  override readonly fault = 'caller'
  override readonly status = 422
  constructor(reply: ProblemReply) {
    super(
      reply,
      'Ports 80 and 443 of every address of the domain (AAAA too) must reach this gateway from the internet.',
    )
  }
}

/** The CA does not issue for this name by its own policy. */
export class RejectedIdentifierError extends AcmeProblemError {
  override readonly code = 'ACME_REJECTED_IDENTIFIER'
  override readonly fault = 'caller'
  override readonly status = 422
  constructor(reply: ProblemReply) {
    super(reply, 'This certificate authority does not issue for the name. Use another name or another authority.')
  }
}

/** The CA refused our certificate request. */
export class BadCsrError extends AcmeProblemError {
  override readonly code = 'ACME_BAD_CSR'
  override readonly fault = 'ours'
  constructor(reply: ProblemReply) {
    super(reply, 'Report this with the text: the request made here does not suit the certificate authority.')
  }
}

/** The CA does not accept our account: unknown, deactivated, or it needs an external account binding. */
export class AccountRefusedError extends AcmeProblemError {
  override readonly code = 'ACME_ACCOUNT_REFUSED'
  override readonly fault = 'ours'
  constructor(reply: ProblemReply) {
    super(reply, 'Check contactEmails and externalAccount in the configuration, and the account in the store.')
  }
}

type ProblemClass = new (reply: ProblemReply) => AcmeProblemError

const classes: Readonly<Record<string, ProblemClass>> = {
  rateLimited: RateLimitedError,
  caa: CaaError,
  dns: CaDnsError,
  unauthorized: UnauthorizedError,
  incorrectResponse: UnauthorizedError,
  connection: CaConnectionError,
  tls: CaConnectionError,
  rejectedIdentifier: RejectedIdentifierError,
  unsupportedIdentifier: RejectedIdentifierError,
  badCSR: BadCsrError,
  badPublicKey: BadCsrError,
  accountDoesNotExist: AccountRefusedError,
  externalAccountRequired: AccountRefusedError,
  invalidContact: AccountRefusedError,
  unsupportedContact: AccountRefusedError,
  userActionRequired: AccountRefusedError,
}

/** The typed error for a problem. A compound problem takes the class of its subproblems where they agree. */
export function problemError(reply: ProblemReply): AcmeProblemError {
  const { type, subproblems } = reply.problem
  const first = subproblems[0]?.type
  const agreed = first !== undefined && subproblems.every((sub) => sub.type === first) ? first : undefined
  const found = classes[type] ?? (agreed === undefined ? undefined : classes[agreed])
  return found ? new found(reply) : new AcmeProblemError(reply)
}

const text = z.string().catch('')
const identifier = z.object({ value: text }).optional().catch(undefined)
const shape = z.object({
  type: text,
  detail: text,
  status: z.number().optional().catch(undefined),
  subproblems: z.array(z.object({ type: text, detail: text, identifier })).catch([]),
})

/** Reads a problem document. Anything unreadable becomes a problem of type `about:blank`: this never throws. */
export function parseProblem(value: unknown, status: number): AcmeProblem {
  const parsed = shape.safeParse(value)
  if (!parsed.success) return { type: 'about:blank', status, detail: '', subproblems: [] }
  const { type, detail, subproblems } = parsed.data
  return {
    type: shortType(type),
    status: parsed.data.status ?? status,
    detail: cut(detail),
    subproblems: subproblems.slice(0, subproblemsMax).map((sub) => ({
      type: shortType(sub.type),
      detail: cut(sub.detail),
      identifier: sub.identifier === undefined ? undefined : cut(sub.identifier.value),
    })),
  }
}

function shortType(type: string): string {
  return cut(type.startsWith(prefix) ? type.slice(prefix.length) : type) || 'about:blank'
}

function cut(value: string): string {
  return value.slice(0, problemTextCharsMax)
}

function messageOf(problem: AcmeProblem): string {
  const parts = problem.subproblems.map((sub) => `${sub.identifier ?? '(all)'}: ${sub.type}: ${sub.detail}`)
  return `The certificate authority refused (${problem.type}, ${problem.status}): ${[problem.detail, ...parts].join('; ') || 'no text'}.`.replace(
    /\.\.$/,
    '.',
  )
}
