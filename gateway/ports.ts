import type { AppError } from '../core/errors.ts'

/** What a site's name leads to. */
export type Target =
  /** A program that compute hosts run on request: `itemHash` is the 64-hex hash of its PROGRAM message. */
  | { kind: 'program'; itemHash: string }
  /** A directory or file by content identifier (CIDv0 or v1, text form). */
  | { kind: 'static'; cid: string; catchAllPath?: string }
  /** `location` is an absolute URL. */
  | { kind: 'redirect'; location: string; status: 301 | 302 | 307 | 308 }

/** The answer for a host name: where it leads, and how long that may be believed. */
export interface Resolution {
  target: Target
  /** Which rule decided: a hash label under our own zone, DNS records of a custom domain, or an ENS name. */
  via: 'label' | 'dns' | 'ens'
  /** Milliseconds for which this answer may be cached; already clamped by the resolver. */
  ttlMs: number
}

/**
 * Turns host names into targets. Implementations: the resolver in process; a fixed table for tests.
 * `host` is lower case, without port or final dot, A-label form, already syntactically valid.
 */
export interface NameSource {
  /**
   * @throws AppError when the name leads nowhere. `status` is what the client is told (404 unknown name, 421 not ours or not proven,
   * 503 could not be looked up now); `details` is a list of `{ record, found, expected }` naming what the owner must write.
   */
  resolve(host: string, signal: AbortSignal): Promise<Resolution>
}

/** A certificate chain with its key, PEM, leaf first. `id` changes whenever the content does. */
export interface SiteCertificate {
  id: string
  certificatePem: string
  keyPem: string
  notAfterMs: number
}

/** Where the gateway gets certificates. Implementations: the ACME manager, PEM files, self-signed. */
export interface CertificateSource {
  /** A valid certificate that is ready at once, or undefined. Called on every full handshake: must not block. */
  find(serverName: string): SiteCertificate | undefined
  /**
   * Obtains one on demand; single flight per name. The caller bounds the wait with `signal`; work already ordered goes on behind.
   * @throws AppError when the name may not have one (not proven), when a budget is used up or the CA refuses
   */
  obtain(serverName: string, signal: AbortSignal): Promise<SiteCertificate>
  /**
   * Like `find`, for a source whose certificates live in another process: fetches one that is ready there, and `find` has it from then on.
   * Never orders. Absent: `find` knows all that there is. To be asked before `obtain`, and before the name is looked up.
   */
  load?(serverName: string, signal: AbortSignal): Promise<SiteCertificate | undefined>
  /**
   * Why the last attempt to get a certificate for the name failed, for as long as it is not tried again. Plain HTTP shows it to the owner,
   * since without a certificate there is no other way to tell.
   */
  refusal?(serverName: string): AppError | undefined | Promise<AppError | undefined>
  /** The body for `GET /.well-known/acme-challenge/<token>` (RFC 8555 §8.3), or undefined. */
  httpChallenge(host: string, token: string): string | undefined | Promise<string | undefined>
  /** The certificate to show to a client that offers only ALPN `acme-tls/1` (RFC 8737), or undefined. */
  alpnChallenge(serverName: string): SiteCertificate | undefined | Promise<SiteCertificate | undefined>
  /**
   * Calls `listener` when a name has got another certificate, or none any more; a wildcard is told as `*.example.com`. Disposing ends it.
   * Absent: what `find` once returned stays as it is.
   */
  onChange?(listener: (serverName: string) => void): Disposable
}

/**
 * Secrets under which TLS session tickets are sealed, 48 bytes each. Tickets of the previous one still resume, new ones get the current.
 * Plain data: it goes to other processes.
 */
export interface TicketKeys {
  readonly current: Uint8Array
  readonly previous: Uint8Array | undefined
}

/** Where a listener takes its ticket keys from, so that a session resumes in whichever process the next connection comes to. */
export interface TicketKeySource {
  current(): TicketKeys
  /** Calls `listener` with each new value. */
  onChange(listener: (keys: TicketKeys) => void): void
}

/** A compute host that may run a program. */
export interface HostCandidate {
  /** Stable id (the node hash on the network). */
  id: string
  /** Origin only: `http://127.0.0.1:4020` or `https://crn.example`. Already vetted: the gateway connects to it as it is. */
  origin: string
  /** 0 (never up) to 1 (always up), over the recent past. */
  uptime: number
  /** Whether it runs the program now, so that no start is needed. */
  running: boolean
  /** Where it stands, in the words of whoever made the list; compared with `balance.locality` of the gateway. */
  zone?: string | undefined
  /** It is about to go, and wants no new requests. */
  draining?: boolean | undefined
}

/** Tells who can run a program. Implementations: the network client, a static list. */
export interface HostSource {
  /**
   * Answers from memory where it can: called on every request that has no fresh answer.
   * @throws AppError when the hash is unknown (404) or is no program (422)
   */
  hosts(itemHash: string, signal: AbortSignal): Promise<readonly HostCandidate[]>
}

/** Content-addressed blocks for static sites. Implementations: the network client over HTTP, a map for tests. */
export interface BlockSource {
  /**
   * One block by CID. What comes back is NOT trusted: the gateway hashes it before use.
   * @throws AppError when no node has it (404) or none answers (502)
   */
  block(cid: string, signal: AbortSignal): Promise<Uint8Array>
}

/** One DNS record (or record of another system) that a name needs: what is there, and what to write. */
export interface RecordFinding {
  /** Full name of the record, for example `_control.app.example.com`. */
  record: string
  /** `TXT`, `CNAME`, ... */
  type: string
  /** What was found, in words or as the values themselves; absent or empty when nothing was. */
  found?: string | readonly string[]
  /** What to write. Absent when the record is right as it is. */
  expected?: string | readonly string[]
}

/** The state of a domain, told to its owner. */
export interface DomainReport {
  host: string
  /** True when the gateway serves the name. */
  ok: boolean
  /** One sentence that sums up the state. */
  summary: string
  records: readonly RecordFinding[]
  /** What to do next, if anything. */
  advice?: string
}

/** Says how the records of a domain stand. Looks them up afresh. @throws AppError */
export type DomainReporter = (host: string, signal: AbortSignal) => Promise<DomainReport>
