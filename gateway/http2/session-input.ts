import type { FieldBlock } from '../http1/field-block.ts'
import { dropInTrailer } from '../http1/known-fields.ts'
import { sendPingAck, sendSettingsAck } from './control-frames.ts'
import { ErrorCode } from './error-code.ts'
import { Flood } from './flood-guard.ts'
import { Flag, FrameType, readUint31, windowMax } from './frame.ts'
import { FrameReader, type FrameSink } from './frame-reader.ts'
import { HeaderBlock } from './header-block.ts'
import { HpackDecoder } from './hpack-decoder.ts'
import type { Http2Session } from './http2-session.ts'
import type { Http2Stream } from './http2-stream.ts'
import { PeerSettings } from './peer-settings.ts'
import { type ReceivedHead, releaseFields } from './received-head.ts'

/**
 * Reads what the peer of a session sends: which frame may come when, what it changes, and which fault it is when it may not (RFC 9113 §5, §6).
 * Faults of a stream reset it; faults of the connection come back as error codes.
 */
export class SessionInput implements FrameSink {
  readonly #session: Http2Session
  readonly #reader: FrameReader
  readonly #block: HeaderBlock
  readonly #decoder: HpackDecoder
  readonly #received: ReceivedHead
  /** The first SETTINGS frame has come. */
  #settled = false
  #frames = 0
  #midwaySinceMs: number
  /** The open DATA frame, and its stream while that is wanted. */
  #data: Http2Stream | undefined = undefined
  #dataFlags = 0
  #dataLength = 0

  constructor(session: Http2Session, received: ReceivedHead, preface: Buffer) {
    this.#session = session
    this.#received = received
    this.#midwaySinceMs = session.time.nowMs
    this.#reader = new FrameReader(this, preface)
    this.#block = new HeaderBlock(session.limits)
    this.#decoder = new HpackDecoder(session.limits.headerTableBytes)
  }

  get midwaySinceMs(): number {
    return this.#block.id !== 0 ? this.#block.sinceMs : this.#midwaySinceMs
  }

  /** @returns 0, or the error code that ends the connection */
  push(chunk: Buffer): number {
    const frames = this.#frames
    const error = this.#reader.push(chunk)
    if (!this.#reader.midway) this.#midwaySinceMs = -1
    else if (this.#midwaySinceMs < 0 || this.#frames !== frames) this.#midwaySinceMs = this.#session.time.nowMs
    return error
  }

  onFrame(type: number, flags: number, id: number, bytes: Buffer, start: number, end: number): number {
    if (this.#over) return ErrorCode.none
    this.#frames++
    const length = end - start
    if (this.#block.id !== 0 && (type !== FrameType.continuation || id !== this.#block.id)) return ErrorCode.protocol
    if (!this.#settled && (type !== FrameType.settings || (flags & Flag.ack) !== 0)) return ErrorCode.protocol
    switch (type) {
      case FrameType.headers:
        return this.#onHeaders(flags, id, bytes, start, end)
      case FrameType.continuation:
        return this.#onContinuation(flags, bytes, start, end)
      case FrameType.windowUpdate:
        return length === 4 ? this.#onWindowUpdate(id, readUint31(bytes, start)) : ErrorCode.frameSize
      case FrameType.rstStream:
        return length === 4 ? this.#onReset(id, readUint31(bytes, start)) : ErrorCode.frameSize
      case FrameType.settings:
        return id === 0 ? this.#onSettings(flags, bytes, start, end) : ErrorCode.protocol
      case FrameType.ping:
        if (id !== 0) return ErrorCode.protocol
        return length === 8 ? this.#onPing(flags, bytes, start) : ErrorCode.frameSize
      case FrameType.goaway:
        if (id !== 0) return ErrorCode.protocol
        if (length < 8) return ErrorCode.frameSize
        this.#session.onGoaway(readUint31(bytes, start), readUint31(bytes, start + 4))
        return this.#session.spend(Flood.other, 1)
      case FrameType.priority:
        return this.#onPriority(id, bytes, start, length)
      case FrameType.pushPromise:
        return ErrorCode.protocol
      case FrameType.priorityUpdate:
        // RFC 9218 §7.1: on stream 0, from clients only.
        if (id !== 0 || this.#session.towardServer) return ErrorCode.protocol
        return length < 4 ? ErrorCode.frameSize : this.#session.spend(Flood.other, 1)
      default:
        return this.#session.spend(Flood.other, 1)
    }
  }

  onDataStart(id: number, flags: number, length: number): number {
    if (this.#over) return ErrorCode.none
    this.#frames++
    if (this.#block.id !== 0 || !this.#settled) return ErrorCode.protocol
    const session = this.#session
    if (!session.receiveWindow.receive(length)) return ErrorCode.flowControl
    this.#dataFlags = flags
    this.#dataLength = length
    const stream = session.streams.get(id)
    this.#data = stream
    if (stream === undefined) return this.#onStrayData(id)
    stream.lastReceivedMs = session.time.nowMs
    stream.receiveWindow -= length
    if (stream.remoteEnded) return session.streamFault(stream, ErrorCode.streamClosed)
    return stream.receiveWindow < 0 ? session.streamFault(stream, ErrorCode.flowControl) : ErrorCode.none
  }

  onDataPart(chunk: Buffer, start: number, end: number): number {
    const stream = this.#data
    if (stream === undefined || stream.closed) return ErrorCode.none
    const size = end - start
    stream.receivedBytes += size
    if (stream.expectedBytes >= 0 && stream.receivedBytes > stream.expectedBytes)
      return this.#session.streamFault(stream, ErrorCode.protocol)
    stream.unconsumed += size
    this.#session.receiveWindow.hold(size)
    stream.handler.onData(chunk.subarray(start, end))
    return ErrorCode.none
  }

  onDataEnd(padding: number): number {
    const stream = this.#data
    this.#data = undefined
    if (this.#over) return ErrorCode.none
    const session = this.#session
    session.openWindow()
    const ends = (this.#dataFlags & Flag.endStream) !== 0
    if (this.#dataLength === padding && !ends) {
      const error = session.spend(Flood.empty, 1)
      if (error !== ErrorCode.none) return error
    }
    if (stream === undefined || stream.closed) return ErrorCode.none
    if (ends) return this.#remoteEnd(stream, undefined)
    if (padding > 0) stream.owe(padding)
    return ErrorCode.none
  }

  get #over(): boolean {
    return this.#session.closing || this.#session.closed
  }

  #onStrayData(id: number): number {
    const session = this.#session
    if (session.isIdle(id)) return ErrorCode.protocol
    return session.wasReset(id) ? session.spend(Flood.other, 1) : session.refuse(id, ErrorCode.streamClosed)
  }

  #onHeaders(flags: number, id: number, bytes: Buffer, start: number, end: number): number {
    if (id === 0) return ErrorCode.protocol
    const error = this.#block.open(flags, id, bytes, start, end, this.#session.time.nowMs)
    if (error !== ErrorCode.none) return error
    return (flags & Flag.endHeaders) === 0 ? ErrorCode.none : this.#onBlock()
  }

  #onContinuation(flags: number, bytes: Buffer, start: number, end: number): number {
    if (this.#block.id === 0) return ErrorCode.protocol
    const error = this.#block.continue(bytes, start, end)
    if (error !== ErrorCode.none) return error
    return (flags & Flag.endHeaders) === 0 ? ErrorCode.none : this.#onBlock()
  }

  #onBlock(): number {
    const block = this.#block
    const head = this.#received
    const { id, endStream, selfDependent } = block
    head.start()
    const error = this.#decoder.decode(block.bytes, block.start, block.end, head)
    block.close()
    if (error !== ErrorCode.none) {
      head.drop()
      return error
    }
    if (selfDependent) head.malformed = true
    const stream = this.#session.streams.get(id)
    if (stream?.headReceived) return this.#onTrailers(stream, endStream, head)
    return this.#session.onHead(stream, id, endStream, head)
  }

  #onTrailers(stream: Http2Stream, endStream: boolean, head: ReceivedHead): number {
    const code = stream.remoteEnded
      ? ErrorCode.streamClosed
      : head.malformed || head.seen !== 0 || !endStream
        ? ErrorCode.protocol
        : head.tooLarge || head.tooMany
          ? ErrorCode.enhanceYourCalm
          : ErrorCode.none
    if (code !== ErrorCode.none) {
      head.drop()
      return this.#session.streamFault(stream, code)
    }
    const trailers = head.takeFields()
    trailers.dropBy(dropInTrailer)
    return this.#remoteEnd(stream, trailers)
  }

  /** The peer's side is complete. A body of another length than was announced makes the message malformed (RFC 9113 §8.1.1). */
  #remoteEnd(stream: Http2Stream, trailers: FieldBlock | undefined): number {
    if (stream.expectedBytes >= 0 && stream.receivedBytes !== stream.expectedBytes) {
      if (trailers !== undefined) releaseFields(trailers)
      return this.#session.streamFault(stream, ErrorCode.protocol)
    }
    stream.remoteEnded = true
    if (stream.localEnded) this.#session.forget(stream)
    stream.handler.onRemoteEnd(trailers)
    return ErrorCode.none
  }

  #onWindowUpdate(id: number, increment: number): number {
    const session = this.#session
    const error = session.spend(Flood.windowUpdate, 1)
    if (error !== ErrorCode.none) return error
    if (id === 0) {
      if (increment === 0) return ErrorCode.protocol
      session.sendWindow += increment
      if (session.sendWindow > windowMax) return ErrorCode.flowControl
      session.pump()
      return ErrorCode.none
    }
    const stream = session.streams.get(id)
    if (stream === undefined) return session.isIdle(id) ? ErrorCode.protocol : ErrorCode.none
    if (increment === 0) return session.streamFault(stream, ErrorCode.protocol)
    stream.sendWindow += increment
    if (stream.sendWindow > windowMax) return session.streamFault(stream, ErrorCode.flowControl)
    session.enqueue(stream)
    session.pump()
    return ErrorCode.none
  }

  #onReset(id: number, code: number): number {
    if (id === 0) return ErrorCode.protocol
    const session = this.#session
    const error = session.spend(Flood.reset, 1)
    if (error !== ErrorCode.none) return error
    const stream = session.streams.get(id)
    if (stream === undefined) return session.isIdle(id) ? ErrorCode.protocol : ErrorCode.none
    session.close(stream, code)
    return ErrorCode.none
  }

  #onSettings(flags: number, bytes: Buffer, start: number, end: number): number {
    const session = this.#session
    if ((flags & Flag.ack) !== 0) return start === end ? session.spend(Flood.settings, 1) : ErrorCode.frameSize
    const count = PeerSettings.count(end - start)
    if (count < 0) return ErrorCode.frameSize
    const flood = session.spend(Flood.settings, count + 1)
    if (flood !== ErrorCode.none) return flood
    this.#settled = true
    const { peer } = session
    const windowBefore = peer.initialWindow
    const error = peer.read(bytes, start, end, session.towardServer)
    if (error !== ErrorCode.none) return error
    session.headers.encoder.allowTable(peer.headerTableBytes)
    sendSettingsAck(session.output)
    return this.#moveWindows(peer.initialWindow - windowBefore)
  }

  /** RFC 9113 §6.9.2: windows of open streams move along, and may become negative. */
  #moveWindows(change: number): number {
    if (change === 0) return ErrorCode.none
    const session = this.#session
    for (const stream of session.streams.values()) {
      stream.sendWindow += change
      if (stream.sendWindow > windowMax) return ErrorCode.flowControl
      session.enqueue(stream)
    }
    session.pump()
    return ErrorCode.none
  }

  #onPing(flags: number, bytes: Buffer, start: number): number {
    if ((flags & Flag.ack) !== 0) this.#session.onPong()
    else sendPingAck(this.#session.output, bytes, start)
    return this.#session.spend(Flood.ping, 1)
  }

  /** Priorities are ignored; their form is not (RFC 9113 §6.3). */
  #onPriority(id: number, bytes: Buffer, start: number, length: number): number {
    if (id === 0) return ErrorCode.protocol
    const session = this.#session
    const stream = session.streams.get(id)
    if (stream !== undefined && length !== 5) return session.streamFault(stream, ErrorCode.frameSize)
    if (stream !== undefined && readUint31(bytes, start) === id) return session.streamFault(stream, ErrorCode.protocol)
    return session.spend(Flood.other, 1)
  }
}
