import tls from 'node:tls'
import type { SessionContext } from '../http2/http2-session.ts'
import { hostSessionContext } from './http2-limits.ts'

/** Origins whose protocol and TLS session are remembered while no connection to them is open: some 3 KiB each. */
const memoriesMax = 1_024

/** What is remembered of an origin from one connection to the next. */
export interface OriginMemory {
  /** What it chose last; undefined before the first handshake. */
  speaksHttp2: boolean | undefined
  /** How many requests at a time it took on a connection last. */
  streamsMax: number
  /** The newest ticket of a connection whose certificate was verified, to resume with. */
  ticket: Buffer | undefined
}

/** How hosts are connected to. */
export interface HostTrust {
  /** Authorities for the certificates of hosts, PEM, in place of those that Node knows. */
  ca?: string | undefined
  /** Something threw that should not have; a connection has ended by it. */
  failed?: ((error: unknown) => void) | undefined
}

/** What TLS connections to all hosts share. */
export class HostTls {
  readonly failed: (error: unknown) => void
  readonly #ca: string | undefined
  readonly #time: SessionContext['time']
  readonly #memories = new Map<string, OriginMemory>()
  #secureContext: tls.SecureContext | undefined = undefined
  #session: SessionContext | undefined = undefined
  #headBytesMax = 0

  constructor(trust: HostTrust, time: SessionContext['time']) {
    this.#ca = trust.ca
    this.#time = time
    this.failed = trust.failed ?? (() => {})
  }

  /** Loading the authorities takes milliseconds, so it is done once, when a host with TLS turns up. */
  get secureContext(): tls.SecureContext {
    this.#secureContext ??= tls.createSecureContext(this.#ca === undefined ? {} : { ca: this.#ca })
    return this.#secureContext
  }

  /** @param headBytesMax - of an answer, as configured now */
  sessionContext(headBytesMax: number): SessionContext {
    if (this.#session === undefined || this.#headBytesMax !== headBytesMax) {
      this.#session = hostSessionContext(headBytesMax, this.#time)
      this.#headBytesMax = headBytesMax
    }
    return this.#session
  }

  memoryOf(origin: string): OriginMemory {
    const known = this.#memories.get(origin)
    if (known) return known
    const memory: OriginMemory = { speaksHttp2: undefined, streamsMax: Number.POSITIVE_INFINITY, ticket: undefined }
    for (const oldest of this.#memories.keys()) {
      if (this.#memories.size < memoriesMax) break
      this.#memories.delete(oldest)
    }
    this.#memories.set(origin, memory)
    return memory
  }
}
