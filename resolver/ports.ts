/** A TXT, CNAME, A or other record set as a stub resolver sees it. */
export interface DnsAnswer {
  rcode: 'NOERROR' | 'NXDOMAIN' | 'SERVFAIL' | 'REFUSED' | 'OTHER'
  /** Records of the asked type after following CNAMEs. TXT: the strings of one record joined. Names: lower case, no final dot. */
  values: readonly string[]
  /** The CNAME chain that was followed, in order, without the asked name; empty when there was none. */
  chain: readonly string[]
  /** Smallest TTL met (or the negative TTL of RFC 2308), seconds, not clamped. */
  ttlSeconds: number
  /** The upstream says it validated the answer (AD bit). */
  authenticated: boolean
}

/** Asks DNS. Implementations: the stub client (own wire codec, UDP then TCP), a zone in memory for tests. */
export interface DnsSource {
  /** @throws AppError (fault upstream) on time-out, malformed answers, a loop, or a chain of more than 8 */
  query(
    name: string,
    type: 'A' | 'AAAA' | 'TXT' | 'CNAME' | 'CAA' | 'NS' | 'SOA',
    signal: AbortSignal,
  ): Promise<DnsAnswer>
}

/** What an ENS name says. Absent records are undefined. */
export interface EnsRecords {
  /** Manager of the name in the registry, checksummed. */
  owner: string
  /** Text record `aleph.vm`. */
  vm: string | undefined
  /** Contenthash decoded to a CID (ipfs or ipns namespace); other codecs are named in `unsupported`. */
  contentCid: string | undefined
  unsupported: string | undefined
  blockNumber: bigint
}

/** Reads ENS. Implementations: a chain over JSON-RPC, a table for tests. */
export interface EnsSource {
  /** @returns undefined when the name has no resolver. @throws AppError on RPC trouble or a name that is not normalised (ENSIP-15) */
  records(name: string, signal: AbortSignal): Promise<EnsRecords | undefined>
}

/** What the naming rules must know of the network. Implementations: the network client, a table for tests. */
export interface MessageSource {
  /** Owner (content.address) and kind of a processed message, or undefined when unknown. `cid` is set for a STORE of an IPFS file. */
  message(
    itemHash: string,
    signal: AbortSignal,
  ): Promise<{ owner: string; sender: string; type: string; cid?: string } | undefined>
  /** The entry for `host` in the owner's signed `domains` aggregate, or undefined. */
  domainEntry(
    owner: string,
    host: string,
    signal: AbortSignal,
  ): Promise<{ kind: 'program' | 'instance' | 'ipfs'; itemHash: string } | undefined>
}
