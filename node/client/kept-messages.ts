import type { Clock } from '../../core/clock.ts'
import type { VerifiedMessage } from './verified-message.ts'

/** A message and its status as last told; `unknown` when no node has it. */
export interface KeptMessage {
  status: string
  message?: VerifiedMessage
}

export interface KeptMessagesOptions {
  clock: Clock
  /** For what is settled. */
  keepMs: number
  /** For what is unknown or pending: either may change at any moment. */
  unsettledKeepMs: number
  bytesMax?: number
}

const bytesMaxDefault = 67_108_864
// Besides the content: the envelope, the entry and its key.
const entryBytes = 2_048

/** Remembers messages for a while: their content never changes, but an owner may have one forgotten. */
export class KeptMessages {
  readonly #messages = new Map<string, KeptMessage & { untilMs: number; bytes: number }>()
  readonly #options: KeptMessagesOptions
  readonly #bytesMax: number
  #bytes = 0

  constructor(options: KeptMessagesOptions) {
    this.#options = options
    this.#bytesMax = options.bytesMax ?? bytesMaxDefault
  }

  /** About how much memory is used. */
  get bytes(): number {
    return this.#bytes
  }

  get(itemHash: string): KeptMessage | undefined {
    const kept = this.#messages.get(itemHash)
    if (!kept) return undefined
    if (kept.untilMs > this.#options.clock.monotonicMs()) return kept
    this.drop(itemHash)
    return undefined
  }

  /** Keeps a message, in place of the oldest ones when there is no room. */
  set(itemHash: string, found: KeptMessage): void {
    const { clock, keepMs, unsettledKeepMs } = this.#options
    const unsettled = found.status === 'pending' || found.status === 'unknown'
    const bytes = bytesOf(found)
    this.drop(itemHash)
    if (bytes > this.#bytesMax) return
    for (const oldest of this.#messages.keys()) {
      if (this.#bytes + bytes <= this.#bytesMax) break
      this.drop(oldest)
    }
    this.#messages.set(itemHash, {
      ...found,
      bytes,
      untilMs: clock.monotonicMs() + (unsettled ? unsettledKeepMs : keepMs),
    })
    this.#bytes += bytes
  }

  drop(itemHash: string): void {
    this.#bytes -= this.#messages.get(itemHash)?.bytes ?? 0
    this.#messages.delete(itemHash)
  }
}

/** The text and the value parsed from it, at two bytes a character; small values take several times their text. */
function bytesOf({ message }: KeptMessage): number {
  if (!message) return entryBytes
  const chars = (message.message.item_content ?? JSON.stringify(message.content)).length
  return entryBytes + chars * 6
}
