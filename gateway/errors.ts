import { AppError, type AppErrorOptions } from '../core/errors.ts'

/** The request is malformed or ambiguous, so it is refused instead of being guessed at. */
export class BadRequestError extends AppError {
  readonly code = 'GATEWAY_BAD_REQUEST'
  readonly fault = 'caller'
  override readonly status = 400
  constructor(what: string, options: AppErrorOptions = {}) {
    super(what, {
      hint: 'Send one valid HTTP/1.1 request: one Host, one way of framing, no control characters.',
      ...options,
    })
  }
}

/** The request line is longer than allowed. */
export class UriTooLongError extends AppError {
  readonly code = 'GATEWAY_URI_TOO_LONG'
  readonly fault = 'caller'
  override readonly status = 414
  constructor(bytesMax: number) {
    super(`The request target is longer than ${bytesMax} bytes.`, {
      hint: 'Put long values in the request body.',
    })
  }
}

/** The request has too many header fields, or too many bytes of them. */
export class HeadersTooLargeError extends AppError {
  readonly code = 'GATEWAY_HEADERS_TOO_LARGE'
  readonly fault = 'caller'
  override readonly status = 431
  constructor(what: string) {
    super(what, { hint: 'Send fewer or smaller header fields; large cookies are the usual cause.' })
  }
}

/** Methods that sites may answer here, for Allow. */
export const siteMethods = 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS'

/** The method is one that no site answers here: TRACE, TRACK or CONNECT. */
export class MethodNotAllowedError extends AppError {
  readonly code = 'GATEWAY_METHOD_NOT_ALLOWED'
  readonly fault = 'caller'
  override readonly status = 405
  /** What is allowed, for the Allow field (RFC 9110 §15.5.6). */
  readonly allow: string
  constructor(method: string, allow: string = siteMethods) {
    super(`The method ${method} is not allowed.`, { hint: `Use one of: ${allow}.` })
    this.allow = allow
  }
}

/** The TLS connection was made for another site than the Host field names, or no site can have this name. */
export class MisdirectedError extends AppError {
  readonly code = 'GATEWAY_MISDIRECTED'
  readonly fault = 'caller'
  override readonly status = 421
  constructor(what: string) {
    super(what, { hint: 'Open a new connection for this name, by its host name.' })
  }
}

/** The request has been through this gateway before (RFC 8586). */
export class LoopError extends AppError {
  readonly code = 'GATEWAY_LOOP'
  readonly fault = 'caller'
  override readonly status = 508
  constructor(loopId: string) {
    super(`The request came back to "${loopId}", which it has passed already.`, {
      hint: 'The program behind this name forwards requests to a name that this gateway serves. Let it call the program directly.',
    })
  }
}

/** The request head or body did not arrive in time. */
export class RequestTimeoutError extends AppError {
  readonly code = 'GATEWAY_REQUEST_TIMEOUT'
  readonly fault = 'caller'
  override readonly status = 408
  constructor() {
    super('The request did not arrive in time.', { hint: 'Send the whole request head at once.' })
  }
}

/** The name could not be looked up in time; safe to try again. */
export class LookupTimeoutError extends AppError {
  readonly code = 'GATEWAY_LOOKUP_TIMEOUT'
  readonly fault = 'upstream'
  override readonly status = 503
  constructor(host: string, timeoutMs: number) {
    super(`The name "${host}" could not be looked up within ${timeoutMs} ms.`, { hint: 'Try again in a few seconds.' })
  }
}

/** The hosts of a program could not be found out in time; safe to try again. */
export class HostListTimeoutError extends AppError {
  readonly code = 'GATEWAY_HOST_LIST_TIMEOUT'
  readonly fault = 'upstream'
  override readonly status = 503
  constructor(itemHash: string, timeoutMs: number) {
    super(`The hosts of ${itemHash} were not found out within ${timeoutMs} ms.`, {
      hint: 'Try again in a few seconds.',
    })
  }
}

/** A block of a static site did not come in time; safe to try again. */
export class BlockTimeoutError extends AppError {
  readonly code = 'GATEWAY_BLOCK_TIMEOUT'
  readonly fault = 'upstream'
  override readonly status = 504
  constructor(cid: string, timeoutMs: number) {
    const hint = 'Try again in a few seconds; if it stays so, no storage node has this block.'
    super(`The block ${cid} did not come within ${timeoutMs} ms.`, { hint })
  }
}

/** The client, or everybody together at one site, sends more requests than the limit. */
export class TooManyRequestsError extends AppError {
  readonly code = 'GATEWAY_TOO_MANY_REQUESTS'
  readonly fault = 'caller'
  override readonly status = 429
  /** After how long the next one passes, milliseconds. */
  readonly retryAfterMs: number
  constructor(who: 'client' | 'site', retryAfterMs: number) {
    const whose = who === 'client' ? 'This client sends' : 'This site gets'
    super(`${whose} more requests per second than it may.`, { hint: 'Try again after the time in Retry-After.' })
    this.retryAfterMs = retryAfterMs
  }
}

/** The gateway is short of memory: what is under way goes on, new requests have to wait. */
export class MemoryShortError extends AppError {
  readonly code = 'GATEWAY_MEMORY_SHORT'
  readonly fault = 'ours'
  override readonly status = 503
  constructor() {
    super('This gateway is short of memory and takes no new requests for the moment.', {
      hint: 'Try again in a few seconds. For the operator: see memory.softBytes, and what holds the memory.',
    })
  }
}

/** More name lookups or handshakes are waiting than this gateway allows. */
export class OverloadedError extends AppError {
  readonly code = 'GATEWAY_OVERLOADED'
  readonly fault = 'ours'
  override readonly status = 503
  constructor(what: string, max: number) {
    super(`Too many ${what} are waiting (${max}).`, { hint: 'Try again in a few seconds.' })
  }
}

/** No compute host offers to run the program now. */
export class NoHostError extends AppError {
  readonly code = 'GATEWAY_NO_HOST'
  readonly fault = 'upstream'
  override readonly status = 503
  constructor(itemHash: string, known: number) {
    super(`No compute host can run ${itemHash} now (${known} known).`, {
      hint: 'Try again in a few seconds; /api/v0/status of the admin server lists the hosts.',
    })
  }
}

/** Every compute host that may run the program said that it is full. */
export class HostsFullError extends AppError {
  readonly code = 'GATEWAY_HOSTS_FULL'
  readonly fault = 'upstream'
  override readonly status = 503
  /** How long the hosts asked to be left alone, milliseconds. */
  readonly retryAfterMs: number
  constructor(itemHash: string, tried: number, retryAfterMs: number) {
    super(`All hosts that may run ${itemHash} are full (${tried} tried).`, {
      hint: 'Try again after the time in Retry-After.',
    })
    this.retryAfterMs = retryAfterMs
  }
}

/** The compute host refused the connection, or closed it before an answer. */
export class HostUnreachableError extends AppError {
  readonly code = 'GATEWAY_HOST_UNREACHABLE'
  readonly fault = 'upstream'
  override readonly status = 502
  constructor(origin: string, what: string, options: AppErrorOptions = {}) {
    super(`The compute host ${origin} ${what}.`, {
      hint: 'Try again; requests that may be repeated go to another host by themselves.',
      ...options,
    })
  }
}

/** The compute host did not accept the connection, or did not begin its answer, in time. */
export class HostTimeoutError extends AppError {
  readonly code = 'GATEWAY_HOST_TIMEOUT'
  readonly fault = 'upstream'
  override readonly status = 504
  constructor(origin: string, what: string, timeoutMs: number) {
    super(`The compute host ${origin} did not ${what} within ${timeoutMs} ms.`, {
      hint: 'If the program needs longer for its first byte, let it answer early and stream.',
    })
  }
}

/** What the compute host sent is not a valid HTTP answer; none of it reached the client. */
export class BadUpstreamAnswerError extends AppError {
  readonly code = 'GATEWAY_BAD_UPSTREAM_ANSWER'
  readonly fault = 'upstream'
  override readonly status = 502
  constructor(origin: string, what: string, options: AppErrorOptions = {}) {
    super(`The compute host ${origin} answered with something that is not valid HTTP: ${what}.`, {
      hint: 'The operator of that host should look at its log; another host may answer meanwhile.',
      ...options,
    })
  }
}

/** A block does not have the content its identifier promises; it was thrown away before anybody saw it. */
export class TamperedBlockError extends AppError {
  readonly code = 'GATEWAY_TAMPERED_BLOCK'
  readonly fault = 'upstream'
  override readonly status = 502
  constructor(cid: string) {
    super(`The block ${cid} came with other content than its identifier says.`, {
      hint: 'A storage node is broken or lies. Pin the content on another node and try again.',
    })
  }
}

/** A static site uses blocks that this gateway does not read: another hash, another codec, too large or too deep. */
export class UnsupportedBlockError extends AppError {
  readonly code = 'GATEWAY_UNSUPPORTED_BLOCK'
  readonly fault = 'upstream'
  override readonly status = 502
  constructor(cid: string, what: string, options: AppErrorOptions = {}) {
    super(`The block ${cid} cannot be served: ${what}.`, {
      hint: 'Add the site again with sha2-256 and UnixFS (the defaults of "ipfs add").',
      ...options,
    })
  }
}

/** The static site has no such file. */
export class StaticNotFoundError extends AppError {
  readonly code = 'GATEWAY_STATIC_NOT_FOUND'
  readonly fault = 'caller'
  override readonly status = 404
  constructor(cid: string) {
    super(`The site ${cid} has no file at this path.`, {
      hint: 'Look at the address, or add the file (or a 404.html) to the site.',
    })
  }
}

/** A page of the gateway itself that does not exist. */
export class PageNotFoundError extends AppError {
  readonly code = 'GATEWAY_PAGE_NOT_FOUND'
  readonly fault = 'caller'
  override readonly status = 404
  constructor(what: string, hint = 'Sites live under their own names, not here.') {
    super(what, { hint })
  }
}

/** There is no certificate for the name, and none was obtained in the time a handshake may wait. */
export class CertificateWaitError extends AppError {
  readonly code = 'GATEWAY_CERTIFICATE_WAIT'
  readonly fault = 'upstream'
  override readonly status = 503
  constructor(name: string, waitMs: number) {
    super(`No certificate for "${name}" within ${waitMs} ms.`, {
      hint: 'The order goes on behind; connect again in a few seconds.',
    })
  }
}

/** The file of authorities for client certificates of a site cannot be used; the site refuses everybody until it can. */
export class UnusableClientCaError extends AppError {
  readonly code = 'GATEWAY_UNUSABLE_CLIENT_CA'
  readonly fault = 'ours'
  override readonly status = 500
  constructor(name: string, options: AppErrorOptions = {}) {
    super(`The authorities for client certificates of "${name}" cannot be loaded.`, {
      hint: 'The file of the option clientCertificates must hold one or more certificates in PEM.',
      ...options,
    })
  }
}

/** A TLS certificate or key from the certificate source cannot be used. */
export class UnusableCertificateError extends AppError {
  readonly code = 'GATEWAY_UNUSABLE_CERTIFICATE'
  readonly fault = 'ours'
  override readonly status = 500
  constructor(name: string, options: AppErrorOptions = {}) {
    super(`The certificate for "${name}" cannot be loaded.`, {
      hint: 'Look at the certificate store: chain and key must be PEM and belong together.',
      ...options,
    })
  }
}
