import type { FieldBlock } from '../http1/field-block.ts'

/** A request as it goes to a host. The same value serves every attempt. */
export interface HostRequest {
  method: string
  /** Put before the client's path: `/vm/<hash>`, ASCII. */
  pathPrefix: Buffer
  /** The client's path and query: a range of `fields.bytes`. */
  pathStart: number
  pathEnd: number
  /** Public name of the site, for Host or `:authority`. */
  host: string
  /** The client's fields; those that may not pass are marked as dropped. Content-Length stays among them where it is known. */
  fields: FieldBlock
  /** Our own fields as HTTP/1.1 lines, each with its CRLF. */
  extraLines: Buffer
  /** 0 for none, -1 when only the end will tell (chunked on HTTP/1.1). */
  bodyBytes: number
  /** Set for a WebSocket: the Sec-WebSocket-Key to send when the client's own is not among `fields` (it came over HTTP/2). */
  upgrade: { key: string | undefined; idleMs: number } | undefined
}

/** Why an attempt failed before its answer was complete. */
export interface HostFailure {
  kind: 'unreachable' | 'invalid' | 'timeout'
  /** For a sentence that begins "The compute host X ...", or names what was wrong with its answer. */
  what: string
  cause?: unknown
  /** No connection came about, or the host said that it did not process the request (HTTP/2 REFUSED_STREAM, GOAWAY): it had no effect. */
  refused: boolean
  /** With `refused`: the host said so itself. It is there, so this counts like any failure, not like a connection that nobody took. */
  declined?: boolean
  /** A kept connection had died while it was idle, or the host ended it as it does now and then: it says nothing of the host. */
  stale: boolean
}

/** The head of an answer from a host. */
export interface HostAnswer {
  status: number
  fields: FieldBlock
  /** 0 for none (also HEAD, 204, 304), negative when only the end will tell. */
  bodyBytes: number
  /** Connection names fields that must not pass (`dropNominated`). */
  nominates: boolean
}

/** Hears what comes back from a host. Nothing is called after `onAnswerEnd`, `onHostFailed` or `cancel`. */
export interface AnswerSink {
  /** 103 and other informational answers except 100 and 101. `fields` is valid during the call. */
  onInformational(status: number, fields: FieldBlock): void
  /**
   * The final head, valid by the rules of `scan-answer.ts`, with what came of the body in the same read. `answer.fields` is valid during
   * the call and marked by nobody yet.
   * @param part - the first part of the body, if any of it is there; its memory is treated as in `onAnswerBody`
   * @param last - the answer is complete (without trailers): `onAnswerEnd` is not called any more. `part` is at most `joinedBytesMax` then, and
   *   must be copied: what is returned does not matter
   * @returns as `onAnswerBody` does
   */
  onAnswer(answer: HostAnswer, part: Buffer | undefined, last: boolean): boolean
  /** A 101 to a request with `upgrade`; its Sec-WebSocket-Accept is not verified yet. Bytes both ways follow. */
  onSwitched(fields: FieldBlock): void
  /**
   * A part of the body.
   * @returns true when the memory may be reused; false: it stays untouched, and nothing more comes, until `resumeAnswer`
   */
  onAnswerBody(part: Buffer): boolean
  onAnswerEnd(trailers: FieldBlock | undefined): void
  /** The connection stands, or the host has taken what was written: the request body may go on. */
  onHostDrain(): void
  onHostFailed(failure: HostFailure): void
}

/** One exchange with a host, over a connection of its own (HTTP/1.1) or as one of many on a connection (HTTP/2). */
export interface HostStream {
  /**
   * Sends the head, with the first part of the body in the same write.
   * @param last - true when `body` is all there is
   * Nothing is sent before the connection stands: until then `onHostFailed` says `refused`, and the request may go elsewhere.
   * @returns false when the rest of the body has to wait for `onHostDrain`. `body` must not change until the answer begins
   */
  send(request: HostRequest, body: Buffer | undefined, last: boolean): boolean
  /** A part of the body, or of a WebSocket; copied during the call. Returns as `send` does. */
  write(part: Buffer): boolean
  end(trailers?: FieldBlock): void
  resumeAnswer(): void
  /** The client is gone, or the answer is not wanted: the connection (HTTP/1) or stream (HTTP/2) is given up. */
  cancel(): void
}
