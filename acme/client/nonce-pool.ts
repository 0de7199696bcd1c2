import type { Clock } from '../../core/clock.ts'

// More than the parallel requests of one client; older ones are likelier to be refused than useful.
const noncesMax = 32
const nonceAgeMsMax = 10 * 60_000

/** Nonces of the CA's replies, newest first out. Each is given out once; old ones are dropped. */
export class NoncePool {
  #nonces: { value: string; atMs: number }[] = []
  #clock: Clock

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Takes in the `Replay-Nonce` of a reply. Anything but base64url (RFC 8555 §6.5.1) is ignored. */
  add(value: string | string[] | undefined): void {
    if (typeof value !== 'string' || !/^[\w-]{1,512}$/.test(value)) return
    this.#nonces.push({ value, atMs: this.#clock.monotonicMs() })
    if (this.#nonces.length > noncesMax) this.#nonces.shift()
  }

  take(): string | undefined {
    const newest = this.#nonces.pop()
    if (newest === undefined) return undefined
    if (this.#clock.monotonicMs() - newest.atMs <= nonceAgeMsMax) return newest.value
    this.#nonces.length = 0
    return undefined
  }
}
