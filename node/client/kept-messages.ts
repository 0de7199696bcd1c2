import type { Clock } from '../../core/clock.ts'
import type { VerifiedMessage } from './verified-message.ts'

/** A message and its status as last told. */
export interface KeptMessage {
  status: string
  message?: VerifiedMessage
}

// About 2 KiB each.
const messagesMax = 10_000

/** Remembers messages for a while: their content never changes, but an owner may have one forgotten. */
export class KeptMessages {
  readonly #messages = new Map<string, KeptMessage & { untilMs: number }>()
  readonly #clock: Clock
  readonly #keepMs: number

  constructor(clock: Clock, keepMs: number) {
    this.#clock = clock
    this.#keepMs = keepMs
  }

  get(itemHash: string): KeptMessage | undefined {
    const kept = this.#messages.get(itemHash)
    if (kept && kept.untilMs > this.#clock.monotonicMs()) return kept
    return undefined
  }

  /** Keeps what is settled; a pending message may settle at any moment. */
  set(itemHash: string, found: KeptMessage): void {
    if (found.status === 'pending') return
    this.#messages.delete(itemHash)
    if (this.#messages.size >= messagesMax) this.#messages.delete(this.#messages.keys().next().value as string)
    this.#messages.set(itemHash, { ...found, untilMs: this.#clock.monotonicMs() + this.#keepMs })
  }

  drop(itemHash: string): void {
    this.#messages.delete(itemHash)
  }
}
