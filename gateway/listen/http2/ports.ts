import type { Clock } from '../../../core/clock.ts'
import type { AppError } from '../../../core/errors.ts'
import type { TimingWheel } from '../../../core/timing-wheel.ts'
import type { Exchange, ExchangeOwner } from '../../forward/exchange.ts'
import type { Http2Config } from '../../http2/config.ts'
import { floodLimits } from '../../http2/flood-guard.ts'
import type { SessionContext } from '../../http2/http2-session.ts'
import { ReceivedHead } from '../../http2/received-head.ts'
import type { OpenConnection } from '../connections.ts'
import { RequestParser } from './request-parser.ts'

/** Milliseconds, as in the gateway's configuration under `timeouts`. */
export interface Http2Timeouts {
  /** The preface and every header block are complete within this. */
  headMs: number
  /** A connection without requests is closed after this. */
  keepAliveMs: number
  /** A request body that is being read may pause this long. */
  bodyIdleMs: number
  /** What we have to send may wait this long for the client's window; a WebSocket may be silent this long. */
  answerIdleMs: number
}

/** Limits of request heads, as in the gateway's configuration under `limits`. */
export interface RequestLimits {
  headBytesMax: number
  headFieldsMax: number
  uriBytesMax: number
}

/** What HTTP/2 connections need of the gateway. No call may throw; should one, its connection ends. */
export interface Http2Ports {
  readonly wheel: TimingWheel
  readonly clock: Clock
  /** Every connection joins while it is open, and every exchange. */
  readonly connections: OpenCounts
  /** Hears the end of every exchange that `handle` or `refuse` was called with. */
  readonly owner: ExchangeOwner
  /** A request to answer. Those that the client took back in the same chunk are not shown at all. */
  handle(exchange: Exchange): void
  /** A request that may not pass. To be answered with a page: `exchange.answer` during the call. Its head may be incomplete, `host` is ''. */
  refuse(exchange: Exchange, error: AppError): void
  /** Something threw that should not have. The connection ends. */
  failed(error: unknown): void
}

/** Where connections and exchanges are counted while they are open (`Connections`). */
export interface OpenCounts {
  add(connection: OpenConnection): void
  remove(connection: OpenConnection): void
  begin(): void
  end(): void
}

/** What all connections of one listener share. */
export interface Http2Context extends SessionContext {
  readonly ports: Http2Ports
  readonly timeouts: Http2Timeouts
  readonly requests: RequestLimits
  readonly parser: RequestParser
}

/** Makes the context: once per listener. Takes some 140 KiB for decoding, however many connections there are. */
export function createHttp2Context(
  limits: Http2Config,
  requests: RequestLimits,
  timeouts: Http2Timeouts,
  ports: Http2Ports,
): Http2Context {
  return {
    limits,
    floods: floodLimits(limits),
    received: new ReceivedHead({ ...limits, ...requests }),
    time: ports.wheel,
    ports,
    timeouts,
    requests,
    parser: new RequestParser(requests),
  }
}
