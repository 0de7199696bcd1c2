import { type Http2Config, http2ConfigSchema } from '../http2/config.ts'
import { floodLimits } from '../http2/flood-guard.ts'
import type { SessionContext } from '../http2/http2-session.ts'
import { ReceivedHead } from '../http2/received-head.ts'
import { answerFieldsMax } from './answer-limits.ts'

/** Requests at a time on one connection to a host, whatever it allows; more open another connection. What hosts commonly allow. */
export const hostStreamsMax = 100
/** Requests sent before the host has told how many it takes; those beyond wait for its SETTINGS, one round trip. Any host takes so many. */
export const streamsBeforeSettings = 16
/** Body bytes that a host may send on one request ahead of its client: 5 MiB/s at 50 ms. */
const streamWindowBytes = 262_144

/**
 * Limits of HTTP/2 connections to hosts. A host has chosen to serve us, and carries many clients on one connection: budgets for what a busy,
 * honest host sends are wider than those for clients.
 */
export const hostHttp2Limits: Http2Config = http2ConfigSchema.parse({
  streamWindowBytes,
  // 80 MiB/s at 50 ms for all requests of a connection.
  connectionWindowBytes: 4_194_304,
  // Even when every client of a connection reads slowly, none may stall another one.
  heldBytesMax: hostStreamsMax * streamWindowBytes,
  // A host that answers without reading the body resets each such stream (RFC 9113 §8.1).
  resetsPerSecond: 1_000,
  // gRPC servers measure the line with one PING in each round trip while a body flows.
  pingsPerSecond: 5_000,
  // Clients that leave large answers make frames arrive for streams that are over: up to a window each.
  otherFramesPerSecond: 10_000,
})

/** What all HTTP/2 connections to hosts share. Takes some 140 KiB for decoding, however many there are. */
export function hostSessionContext(headBytesMax: number, time: SessionContext['time']): SessionContext {
  const limits = hostHttp2Limits
  const heads = { ...limits, headBytesMax, headFieldsMax: answerFieldsMax, uriBytesMax: 0 }
  return { limits, floods: floodLimits(limits), received: new ReceivedHead(heads), time }
}
