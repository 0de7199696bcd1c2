import type { AppError } from '../../core/errors.ts'

export interface Refusal {
  names: readonly string[]
  error: AppError
  untilMs: number
}

/** Name sets refused a moment ago, so that a scanner's next handshake costs nothing. Bounded: the oldest go first. */
export class Refusals {
  #byId = new Map<string, Refusal>()
  #max: number

  constructor(max: number) {
    this.#max = max
  }

  add(id: string, refusal: Refusal): void {
    this.#byId.delete(id)
    this.#byId.set(id, refusal)
    if (this.#byId.size > this.#max) this.#byId.delete(this.#byId.keys().next().value as string)
  }

  find(id: string, nowMs: number): AppError | undefined {
    const found = this.#byId.get(id)
    if (found === undefined) return undefined
    if (found.untilMs > nowMs) return found.error
    this.#byId.delete(id)
    return undefined
  }

  delete(id: string): void {
    this.#byId.delete(id)
  }

  list(nowMs: number): [string, Refusal][] {
    return [...this.#byId].filter(([, refusal]) => refusal.untilMs > nowMs)
  }
}
