import type { FieldBlock } from '../http1/field-block.ts'
import { dropInTrailer, fieldRules } from '../http1/known-fields.ts'
import type { Http2Config } from './config.ts'
import { ConnectionWindow } from './connection-window.ts'
import { sendGoaway, sendReset, sendSettings, sendWindowUpdate } from './control-frames.ts'
import { ErrorCode } from './error-code.ts'
import { Flood, FloodGuard } from './flood-guard.ts'
import { defaultWindow } from './frame.ts'
import { HeaderWriter, roomFor } from './header-writer.ts'
import type { Http2Stream } from './http2-stream.ts'
import { type FrameTransport, OutputBuffer, type OutputOwner } from './output-buffer.ts'
import { PeerSettings } from './peer-settings.ts'
import type { ReceivedHead } from './received-head.ts'
import { RecentResets } from './recent-resets.ts'
import { SendQueue } from './send-queue.ts'
import { SessionInput } from './session-input.ts'

/** What all sessions of a thread share. */
export interface SessionContext {
  readonly limits: Http2Config
  /** The budgets of `limits`, by `floodLimits`. */
  readonly floods: Int32Array
  /** Where header blocks are decoded to; one serves all sessions. */
  readonly received: ReceivedHead
  /** Coarse monotonic milliseconds. */
  readonly time: { readonly nowMs: number }
}

/**
 * One HTTP/2 connection without its socket, for both roles: streams, flow control both ways, the order in which streams send, floods, the end.
 * What the peer sends is read in `session-input.ts`. A role adds what a new header block means (`onHead`). Nothing here throws by what a peer
 * sends.
 *
 * The socket side calls `receive` with each chunk and `disconnected` at the end; bytes leave through the `FrameTransport`.
 */
export abstract class Http2Session implements OutputOwner {
  /** The peer is a server. */
  abstract readonly towardServer: boolean
  readonly limits: Http2Config
  readonly time: { readonly nowMs: number }
  readonly streams = new Map<number, Http2Stream>()
  readonly output: OutputBuffer
  readonly headers: HeaderWriter
  readonly peer = new PeerSettings()
  readonly flood: FloodGuard
  /** How much DATA the peer takes on the whole connection. */
  sendWindow = defaultWindow
  readonly receiveWindow: ConnectionWindow
  /** The highest stream that the peer opened. */
  lastPeerId = 0
  /** Our last frame has been written: what comes is ignored. */
  closing = false
  /** The connection has gone. */
  closed = false
  /** When the last stream ended, or the session began. */
  idleSinceMs: number
  readonly #input: SessionInput
  readonly #transport: FrameTransport
  readonly #resets = new RecentResets()
  readonly #ready = new SendQueue()
  #pumping = false
  #paused = false

  /** @param preface - what the peer must send first: `clientPreface` when it is a client, else nothing */
  constructor(context: SessionContext, transport: FrameTransport, preface: Buffer) {
    this.limits = context.limits
    this.time = context.time
    this.idleSinceMs = context.time.nowMs
    this.#transport = transport
    this.output = new OutputBuffer(transport, this)
    this.headers = new HeaderWriter(this.output, context.limits.headerTableBytes)
    this.flood = new FloodGuard(context.floods)
    this.receiveWindow = new ConnectionWindow(context.limits)
    this.#input = new SessionInput(this, context.received, preface)
  }

  /**
   * A whole header block has come.
   * @param stream - the open stream it belongs to; undefined when there is none with this id
   * @param head - to be used up during the call: `receiveTrailers`, `takeFields` or `drop`
   * @returns 0, or the error code that ends the connection
   */
  abstract onHead(stream: Http2Stream | undefined, id: number, endStream: boolean, head: ReceivedHead): number
  /** Whether a stream with this id was never opened. */
  abstract isIdle(id: number): boolean
  /** The peer will open no more streams, and has not processed ours above `lastId`. */
  abstract onGoaway(lastId: number, code: number): void
  /** The peer has answered our PING. */
  abstract onPong(): void
  /** A stream is over, and out of `streams` already. */
  abstract onForgotten(stream: Http2Stream): void
  abstract onFailed(error: unknown): void

  /** Window with which the peer lets our streams begin. */
  get peerWindow(): number {
    return this.peer.initialWindow
  }

  /** Streams wait for their turn: nobody may send past them. */
  get crowded(): boolean {
    return !this.#ready.empty
  }

  get hasOutputRoom(): boolean {
    return this.output.queued < this.limits.outputBytesMax
  }

  /** Since when the peer has left the preface, a frame other than DATA, or a header block incomplete; -1 when it has not. */
  get midwaySinceMs(): number {
    return this.#input.midwaySinceMs
  }

  /** Takes what came from the socket. Handlers get parts of the chunk itself: whether they may keep them is between them and the socket side. */
  receive(chunk: Buffer): void {
    if (this.closing || this.closed) return
    const error = this.#input.push(chunk)
    if (error !== ErrorCode.none) this.fail(error)
    // What the peer causes us to say must not pile up while it does not listen.
    if (!this.#paused && this.output.queued > this.limits.outputBytesMax * 2) {
      this.#paused = true
      this.#transport.pause()
    }
  }

  /** The socket has gone: whoever uses a stream is told. */
  disconnected(): void {
    if (this.closed) return
    this.closed = true
    this.#closeStreams(ErrorCode.cancel)
  }

  /** Ends the connection with GOAWAY; what is open is closed. */
  fail(code: number): void {
    if (this.closing || this.closed) return
    this.closing = true
    sendGoaway(this.output, this.lastPeerId, code)
    try {
      this.#closeStreams(code)
    } finally {
      this.output.end()
    }
  }

  /** The first thing to be sent (RFC 9113 §3.4): `settings`, pairs of name and value, and our window for the connection. */
  begin(settings: readonly number[]): void {
    sendSettings(this.output, settings)
    const update = this.receiveWindow.firstUpdate
    if (update > 0) sendWindowUpdate(this.output, 0, update)
  }

  /** Sends trailers, which end the stream. @returns false when none may pass; nothing was sent then */
  sendTrailers(id: number, trailers: FieldBlock): boolean {
    let kept = 0
    for (let i = 0; i < trailers.count; i++)
      if (trailers.dropped[i] === 0 && ((fieldRules[trailers.code[i] as number] as number) & dropInTrailer) === 0)
        kept++
    if (kept === 0) return false
    this.headers.begin(roomFor(trailers)).fields(trailers, dropInTrailer)
    this.headers.finish(id, true)
    return true
  }

  sendReset(id: number, code: number): void {
    this.#resets.add(id)
    sendReset(this.output, id, code)
  }

  /** Whether frames for this stream may still be under way though it is over. */
  wasReset(id: number): boolean {
    return this.#resets.has(id)
  }

  /** Resets a stream for something the peer did; too many of those end the connection. @returns 0 or the code for that */
  refuse(id: number, code: number): number {
    this.sendReset(id, code)
    return this.spend(Flood.reset, 1)
  }

  /** The peer broke a rule on a stream: it is reset, and its handler told. @returns 0, or the code that ends the connection */
  streamFault(stream: Http2Stream, code: number): number {
    if (stream.closed) return ErrorCode.none
    const error = this.refuse(stream.id, code)
    this.close(stream, code)
    return error
  }

  /** Takes from a budget. @returns 0, or the code that ends the connection */
  spend(kind: number, amount: number): number {
    return this.flood.spend(kind, amount, this.time.nowMs) ? ErrorCode.none : ErrorCode.enhanceYourCalm
  }

  /** DATA has been written on some stream. */
  noteSent(bytes: number): void {
    this.sendWindow -= bytes
    // The peer will answer with updates of two windows, some with more. Tiny frames earn nothing: they are a game with windows.
    if (bytes >= 1_024) this.flood.credit(Flood.windowUpdate, 3)
  }

  /** Content has been read, or thrown away. */
  consumed(bytes: number): void {
    this.receiveWindow.unhold(bytes)
    this.openWindow()
  }

  /** Lets the peer send more on the connection, if it is time to. */
  openWindow(): void {
    const update = this.receiveWindow.takeUpdate()
    if (update > 0 && !this.closing && !this.closed) sendWindowUpdate(this.output, 0, update)
  }

  /** The stream is over; its handler is told. */
  close(stream: Http2Stream, code: number): void {
    if (stream.closed) return
    this.forget(stream)
    stream.handler.onClosed(code)
  }

  /** The stream is over; its handler knows. */
  forget(stream: Http2Stream): void {
    if (stream.closed) return
    stream.release()
    this.streams.delete(stream.id)
    if (stream.unconsumed > 0) this.consumed(stream.unconsumed)
    if (this.streams.size === 0) this.idleSinceMs = this.time.nowMs
    this.onForgotten(stream)
  }

  /** Puts a stream in line if it has something to send and a window for it. */
  enqueue(stream: Http2Stream): void {
    if (stream.waiting && stream.sendWindow > 0) this.#ready.add(stream)
  }

  /** Lets the streams in line send, one frame each in turn, while windows and output have room. */
  pump(): void {
    if (this.#pumping) return
    this.#pumping = true
    try {
      while (this.sendWindow > 0 && this.hasOutputRoom) {
        const stream = this.#ready.take()
        if (stream === undefined) break
        if (stream.closed) continue
        stream.sendMore()
        this.enqueue(stream)
      }
    } finally {
      this.#pumping = false
    }
  }

  onWritten(): void {
    if (this.#paused && this.output.queued <= this.limits.outputBytesMax) {
      this.#paused = false
      this.#transport.resume()
    }
    this.pump()
  }

  #closeStreams(code: number): void {
    const failures: unknown[] = []
    for (const stream of [...this.streams.values()]) {
      // One handler that throws must not keep the others from knowing.
      try {
        this.close(stream, code)
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw failures[0]
  }
}
