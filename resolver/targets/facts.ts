/** What one lookup brought. */
export type Lookup =
  | { state: 'found'; values: readonly string[]; chain: readonly string[]; ttlSeconds: number }
  | { state: 'none'; chain: readonly string[]; ttlSeconds: number }
  /** `retry` tells whether trying again may help (SERVFAIL, time-out) or the owner must change something (a loop). */
  | { state: 'failed'; reason: string; retry: boolean }

/** A message of the network, as the rules see it. */
export interface KnownMessage {
  owner: string
  sender: string
  type: string
  cid?: string
}

/** Everything that the decision about a custom domain rests on. Plain values: no lookups happen after this. */
export interface DomainFacts {
  host: string
  zones: readonly string[]
  gatewayAddresses: readonly string[]
  /** TXT at `_control.<host>`. */
  control: Lookup
  /** TXT at `_aleph-id.<host>`. */
  alephId: Lookup
  /** TXT at `_dnslink.<host>`. */
  dnslink: Lookup
  /** A at `<host>`; its chain shows where a CNAME leads. */
  address: Lookup
  /** The owner's signed entry for this host; undefined when there is none or the owner is not known. */
  domainEntry: { kind: 'program' | 'instance' | 'ipfs'; itemHash: string } | undefined
  /** Why the network could not be asked, if it could not. */
  networkFailure: string | undefined
  /** Messages of all hashes that occur in the records; undefined value: the network does not know it. */
  messages: ReadonlyMap<string, KnownMessage | undefined>
  /** TXT found at likely misspellings, by full record name. Looked up only when a record is missing. */
  misplaced: ReadonlyMap<string, readonly string[]>
}

export const noAnswer: Lookup = { state: 'none', chain: [], ttlSeconds: 60 }
