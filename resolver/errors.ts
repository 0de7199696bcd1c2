import { AppError } from '../core/errors.ts'

/** One line of advice about one DNS (or ENS) record: exactly where it stands, what is there, and what must be there. */
export interface RecordAdvice {
  /** The full record name, for example `_control.app.example.com`. */
  record: string
  /** `TXT`, `CNAME`, or `ENS text`. */
  type: string
  /** What was found, as text; `(none)` when there is nothing. */
  found: string
  /** Exactly what to write. */
  expected: string
}

/** No upstream DNS server answered in time. */
export class DnsTimeoutError extends AppError {
  readonly code = 'RESOLVER_DNS_TIMEOUT'
  readonly fault = 'upstream'
  override readonly status = 503
}

/** An upstream DNS server sent something that is no answer to the question. */
export class DnsMalformedError extends AppError {
  readonly code = 'RESOLVER_DNS_MALFORMED'
  readonly fault = 'upstream'
  override readonly status = 503
}

/** CNAME records lead in a circle, or through more than eight names. */
export class DnsLoopError extends AppError {
  readonly code = 'RESOLVER_DNS_LOOP'
  readonly fault = 'upstream'
  override readonly status = 421
}

/** A name cannot be asked in DNS: an empty or over-long label, or more than 255 bytes. */
export class DnsNameInvalidError extends AppError {
  readonly code = 'RESOLVER_DNS_NAME_INVALID'
  readonly fault = 'caller'
  override readonly status = 404
}

/** The Ethereum node does not answer, answers garbage, or answers for another chain. */
export class EnsRpcError extends AppError {
  readonly code = 'RESOLVER_ENS_RPC'
  readonly fault = 'upstream'
  override readonly status = 503
}

/** A name is not in the one form that ENSIP-15 allows, so it cannot stand in ENS. */
export class EnsNameInvalidError extends AppError {
  readonly code = 'RESOLVER_ENS_NAME_INVALID'
  readonly fault = 'caller'
  override readonly status = 404
}

/** The resolver contract of an ENS name failed while it was asked. */
export class EnsContractError extends AppError {
  readonly code = 'RESOLVER_ENS_CONTRACT'
  readonly fault = 'upstream'
  override readonly status = 503
}

/** An off-chain ENS gateway (CCIP-Read) broke a limit or gave no answer. */
export class CcipReadError extends AppError {
  readonly code = 'RESOLVER_CCIP_READ'
  readonly fault = 'upstream'
  override readonly status = 503
}

/** A host name leads nowhere: no such label, ENS name or domain. */
export class NameNotFoundError extends AppError {
  readonly code = 'RESOLVER_NAME_NOT_FOUND'
  readonly fault = 'caller'
  override readonly status = 404
}

/** The first label of a name under the gateway's own zone is neither a program's label nor a CID. */
export class HostLabelInvalidError extends AppError {
  readonly code = 'RESOLVER_LABEL_INVALID'
  readonly fault = 'caller'
  override readonly status = 404
}

/** A domain points to us but does not prove its owner, or names no target; `details` lists the records to write. */
export class DomainNotProvenError extends AppError {
  readonly code = 'RESOLVER_DOMAIN_NOT_PROVEN'
  readonly fault = 'caller'
  override readonly status = 421
}

/** Two records of a domain contradict each other, so neither is believed; `details` lists both. */
export class DomainConflictError extends AppError {
  readonly code = 'RESOLVER_DOMAIN_CONFLICT'
  readonly fault = 'caller'
  override readonly status = 421
}

/** The owner named by a domain is not the one who published the program it points to. */
export class DomainOwnerDiffersError extends AppError {
  readonly code = 'RESOLVER_DOMAIN_OWNER_DIFFERS'
  readonly fault = 'caller'
  override readonly status = 421
}

/** A name leads to a hash that the network does not know. */
export class TargetUnknownError extends AppError {
  readonly code = 'RESOLVER_TARGET_UNKNOWN'
  readonly fault = 'caller'
  override readonly status = 404
}

/** A name leads to something that this gateway cannot serve, for example an instance or a Swarm hash. */
export class TargetUnsupportedError extends AppError {
  readonly code = 'RESOLVER_TARGET_UNSUPPORTED'
  readonly fault = 'caller'
  override readonly status = 501
}

/** The records of a name could not be read now, so nothing is decided; try again later. */
export class LookupFailedError extends AppError {
  readonly code = 'RESOLVER_LOOKUP_FAILED'
  readonly fault = 'upstream'
  override readonly status = 503
}

/** A certificate cannot be ordered for this name, although it may be served. */
export class IssuanceRefusedError extends AppError {
  readonly code = 'RESOLVER_ISSUANCE_REFUSED'
  readonly fault = 'caller'
  override readonly status = 421
}

/** A record given to a zone is not valid: unknown type, bad value, or a name outside the zone. */
export class ZoneRecordInvalidError extends AppError {
  readonly code = 'RESOLVER_ZONE_RECORD_INVALID'
  readonly fault = 'caller'
  override readonly status = 422
}

/** The DNS server cannot listen on the configured address. */
export class DnsListenError extends AppError {
  readonly code = 'RESOLVER_DNS_LISTEN'
  readonly fault = 'ours'
}
