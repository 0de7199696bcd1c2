import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { AppError } from '../../core/errors.ts'

/** The client's side of an exchange, handed through untouched by everything but the forwarder. */
export interface ClientSide {
  request: IncomingMessage
  response: ServerResponse
}

/** What of the request body goes to the host. `bytes` can be sent again, `stream` only once. */
export type RequestBody =
  | { kind: 'none' }
  | { kind: 'bytes'; bytes: Buffer }
  | { kind: 'stream'; bytes: number | undefined }

/** One attempt at one host. */
export interface ForwardJob {
  client: ClientSide
  /** `http://host:port` or `https://…`: already vetted. */
  origin: string
  method: string
  /** Path and query on the host. */
  path: string
  /** Header policy is applied already; framing and Connection fields are the forwarder's to add. */
  fields: readonly string[]
  body: RequestBody
  /** Applies the policy to the header fields of the answer. */
  answerFields(fields: readonly string[]): string[]
}

/** How an attempt ended. Only after `answered` has the client received anything. */
export type ForwardResult =
  /** The answer went to the client; `complete` is false when it broke off midway, and then the client's connection was cut. */
  | { kind: 'answered'; complete: boolean; brokenBy: 'host' | 'client' | undefined; firstByteMs: number }
  /** The host has no room for the program (503 with code CRN_FULL). */
  | { kind: 'full'; retryAfterMs: number; bodyStarted: boolean }
  /** `refused`: no connection came about, so the host has seen nothing. `stale`: a kept connection had died, which says nothing of the host. */
  | { kind: 'failed'; error: AppError; refused: boolean; stale: boolean; bodyStarted: boolean }
  /** The client went away before an answer. */
  | { kind: 'gone' }

/**
 * The hot path: joins a client's exchange to one host. Streams both ways with back-pressure, buffers no event stream, keeps repeated
 * fields and trailers, cuts the client's connection when an answer breaks off, and never passes on what is not valid HTTP.
 */
export interface Forwarder extends Disposable {
  /** Never throws; never calls back after it has settled. */
  forward(job: ForwardJob): Promise<ForwardResult>
  /** Joins a WebSocket: after a verified 101 both sides become one stream of bytes. `head` is what the client sent past its request. */
  upgrade(job: ForwardJob, socket: Socket, head: Buffer): Promise<ForwardResult>
  /** True when `GET path` on the host is answered with 2xx in time. Never throws. */
  probe(origin: string, path: string, timeoutMs: number): Promise<boolean>
}
