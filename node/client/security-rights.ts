import type { Clock } from '../../core/clock.ts'
import { SingleFlight } from '../../core/single-flight.ts'
import { isSameAddress } from '../protocol/permissions.ts'
import { aggregateKey, isLater, type VerifiedMessage } from './verified-message.ts'

export interface SecurityRightsOptions {
  clock: Clock
  /** How long rights are believed: what an owner took back ends after this time at the latest. */
  keepMs: number
  /** Elements of the owner's aggregate `security`, each verified here; may hold others too. */
  elements(owner: string): AsyncIterable<readonly VerifiedMessage[]>
}

/** The merged `security` aggregate of an owner, as `isPermitted` takes it. */
export interface Security {
  authorizations?: unknown
}

// Of at most 200,000 characters each.
const ownersMax = 200

/** Knows whom owners allow to speak for them, from what those owners signed themselves. Nothing a node merged is believed. */
export class SecurityRights {
  readonly #options: SecurityRightsOptions
  readonly #flights = new SingleFlight<string, Security>()
  readonly #kept = new Map<string, { security: Security; untilMs: number }>()

  constructor(options: SecurityRightsOptions) {
    this.#options = options
  }

  /** @throws NetworkUnreachableError when it cannot be read: an unknown right is no right */
  async read(owner: string): Promise<Security> {
    const key = owner.toLowerCase()
    const kept = this.#kept.get(key)
    if (kept && kept.untilMs > this.#options.clock.monotonicMs()) return kept.security
    return this.#flights.run(key, () => this.#readAnew(owner, key))
  }

  /** Reads the rights of this owner anew at the next question. */
  drop(owner: string): void {
    this.#kept.delete(owner.toLowerCase())
  }

  async #readAnew(owner: string, key: string): Promise<Security> {
    const elements: VerifiedMessage[] = []
    for await (const page of this.#options.elements(owner)) elements.push(...page)
    const security = mergeSecurity(owner, elements)
    this.#kept.delete(key)
    if (this.#kept.size >= ownersMax) this.#kept.delete(this.#kept.keys().next().value as string)
    this.#kept.set(key, { security, untilMs: this.#options.clock.monotonicMs() + this.#options.keepMs })
    return security
  }
}

/**
 * Merges the elements that the owner signed; the newest by signed time wins.
 * Those of delegates do not count: else whether one may add rights would rest on the rights being read.
 */
function mergeSecurity(owner: string, elements: readonly VerifiedMessage[]): Security {
  let newest: VerifiedMessage | undefined
  for (const element of elements) {
    const own = isSameAddress(element.sender, owner) && isSameAddress(element.owner, owner)
    if (!own || element.type !== 'AGGREGATE' || aggregateKey(element.content) !== 'security') continue
    if (Object.hasOwn(element.content.content as object, 'authorizations') && isLater(element, newest)) newest = element
  }
  return newest ? { authorizations: (newest.content.content as Security).authorizations } : {}
}
