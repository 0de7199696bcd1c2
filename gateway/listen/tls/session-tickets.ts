import { hkdfSync } from 'node:crypto'
import type { Server } from 'node:tls'
import type { Random } from '../../../core/random.ts'
import type { TicketKeys } from '../../ports.ts'

const nameBytes = 16
const hmacKeyBytes = 32
/** The callback of Node seals with AES-128-CBC and HMAC-SHA-256. */
const aesKeyBytes = 16
const ivBytes = 16
/** How many initialisation vectors are drawn at once: one call for random bytes costs as much as hundreds of bytes. */
const ivsPerDraw = 256

/** Answers of the callback, in OpenSSL's terms (SSL_CTX_set_tlsext_ticket_key_cb). */
const unknownKey = 0
const sealed = 1
/** The ticket is good, and the client is to get another: without that a client that uses each ticket once runs out of them. */
const openedAndRenew = 2

/** Where the native context calls back. Internal to Node: see `probe-tickets.ts`. */
interface NativeContext {
  enableTicketKeyCallback(): void
  onticketkeycallback: (name: Buffer, iv: Buffer, seal: boolean) => unknown[]
}

/** One secret, as used by one site. */
interface SiteKey {
  name: Buffer
  hmacKey: Buffer
  aesKey: Buffer
  /** What the callback returns for a ticket under this key. */
  opened: unknown[]
}

/** The ticket secrets of a listener. A change takes effect with the next handshake, on all sites. */
export class SessionTickets {
  readonly #random: Random
  /** Whether Node lets us answer for each ticket; else only one key is known to it, and resumed handshakes yield no ticket. */
  readonly renewing: boolean
  #keys: TicketKeys
  #ivs = Buffer.alloc(0)
  #ivAt = 0

  constructor(keys: TicketKeys, renewing: boolean, random: Random) {
    this.#keys = keys
    this.renewing = renewing
    this.#random = random
  }

  get keys(): TicketKeys {
    return this.#keys
  }

  setKeys(keys: TicketKeys): void {
    this.#keys = keys
  }

  /**
   * Lets a site's server seal and open tickets.
   * @param scope - tickets resume only where it is the same: it becomes part of the keys
   * @returns to be called after a change of keys
   */
  install(server: Server, scope: string): () => void {
    if (this.renewing) {
      const site = new SiteTickets(this, scope)
      const native = nativeContext(server)
      native.onticketkeycallback = (name, iv, seal) => site.answer(name, iv, seal)
      native.enableTicketKeyCallback()
      return () => site.derive()
    }
    const set = (): void => void server.setTicketKeys(publicKeys(this.#keys.current, scope))
    set()
    return set
  }

  /** Unpredictable, never the same twice. */
  nextIv(): Buffer {
    if (this.#ivAt === this.#ivs.length) {
      this.#ivs = Buffer.from(this.#random.bytes(ivBytes * ivsPerDraw))
      this.#ivAt = 0
    }
    this.#ivAt += ivBytes
    return this.#ivs.subarray(this.#ivAt - ivBytes, this.#ivAt)
  }
}

/** The keys of one site. Its answers are arrays that are used again: Node reads them before the next call. */
class SiteTickets {
  readonly #tickets: SessionTickets
  readonly #scope: string
  #current: SiteKey
  #previous: SiteKey | undefined
  #sealed: unknown[] = []
  #unknown: unknown[] = []

  constructor(tickets: SessionTickets, scope: string) {
    this.#tickets = tickets
    this.#scope = scope
    this.#current = this.derive()
  }

  derive(): SiteKey {
    const { current, previous } = this.#tickets.keys
    this.#current = siteKey(current, this.#scope)
    this.#previous = previous && siteKey(previous, this.#scope)
    const { name, hmacKey, aesKey } = this.#current
    this.#sealed = [sealed, hmacKey, aesKey, name, undefined]
    // Node wants keys in every answer, and ends the process without them.
    this.#unknown = [unknownKey, hmacKey, aesKey]
    return this.#current
  }

  answer(name: Buffer, _iv: Buffer, seal: boolean): unknown[] {
    if (seal) {
      this.#sealed[4] = this.#tickets.nextIv()
      return this.#sealed
    }
    if (name.equals(this.#current.name)) return this.#current.opened
    if (this.#previous && name.equals(this.#previous.name)) return this.#previous.opened
    return this.#unknown
  }
}

function siteKey(secret: Uint8Array, scope: string): SiteKey {
  const bytes = deriveBytes(secret, scope, nameBytes + hmacKeyBytes + aesKeyBytes)
  const name = bytes.subarray(0, nameBytes)
  const hmacKey = bytes.subarray(nameBytes, nameBytes + hmacKeyBytes)
  const aesKey = bytes.subarray(nameBytes + hmacKeyBytes)
  return { name, hmacKey, aesKey, opened: [openedAndRenew, hmacKey, aesKey] }
}

/** The form of `tls.Server.setTicketKeys`: 48 bytes. */
function publicKeys(secret: Uint8Array, scope: string): Buffer {
  return deriveBytes(secret, scope, 48)
}

function deriveBytes(secret: Uint8Array, scope: string, length: number): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, '', `lastmile session ticket\0${scope}`, length))
}

function nativeContext(server: Server): NativeContext {
  return (server as unknown as { _sharedCreds: { context: NativeContext } })._sharedCreds.context
}
