import type { FieldBlock } from '../http1/field-block.ts'
import type { Site } from '../route/routes.ts'

/** The head of a request, the same for HTTP/1 and HTTP/2. */
export interface RequestHead {
  /** Upper case as sent; a token. For extended CONNECT (RFC 8441) this is `GET`, and `upgrade` says what it is. */
  method: string
  /** Where path and query stand in `fields.bytes`: begins with `/`, visible ASCII only, no fragment; or is `*`. */
  pathStart: number
  pathEnd: number
  /** Host name: lower case, no port, no final dot, valid (`parseHost`). */
  host: string
  /** All fields, pseudo-fields left out. A `Host` field may be among them; HTTP/2 adds none. Cookie crumbs of HTTP/2 are joined already. */
  fields: FieldBlock
  /** Bytes of body that follow: 0 for none, -1 when only its end will tell. */
  bodyBytes: number
  /** Set when the client asks to turn the exchange into a WebSocket: by `Upgrade` on HTTP/1.1, by extended CONNECT on HTTP/2. */
  upgrade: 'websocket' | undefined
  /** Connection names fields of its own, which must not pass (`dropNominated`). Never so on HTTP/2. */
  nominates?: boolean
  /** As on the wire: 1.0 knows neither chunks nor 1xx answers. */
  version: '1.0' | '1.1' | '2'
}

/** What is known of the client's connection. Lives as long as the connection; no exchange may change it. */
export interface ClientConnection {
  readonly secure: boolean
  /** Server name of the TLS handshake, lower case without final dot; undefined without SNI, on plain TCP, or where Node cannot tell. */
  readonly serverName: string | undefined
  /** Address of the client as text: of the socket, or as a trusted PROXY header told. Read lazily: asking the kernel costs a call. */
  readonly remoteAddress: string
  readonly remotePort: number
  readonly localAddress: string
  readonly localPort: number
  /** Under which the client is counted (`ClientLimits`); -1 for one that is not. */
  readonly limitSlot: number
  /** The last hop is one of `trust.addresses`, and speaks HTTP itself: what it says of the client in fields is believed. */
  readonly trusted: boolean
  /** The client showed a certificate that the site's `clientCertificates` authority has signed (mTLS). */
  readonly clientVerified: boolean
}

/** The head of an answer as it goes to the client. Policy has been applied: dropped fields are marked. */
export interface AnswerHead {
  /** 200-599. */
  status: number
  /**
   * Consumed during the call. A `Content-Length` among them is right, and stays; where `bodyBytes` is known and none is there, the exchange
   * adds it. Nothing else in them frames.
   */
  fields: FieldBlock
  /** More fields, each a block of its own that lives on (a date, a request id). */
  extra: readonly FieldBlock[]
  /** Bytes of body that follow; -1 when only its end will tell (chunked, or until the connection closes for HTTP/1.0). */
  bodyBytes: number
}

/** Whoever answers an exchange: gets the request's body and hears of the client. Never called after the exchange is over. */
export interface RequestSink {
  /**
   * A part of the body, or of a WebSocket's bytes. Valid during the call only: whoever keeps it copies it.
   * @returns false to get no more until `resumeBody` is called
   */
  onBody(part: Buffer): boolean
  /** The body is complete. `trailers` is valid during the call only; forbidden ones are dropped. */
  onBodyEnd(trailers: FieldBlock | undefined): void
  /** After `answer` or `write` returned false: the memory given is free again, and more may be written. */
  onClientDrain(): void
  /** The client went away, or broke the protocol, before the exchange was over. */
  onClientGone(): void
}

/** Hears of the end of every exchange, once. */
export interface ExchangeOwner {
  ended(exchange: Exchange): void
}

/** How an exchange ended: with a whole answer, with one that visibly broke off, or with a client that left before an answer. */
export type Ending = 'whole' | 'cut' | 'gone'

/**
 * One request and its answer, as seen by whoever answers it. The listeners implement it, one class for each protocol. All calls are
 * synchronous; calls after the end are ignored, so that late news from a host does no harm.
 *
 * The order: `readBody` at any time (or never: what is left of the body is then discarded); any number of `inform`; one `answer`;
 * any number of `write`; one `end`. Or one `upgrade` in place of `answer`, after which `write` and the sink carry bytes both ways until
 * either side ends. `cut` may come at any time.
 */
export abstract class Exchange {
  readonly head: RequestHead
  readonly client: ClientConnection
  readonly owner: ExchangeOwner
  /** Monotonic milliseconds, of the coarse clock. */
  readonly startedMs: number
  /** Set by the router; error pages and metrics look at it. */
  site: Site | undefined = undefined
  /** Status that was sent; 0 before. */
  status = 0
  /** Whose fault a failure was, for the metric. */
  fault: 'none' | 'caller' | 'upstream' | 'ours' = 'none'
  ending: Ending | undefined = undefined
  /** How long a WebSocket may be silent, milliseconds; set before `upgrade`. Undefined: `timeouts.answerIdleMs`. */
  idleMs: number | undefined = undefined

  constructor(head: RequestHead, client: ClientConnection, owner: ExchangeOwner, startedMs: number) {
    this.head = head
    this.client = client
    this.owner = owner
    this.startedMs = startedMs
  }

  get answered(): boolean {
    return this.status !== 0
  }

  get over(): boolean {
    return this.ending !== undefined
  }

  /** Path and query as text. */
  get path(): string {
    const { fields, pathStart, pathEnd } = this.head
    return fields.bytes.toString('latin1', pathStart, pathEnd)
  }

  /** Whether the whole body of the request has arrived and been handed to the sink (or there is none). */
  abstract readonly bodyEnded: boolean

  /**
   * The whole body, when it lies in memory already and nobody has read of it: then the request can be sent in one write.
   * It counts as read afterwards; `onBodyEnd` is not called. Valid during the call that handed the exchange out, like any part.
   * Undefined when the body is not (wholly) there.
   */
  abstract takeWholeBody(): Buffer | undefined

  /** Begins to hand the body to the sink, at once where bytes are there. Answers `Expect: 100-continue` with 100 when nothing has been answered. */
  abstract readBody(sink: RequestSink): void
  abstract resumeBody(): void
  /** Sets who hears of the client while the body is not read yet. `readBody` does the same and more. */
  abstract listen(sink: RequestSink): void

  /** Sends an informational answer (103, and any other but 100 and 101). Does nothing for HTTP/1.0 clients or after `answer`. */
  abstract inform(status: number, fields: FieldBlock): void

  /**
   * Sends the final head, with the first part of the body in the same write.
   * @param last - true when `body` is all there is. Also for HEAD, 204 and 304, which have none
   * @returns true when the memory of `body` may be reused at once and more may be written; false: wait for `onClientDrain`. With `last`, a
   *   body of at most `joinedBytesMax` may be reused at once in any case
   */
  abstract answer(head: AnswerHead, body: Buffer | undefined, last: boolean): boolean

  /** Sends a part of the body (or of a WebSocket). Returns as `answer` does. */
  abstract write(part: Buffer): boolean

  /** The body is complete. Trailers are sent where the client's protocol can carry them; dropped ones are left out. */
  abstract end(trailers?: FieldBlock): void

  /** Agrees to a WebSocket: 101 on HTTP/1.1, 200 on HTTP/2. The exchange is a tunnel from now on. */
  abstract upgrade(fields: FieldBlock, extra: readonly FieldBlock[]): void

  /** Ends the exchange so that the client sees that something is missing: the connection is closed (HTTP/1), the stream reset (HTTP/2). */
  abstract cut(): void
}
