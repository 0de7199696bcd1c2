const kept = 64

/**
 * The last streams that we reset. The peer may have sent frames for them before it knew; those are no fault of its (RFC 9113 §5.1, "closed").
 */
export class RecentResets {
  #ids: Int32Array | undefined = undefined
  #next = 0

  add(id: number): void {
    this.#ids ??= new Int32Array(kept)
    this.#ids[this.#next] = id
    this.#next = (this.#next + 1) % kept
  }

  has(id: number): boolean {
    return this.#ids?.includes(id) ?? false
  }
}
