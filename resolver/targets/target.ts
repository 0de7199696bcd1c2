/** Where a name leads; structurally the gateway's `Target`. */
export type Target =
  | { kind: 'program'; itemHash: string }
  | { kind: 'static'; cid: string; catchAllPath?: string }
  | { kind: 'redirect'; location: string; status: 301 | 302 | 307 | 308 }

/** An answer for a host name; structurally the gateway's `Resolution`. */
export interface Resolution {
  target: Target
  via: 'label' | 'dns' | 'ens'
  /** Milliseconds for which the answer may be cached, clamped. */
  ttlMs: number
}
