import type { TLSSocket } from 'node:tls'
import type { TimingWheel } from '../../core/timing-wheel.ts'
import { type HostAddress, serveHttp1 } from './connect-host.ts'
import type { ConnectionNeeds, HostPool } from './host-pool.ts'
import type { AnswerSink, HostFailure, HostStream } from './host-stream.ts'
import type { HostTls, OriginMemory } from './host-tls.ts'
import { Http2Host, type Http2HostOwner } from './http2-host.ts'
import { hostStreamsMax } from './http2-limits.ts'
import { type DialOwner, TlsDial } from './tls-dial.ts'
import { type WaitingRoom, WaitingStream } from './waiting-stream.ts'

const both = ['h2', 'http/1.1']
const http1Only = ['http/1.1']

/**
 * The connections over TLS to one origin, as far as they are not HTTP/1.1: which protocol each speaks shows only when it stands. Exchanges wait
 * meanwhile; there are as many connections in the making as those that wait will need, judging by what the host chose last.
 */
export class TlsOrigin implements DialOwner, Http2HostOwner, WaitingRoom {
  readonly #pool: HostPool
  readonly #address: HostAddress
  readonly #tls: HostTls
  readonly #memory: OriginMemory
  readonly #hosts: Http2Host[] = []
  readonly #dials = new Set<TlsDial>()
  readonly #waiting = new Set<WaitingStream>()
  /** Dials for one exchange alone, which needs HTTP/1.1. */
  readonly #alone = new Map<TlsDial, WaitingStream>()
  readonly #prefaced = new Set<TlsDial>()
  #closed = false

  constructor(pool: HostPool, address: HostAddress, tls: HostTls) {
    this.#pool = pool
    this.#address = address
    this.#tls = tls
    this.#memory = tls.memoryOf(pool.origin)
  }

  get wheel(): TimingWheel {
    return this.#pool.wheel
  }

  get timeouts(): HostPool['timeouts'] {
    return this.#pool.timeouts
  }

  /** How many exchanges a new connection will probably take. While nobody knows, one is tried for many: a burst must not open hundreds. */
  get expectedStreams(): number {
    const { speaksHttp2, streamsMax } = this.#memory
    return speaksHttp2 === false ? 1 : Math.max(1, Math.min(hostStreamsMax, streamsMax))
  }

  /** Connections other than HTTP/1.1 ones: those in the making, too. */
  get connections(): number {
    return this.#hosts.length + this.#dials.size + this.#alone.size
  }

  /** Exchanges on those, or waiting. */
  get load(): number {
    let open = 0
    for (let i = 0; i < this.#hosts.length; i++) open += (this.#hosts[i] as Http2Host).open
    return open + this.#waiting.size + this.#alone.size
  }

  /** A place on a connection that stands, or undefined. The oldest one fills first, so that those not needed any more come to rest. */
  take(sink: AnswerSink): HostStream | undefined {
    for (let i = 0; i < this.#hosts.length; i++) {
      const host = this.#hosts[i] as Http2Host
      if (host.room > 0) return host.take(sink)
    }
    return undefined
  }

  /** An exchange that waits for a connection. */
  wait(sink: AnswerSink, needs: ConnectionNeeds | undefined): HostStream {
    const stream = new WaitingStream(sink, this)
    if (needs) this.#dialAlone(stream, needs.preface)
    else {
      this.#waiting.add(stream)
      this.wheel.set(stream, this.timeouts.connectMs)
      this.#dialMore()
    }
    return stream
  }

  destroy(): void {
    this.#closed = true
    for (const dial of [...this.#dials, ...this.#alone.keys()]) this.#drop(dial)
    for (const stream of this.#waiting) this.wheel.clear(stream)
    this.#waiting.clear()
    for (const host of [...this.#hosts]) host.destroy()
  }

  leaves(stream: WaitingStream): void {
    this.wheel.clear(stream)
    this.#waiting.delete(stream)
    for (const [dial, only] of this.#alone) if (only === stream) this.#drop(dial)
    this.#pool.changed()
  }

  // --- what dials tell

  dialed(dial: TlsDial, socket: TLSSocket): void {
    this.wheel.clear(dial)
    const only = this.#alone.get(dial)
    this.#alone.delete(dial)
    this.#dials.delete(dial)
    if (only) return void this.#serveHttp1(socket, only, this.#prefaced.delete(dial))
    this.#memory.speaksHttp2 = socket.alpnProtocol === 'h2'
    if (this.#memory.speaksHttp2) this.#serveHttp2(socket)
    else this.#serveHttp1(socket, this.#next(), false)
    this.#dialMore()
  }

  dialFailed(dial: TlsDial, failure: HostFailure): void {
    const only = this.#alone.get(dial)
    const shared = this.#dials.has(dial)
    this.#drop(dial)
    if (shared) this.#failWaiting(failure)
    else only?.fail(failure)
    this.#dialMore()
    this.#pool.changed()
  }

  // --- what HTTP/2 connections tell

  roomChanged(host: Http2Host): void {
    if (this.#closed) return
    if (host.session.peer.known) this.#memory.streamsMax = host.session.peer.streamsMax
    while (this.#waiting.size > 0 && host.room > 0) {
      const stream = this.#next() as WaitingStream
      stream.use(host.take(stream.sink))
    }
    this.#dialMore()
  }

  hostGone(host: Http2Host): void {
    const at = this.#hosts.indexOf(host)
    if (at >= 0) this.#hosts.splice(at, 1)
    this.#dialMore()
    this.#pool.changed()
  }

  failed(error: unknown): void {
    this.#tls.failed(error)
  }

  // --- inside

  /** Begins as many connections as those that wait will need. */
  #dialMore(): void {
    if (this.#closed || this.#waiting.size === 0) return
    let places = this.#dials.size * this.expectedStreams
    for (const host of this.#hosts) places += Math.max(0, host.roomSoon)
    for (; places < this.#waiting.size && this.#pool.mayConnect; places += this.expectedStreams)
      this.#dials.add(this.#dial(both, undefined))
  }

  #dialAlone(stream: WaitingStream, preface: Buffer | undefined): void {
    const dial = this.#dial(http1Only, preface)
    this.#alone.set(dial, stream)
    if (preface) this.#prefaced.add(dial)
  }

  #dial(protocols: string[], preface: Buffer | undefined): TlsDial {
    const { secureContext } = this.#tls
    const options = { address: this.#address, secureContext, memory: this.#memory, protocols, preface }
    const dial = new TlsDial(options, this)
    this.wheel.set(dial, this.timeouts.connectMs)
    return dial
  }

  #drop(dial: TlsDial): void {
    this.wheel.clear(dial)
    this.#dials.delete(dial)
    this.#alone.delete(dial)
    this.#prefaced.delete(dial)
    dial.destroy()
  }

  #serveHttp2(socket: TLSSocket): void {
    const { headBytesMax } = this.#pool
    const host = new Http2Host(socket, this, this.#tls.sessionContext(headBytesMax), headBytesMax)
    this.#hosts.push(host)
    this.roomChanged(host)
  }

  #serveHttp1(socket: TLSSocket, stream: WaitingStream | undefined, dedicated: boolean): void {
    const connection = serveHttp1(socket, this.#pool)
    connection.dedicated = dedicated
    this.#pool.adopt(connection)
    if (!stream) return void this.#pool.keep(connection)
    connection.take(stream.sink)
    stream.use(connection)
  }

  /** Who waits longest; it waits no longer. */
  #next(): WaitingStream | undefined {
    for (const stream of this.#waiting) {
      this.#waiting.delete(stream)
      this.wheel.clear(stream)
      return stream
    }
    return undefined
  }

  /** Fails those for whom the connection was meant. */
  #failWaiting(failure: HostFailure): void {
    const failed: WaitingStream[] = []
    for (let left = this.expectedStreams; left > 0 && this.#waiting.size > 0; left--)
      failed.push(this.#next() as WaitingStream)
    for (const stream of failed) stream.fail(failure)
  }
}
