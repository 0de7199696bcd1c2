import type { Clock } from '../../core/clock.ts'

/** Keys ordered by the time at which each is to be looked at; one timer for all of them. */
export class DueQueue implements Disposable {
  #clock: Clock
  #run: (key: string) => void
  #dueMs = new Map<string, number>()
  #heap: { key: string; atMs: number }[] = []
  #timer: Disposable | undefined
  #closed = false

  /** @param run - called when a key is due, after it left the queue; must not throw */
  constructor(clock: Clock, run: (key: string) => void) {
    this.#clock = clock
    this.#run = run
  }

  /** Sets when `key` is due, in place of an earlier time. */
  set(key: string, atMs: number): void {
    if (this.#closed) return
    this.#dueMs.set(key, atMs)
    push(this.#heap, { key, atMs })
    if (this.#heap[0]?.key === key) this.#arm()
  }

  delete(key: string): void {
    this.#dueMs.delete(key)
  }

  get(key: string): number | undefined {
    return this.#dueMs.get(key)
  }

  [Symbol.dispose](): void {
    this.#closed = true
    this.#timer?.[Symbol.dispose]()
  }

  #arm(): void {
    this.#timer?.[Symbol.dispose]()
    const first = this.#heap[0]
    if (first === undefined || this.#closed) return
    // By wall clock, re-read at each turn: a timer counts running time, and the machine may have slept or its clock been set.
    const waitMs = Math.min(waitMsMax, Math.max(0, first.atMs - this.#clock.nowMs()))
    this.#timer = this.#clock.schedule(waitMs, () => this.#turn())
  }

  #turn(): void {
    const nowMs = this.#clock.nowMs()
    for (let first = this.#heap[0]; first !== undefined && first.atMs <= nowMs; first = this.#heap[0]) {
      pop(this.#heap)
      // An entry that was moved or deleted since is stale: its key has another time by now.
      if (this.#dueMs.get(first.key) !== first.atMs) continue
      this.#dueMs.delete(first.key)
      this.#run(first.key)
    }
    this.#arm()
  }
}

const waitMsMax = 3_600_000

interface Entry {
  key: string
  atMs: number
}

function push(heap: Entry[], entry: Entry): void {
  heap.push(entry)
  let at = heap.length - 1
  while (at > 0) {
    const parent = (at - 1) >> 1
    if (heap[parent]!.atMs <= heap[at]!.atMs) return
    swap(heap, at, parent)
    at = parent
  }
}

function pop(heap: Entry[]): void {
  const last = heap.pop()
  if (last === undefined || heap.length === 0) return
  heap[0] = last
  for (let at = 0; ; ) {
    let least = at
    for (const child of [2 * at + 1, 2 * at + 2])
      if (child < heap.length && heap[child]!.atMs < heap[least]!.atMs) least = child
    if (least === at) return
    swap(heap, at, least)
    at = least
  }
}

function swap(heap: Entry[], a: number, b: number): void {
  const held = heap[a]!
  heap[a] = heap[b]!
  heap[b] = held
}
