/** A value kept with a revision that grows at each write. */
export interface StoredRecord {
  value: Uint8Array
  revision: number
}

/** Right to change what `key` stands for, until `expiresAtMs`. `token` grows with every grant: a late holder is refused by it. */
export interface Lock {
  key: string
  token: number
  expiresAtMs: number
}

/**
 * Durable store of accounts, orders, certificates and failures, shared by all instances that issue.
 * Implementations: a directory, memory. A write that has resolved survives a crash (file and folder synced).
 * Keys are `a-z0-9*._-` segments of at most 200 bytes joined by `/`, at most 255 bytes in all; `.` and `..` are no segments.
 * @throws StoreKeyError for any other key, StoreDownError when the medium fails
 */
export interface CertificateStore {
  read(key: string): Promise<StoredRecord | undefined>
  /** Writes unless the lock has been granted anew since (fencing). @throws StoreFencedError */
  write(key: string, value: Uint8Array, lock: Lock): Promise<void>
  remove(key: string, lock: Lock): Promise<void>
  /** Keys that start with `prefix`, sorted. */
  list(prefix: string): Promise<string[]>
  /** Takes the lock, or returns undefined while another holder's has not expired. */
  lock(key: string, holdMs: number): Promise<Lock | undefined>
  /** Keeps a lock for `holdMs` from now under the same token, or returns undefined when it has been granted anew: stop work then. */
  extend(lock: Lock, holdMs: number): Promise<Lock | undefined>
  unlock(lock: Lock): Promise<void>
}

/** The certificate that answers a TLS-ALPN-01 validation; the shape the gateway serves. PEM; `id` changes with the content. */
export interface ServedCertificate {
  id: string
  certificatePem: string
  keyPem: string
  notAfterMs: number
}

/** Puts the answer to an ACME challenge where the CA looks for it, and takes it away again. */
export interface ChallengeResponder {
  readonly type: 'http-01' | 'tls-alpn-01' | 'dns-01'
  /** Whether it can answer for `name` (without `*.`). Absent: for every name. */
  covers?(name: string): boolean
  /**
   * Resolves when the answer is visible. `name` is the identifier without `*.`; `keyAuthorization` as in RFC 8555 §8.1.
   */
  present(name: string, token: string, keyAuthorization: string): Promise<void>
  /** Never throws for an answer that is already gone. */
  clean(name: string, token: string, keyAuthorization: string): Promise<void>
  /** Answers that our own HTTP listener shows (HTTP-01 only). */
  httpChallenge?(host: string, token: string): string | undefined
  /** Answers that our own TLS listener shows (TLS-ALPN-01 only). */
  alpnChallenge?(serverName: string): ServedCertificate | undefined
}

/** Sets TXT records in a zone that we serve (DNS-01). Several values may stand at one name (base and wildcard). */
export interface TxtZone {
  addTxt(name: string, value: string): Promise<void>
  removeTxt(name: string, value: string): Promise<void>
}

/** Says whether a certificate for a name may be ordered on demand. Asked before every order, also at renewal. */
export interface IssuancePolicy {
  /** @throws AppError that tells the owner what is missing */
  check(name: string, signal: AbortSignal): Promise<void>
}
